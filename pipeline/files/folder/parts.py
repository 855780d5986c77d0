"""Parts: what is written beside its place until it is whole, and what killed processes left of it.

The lock of a part is the kernel's, so that it ends with the process that writes.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import InputError
from pipeline.files.folder.kernel_lock import try_lock
from pipeline.files.names import PART

_NAME = re.compile(rf"{re.escape(PART)}[a-z0-9_]+-(.+)", re.DOTALL)


def part_of(path: Path) -> Path:
    """A new name beside a path; the suffix stays last: libraries choose the format by it."""
    return path.parent / f"{PART}{secrets.token_hex(4)}-{path.name}"


@contextlib.contextmanager
def new_part(path: Path) -> Iterator[None]:
    """Make an empty file; while it is held, no other process of ours removes it.

    Raises:
        OSError: it cannot be made, or is there.
    """
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        _is_free(handle)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a file or folder that is there, so that no other process of ours touches it.

    Raises:
        InputError: another process holds it.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        if not _is_free(handle):
            raise InputError(f"{path}: in use by another anomap; wait for it, or stop it")
        yield
    finally:
        os.close(handle)


def clear_parts(folder: Path) -> None:
    """Remove the files in a folder that killed processes did not finish; no others."""
    for part in folder.glob(f"{PART}*"):
        if _NAME.fullmatch(part.name) and not part.is_dir() and _is_abandoned(part):
            with contextlib.suppress(OSError):
                part.unlink()


def clear_parts_of(path: Path) -> None:
    """Remove what killed processes left of a file or folder of this name."""
    for part in path.parent.glob(f"{PART}*"):
        found = _NAME.fullmatch(part.name)
        if found is None or found[1] != path.name or not _is_abandoned(part):
            continue
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                part.unlink()


def _is_abandoned(part: Path) -> bool:
    """Whether no process is writing it; True where nobody can know."""
    try:
        handle = os.open(part, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        return _is_free(handle)
    finally:
        os.close(handle)


def _is_free(handle: int) -> bool:
    """Take the lock of what is open; True also where the file system knows none."""
    try:
        return try_lock(handle) is not False
    except OSError:
        return True
