"""Temporary folders: for this user alone, gone with the process, or with the next one."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from pipeline.files.folder.kernel_lock import try_lock

PREFIX = "anomap-"
_LOCK = ".lock"
_HELD: dict[Path, int] = {}
"""Folders of this process to the handles that lock them."""


def scratch_folder() -> Path:
    """Make an empty temporary folder, which is removed at the end of the process.

    A process that is killed leaves its folders; whoever makes one next removes them.

    Raises:
        OSError: there is no room for one.
    """
    _remove_abandoned()
    root = Path(tempfile.mkdtemp(prefix=PREFIX))
    # The kernel lets go of a lock with the process, however that ends.
    handle = os.open(root / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try_lock(handle)
    if not _HELD:
        atexit.register(_remove_all)
    _HELD[root] = handle
    folder = root / "content"
    folder.mkdir()
    return folder


def remove_scratch(folder: Path) -> None:
    """Remove what `scratch_folder` made, before the process ends."""
    root = folder.parent
    if (handle := _HELD.pop(root, None)) is not None:
        shutil.rmtree(root, ignore_errors=True)
        os.close(handle)


def _remove_all() -> None:
    for root in list(_HELD):
        remove_scratch(root / "content")


def _remove_abandoned() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{_LOCK}"):
        root = lock.parent
        try:
            if root.is_symlink() or root.stat().st_uid != os.getuid() or root in _HELD:
                continue
            handle = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            with contextlib.suppress(OSError):
                if try_lock(handle):  # else a process is at work, or nobody can know
                    shutil.rmtree(root, ignore_errors=True)
        finally:
            os.close(handle)
