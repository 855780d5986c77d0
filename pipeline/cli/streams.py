"""Standard streams that are closed, full, or read by nobody: printing to them fails no work."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

_NOBODY_READS = {errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.ENXIO}
"""A pipe whose reader has left, or a terminal that is gone."""


class ForgivingStream:
    """A text stream that takes everything; after an error of the real one nothing is kept of it.

    Attributes:
        error: the first that is not because nobody reads any more.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write, or drop it."""
        try:
            self.stream.write(text)
        except UnicodeEncodeError:
            encoding = self.stream.encoding or "ascii"
            self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what is left."""
        try:
            self.stream.flush()
        except OSError as error:
            self._give_up(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _give_up(self, error: OSError) -> None:
        """From now on the descriptor takes everything, the interpreter's last flush as well."""
        if error.errno not in _NOBODY_READS:
            self.error = self.error or error
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)
            self.stream.flush()


@contextlib.contextmanager
def forgiving_streams() -> Iterator[ForgivingStream]:
    """Standard output and error are `ForgivingStream` inside; gives the output."""
    _occupy_closed()
    before = sys.stdout, sys.stderr
    output, errors = (ForgivingStream(stream or _nowhere()) for stream in before)
    there: Any = output, errors
    sys.stdout, sys.stderr = there
    try:
        yield output
    finally:
        output.flush()
        errors.flush()
        sys.stdout, sys.stderr = before


def _occupy_closed() -> None:
    """Closed descriptors lead nowhere: a file that is opened must not become standard output."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, descriptor)  # for programs that are started, too
            if nowhere != descriptor:
                os.close(nowhere)
            else:
                os.set_inheritable(descriptor, True)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")
