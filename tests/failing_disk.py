"""A disk that fails, or a process that is killed, at the n-th change that is made under a folder.

    with failing(folder, Trouble("rename", 3)):   # the third rename raises ENOSPC
    with failing(folder, Trouble("write", 7, kill=True)):   # SIGKILL in the midst of the seventh
    with failing(folder) as counted:              # nothing fails; counted["write"] ...

It stands between Python and the operating system: whatever writes through Python's files and `os`
is met (nibabel, gzip, zipfile, torch.save, numpy, Pillow, TensorBoard), on every file system.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

OPERATIONS = ("open", "write", "rename", "fsync", "chmod")
LONGEST = 300
"""Seconds of the work of a child."""


@dataclass(frozen=True)
class Trouble:
    """What goes wrong.

    Attributes:
        operation: one of `OPERATIONS`.
        at: the n-th of them, from 1.
        kill: the process is killed there; else the operation fails.
        error: that it fails with.
    """

    operation: str
    at: int
    kill: bool = False
    error: int = errno.ENOSPC

    def __str__(self) -> str:
        return f"{'killed' if self.kill else 'failing'} at {self.operation} {self.at}"


class _Disk:
    """What stands between Python and the disk.

    Attributes:
        counted: changes so far, by operation.
    """

    def __init__(self, root: Path, trouble: Trouble | None) -> None:
        self.root, self.trouble = root.resolve(), trouble
        self.counted: Counter[str] = Counter()
        self.open, self.os_open, self.os_write = io.open, os.open, os.write

    def meet(self, operation: str, partly: Callable[[], object] = lambda: None) -> None:
        """Count a change; the one that fails is made ``partly`` before."""
        self.counted[operation] += 1
        at, trouble = self.counted[operation], self.trouble
        if trouble is None or (operation, at) != (trouble.operation, trouble.at):
            return
        partly()
        if trouble.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(trouble.error, os.strerror(trouble.error))

    def holds(self, path: Any) -> bool:
        """Whether a path, or the file behind a handle, lies under the folder."""
        named = (
            Path(f"/proc/self/fd/{path}").readlink()
            if isinstance(path, int)
            else Path(os.fsdecode(path))
        )
        return (named.parent.resolve() / named.name).is_relative_to(self.root)

    def opened(
        self, file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any
    ) -> Any:
        """In place of ``open``."""
        if isinstance(file, int) or not set(mode) & set("wax+") or not self.holds(file):
            return self.open(file, mode, buffering, *args, **kwargs)
        self.meet("open")
        raw = _RawFile(self, file, mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        named = dict(zip(("encoding", "errors", "newline"), args, strict=False))
        return io.TextIOWrapper(buffered, **named | kwargs)

    def os_opened(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        """In place of ``os.open``."""
        if flags & (os.O_WRONLY | os.O_RDWR) and self.holds(path):
            self.meet("open")
        return self.os_open(path, flags, *args, **kwargs)

    def os_written(self, handle: int, data: Any) -> int:
        """In place of ``os.write``."""
        if self.holds(handle):
            self.meet("write", lambda: self.os_write(handle, _half(data)))
        return self.os_write(handle, data)

    def met(self, operation: str, true: Callable[..., Any], place: int = 0) -> Callable[..., Any]:
        """In place of a function whose argument at ``place`` says what it changes."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.holds(args[place]):
                self.meet(operation)
            return true(*args, **kwargs)

        return call


class _RawFile(io.FileIO):
    """Half of what is written arrives where the disk fails, as on a disk that becomes full."""

    def __init__(self, disk: _Disk, file: Any, mode: str) -> None:
        super().__init__(file, mode)
        self.disk = disk

    def write(self, data: Any, /) -> int:
        self.disk.meet("write", lambda: super(_RawFile, self).write(_half(data)))
        return super().write(data)


def _half(data: Any) -> bytes:
    return bytes(data)[: len(data) // 2]


@contextmanager
def failing(root: Path, trouble: Trouble | None = None) -> Iterator[Counter[str]]:
    """Count what changes below ``root``, and let one of it fail; the other changes are made."""
    disk = _Disk(root, trouble)
    changed = {
        **{"replace": disk.met("rename", os.replace, 1)},
        **{"rename": disk.met("rename", os.rename, 1)},
        **{"fsync": disk.met("fsync", os.fsync), "fdatasync": disk.met("fsync", os.fdatasync)},
        **{"chmod": disk.met("chmod", os.chmod), "fchmod": disk.met("chmod", os.fchmod)},
        **{"open": disk.os_opened, "write": disk.os_written},
    }
    with ExitStack() as stack:
        for name, function in changed.items():
            stack.enter_context(mock.patch.object(os, name, function))
        for module in (builtins, io):
            stack.enter_context(mock.patch.object(module, "open", disk.opened))
        # NumPy would write arrays past Python's files.
        numpy_format: Any = np.lib._format_impl  # type: ignore[attr-defined]
        stack.enter_context(mock.patch.object(numpy_format, "isfileobj", return_value=False))
        yield disk.counted


def in_child(work: Callable[[], object], log: Path, *, kill_after: float | None = None) -> int:
    """Do some work in a copy of this process; its exit status, or minus the signal it died of.

    What it prints, and the traceback of an error, goes to ``log``. The calling process must not
    have started threads of its own (OMP_NUM_THREADS=1).
    """
    child = os.fork()
    if not child:
        status = 70
        signal.alarm(LONGEST)  # what hangs has failed
        try:
            handle = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            result = work()
            status = result if isinstance(result, int) else 0
        except BaseException:  # the child ends here, whatever it is
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
