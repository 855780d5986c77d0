"""What a disk takes and what it says: rights, room, errors, and that content outlasts a crash."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import FullDiskError, InputError, causes_of
from pipeline.files.names import PART

FLOOR = 64 << 10
"""Bytes that must be free for whatever is written: less than the tables of a single case take."""

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM}
"""What file systems say that keep no such promise (FUSE, network shares); it is no error."""


def disk_error(error: BaseException | None) -> OSError | None:
    """What the disk said (full, over quota, read-only ...), also where a library wrapped it."""
    for cause in causes_of(error):
        if isinstance(cause, OSError) and cause.errno in _OF_THE_DISK:
            return cause
    return None


def refusal(path: Path) -> OSError | None:
    """Why a file that is there takes nothing more, None where it does: asks the disk itself."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(handle, bytes(FLOOR))
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        return disk_error(error)
    return None


def sync(handle: int) -> None:
    """See that what is open outlasts a loss of power, where the file system can."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def sync_path(path: Path) -> None:
    """The same for a file that is closed, or for the names in a folder."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
        return
    try:
        sync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def refusing(path: Path) -> Iterator[None]:
    """What the file system says inside is told as one line that names ``path``."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> InputError:
    """The refusal of a file that cannot be written, by what the file system said."""
    kind = FullDiskError if error.errno in _FULL else InputError
    return kind(f"{path}: cannot be written ({error.strerror or error})")


def check_rights(folder: Path) -> None:
    """See that files can be made in a folder, or in the one that it will be made in.

    Raises:
        InputError: they cannot, or there is a file in its place.
    """
    place = _nearest(folder)
    if not place.is_dir():
        raise InputError(f"{folder}: cannot be written to, {place} is a file; give a folder")
    try:
        handle = _nameless(place)
        try:
            os.write(handle, bytes(4096))  # a quota is noticed by writing alone
        finally:
            os.close(handle)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written to ({error.strerror or error}); give another folder"
        ) from error


def _nameless(folder: Path) -> int:
    """A new open file in a folder, of which nothing is left, even where the process is killed."""
    with contextlib.suppress(AttributeError, IsADirectoryError, FileNotFoundError):
        try:
            return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EINVAL):
                raise
    handle, name = tempfile.mkstemp(prefix=PART, dir=folder)  # this file system always names files
    Path(name).unlink()
    return handle


def check_room(folder: Path, n_bytes: int = FLOOR) -> None:
    """See that the file system of a folder, there or not yet, has so many bytes free.

    Raises:
        FullDiskError: it has less; what it does not say is taken as enough.
    """
    with contextlib.suppress(OSError, AttributeError):
        told = os.statvfs(_nearest(folder))
        free = told.f_bavail * told.f_frsize
        if told.f_blocks and free < n_bytes:
            raise FullDiskError(
                f"{folder}: {_size(free)} are free there, and at least {_size(n_bytes)} are "
                "needed; make room, or give a folder on another disk"
            )


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    place = folder.absolute()
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    return place


def _size(n_bytes: int) -> str:
    """As people say it."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes / 1e3:.0f} kB"
