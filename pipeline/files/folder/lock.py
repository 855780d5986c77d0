"""One process at a time works in a folder; it clears away what a killed one left there.

The lock is the kernel's, on the list of the folder's files: it ends with the process that holds it,
however that ends.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from pipeline.errors import InputError, printable
from pipeline.files.folder.disk import refusing
from pipeline.files.folder.kernel_lock import try_lock
from pipeline.files.folder.ownership import NO_LINK
from pipeline.files.folder.parts import clear_parts
from pipeline.files.names import IN_USE, LEDGER, WRITABLE

logger = logging.getLogger(__name__)

_held: set[int] = set()
"""File descriptors of the locks of this process."""


class Lock:
    """A folder that is ours to write to, until `release` or the end of the process.

    Args:
        folder: made where it is not there.
        within: further folders to clear of what a killed process left.

    Raises:
        InputError: another process holds it, or the folder cannot be written to.
    """

    def __init__(self, folder: Path, within: Sequence[Path] = ()) -> None:
        self.folder, self.was_there = folder, folder.is_dir()
        with refusing(folder):
            self._handle = _take(folder)
            _held.add(self._handle)
            _say_who(folder)
            for one in (folder, *within):
                _clear(one)

    def release(self) -> None:
        """Let others in; a folder that was made for nothing goes."""
        _held.discard(self._handle)
        with contextlib.suppress(OSError):
            (self.folder / IN_USE).unlink()
        with contextlib.suppress(OSError):
            if os.fstat(self._handle).st_size == 0:
                (self.folder / LEDGER).unlink()
                if not self.was_there:
                    self.folder.rmdir()
        os.close(self._handle)


@contextlib.contextmanager
def locked(folder: Path, *, within: Sequence[Path] = ()) -> Iterator[None]:
    """Work in a folder alone; see `Lock`. It is not to be nested."""
    lock = Lock(folder, within)
    try:
        yield
    finally:
        lock.release()


def tidy(folder: Path) -> None:
    """Clear what killed processes left in a folder, unless somebody is at work there."""
    with contextlib.suppress(InputError), locked(folder):
        pass


def _take(folder: Path) -> int:
    """The open list of a folder, locked.

    Raises:
        InputError: another process holds it.
        OSError: it cannot be made.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LEDGER, os.O_RDWR | os.O_CREAT | os.O_APPEND | NO_LINK, 0o666)
        try:
            ours = try_lock(handle)
            if ours is False:
                raise InputError(
                    f"{folder}: in use by another anomap{_who(folder)}; wait for it, or stop it"
                )
            if ours is None:
                _say_no_locks()
            # Whoever held it before may have removed the file: then another one counts.
            if _is_at(handle, folder / LEDGER):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


@functools.cache
def _say_no_locks() -> None:
    logger.warning(
        "note: this file system knows no locks: see yourself that no two commands write to one "
        "folder"
    )


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _say_who(folder: Path) -> None:
    """Leave a word for those who come while we are at work; it is not needed for the lock."""
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    text = json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": since})
    with contextlib.suppress(OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | NO_LINK
        with os.fdopen(os.open(folder / IN_USE, flags, 0o666), "w", encoding="utf-8") as file:
            file.write(text)


def _who(folder: Path) -> str:
    try:
        told = json.loads((folder / IN_USE).read_text(encoding="utf-8"))
        host, since = (printable(str(told[key]))[:80] for key in ("host", "since"))
        return f" (process {int(told['process'])} on {host} since {since})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _clear(folder: Path) -> None:
    """Remove what killed processes left: parts of files, and the probe of former versions."""
    clear_parts(folder)
    probe = folder / WRITABLE
    with contextlib.suppress(OSError):
        if probe.is_file() and probe.stat().st_size == 0:
            probe.unlink()


def _drop_in_child() -> None:
    """Workers that a training forks do not hold the lock: it ends with their parent."""
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_in_child)
