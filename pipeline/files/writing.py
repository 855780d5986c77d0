"""Files are written whole: beside their place, to the disk, then moved there."""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.files.folder.disk import disk_error, refusal, refusing, sync_path, unwritable
from pipeline.files.folder.ownership import check_ours, claim, is_ours, note, note_recorded
from pipeline.files.folder.parts import held, new_part, part_of


def make_folder(path: Path) -> None:
    """Make a folder for results, and see that it can be written to, before any long work.

    Raises:
        InputError: it cannot be made or written to, or its disk is full.
    """
    claim(path)
    with refusing(path):
        path.mkdir(parents=True, exist_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file; see `write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_atomically(
    path: Path, write: Callable[[Path], object], *, may_replace: bool = False
) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then move it into place.

    What has its final name is whole and on the disk; the umask decides who may read it. A file that
    is not ours is not replaced; see `pipeline.files.folder.ownership`.

    Args:
        path: of the file; its folder is made.
        write: gets the path of an empty file with the same suffix.
        may_replace: the caller has seen that what is there may go; it is not put on the list.

    Raises:
        InputError: the folder cannot be made or written to, the disk is full, or another's file
            is there.
    """
    temporary = part_of(path)
    if not may_replace:
        check_ours(path)
    try:
        with refusing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with new_part(temporary):
                _fill(path, temporary, write)
                sync_path(temporary)
                if not may_replace:
                    note(path)
                temporary.replace(path)
            sync_path(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder whole: beside its place, then moved there. Its files are put on no list.

    Args:
        path: of the folder, which is not there or empty.
        files: path within the folder to content.

    Raises:
        InputError: it cannot be written.
    """
    temporary = part_of(path)
    try:
        with refusing(path):
            temporary.mkdir(parents=True)
            with held(temporary):
                write_files(temporary, files)
                temporary.replace(path)
            sync_path(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, one after the other, over what is there; they are on no list.

    Args:
        files: path within the folder to content.

    Raises:
        InputError: one cannot be written.
    """
    for name, content in files.items():
        write = functools.partial(Path.write_bytes, data=content)
        write_atomically(folder / name, write, may_replace=True)


def remove(path: Path) -> None:
    """Remove a file of ours; another's stays, and so does what is not there."""
    if is_ours(path):
        with refusing(path):
            note_recorded(path.parent)
            path.unlink(missing_ok=True)


def _fill(path: Path, temporary: Path, write: Callable[[Path], object]) -> None:
    """Call ``write``; what it raises because of the disk is raised as what the disk said."""
    try:
        write(temporary)
    except InputError:
        raise
    except Exception as error:
        # Libraries have errors of their own for a write that failed.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = disk_error(error) or refusal(temporary)
        if reason is None:
            raise
        raise unwritable(path, reason) from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A binary file to write to, for libraries that lose what the disk says: it is raised again.

    Raises:
        OSError: that of the first write that failed, whatever the library made of it.
    """
    with path.open("wb") as file:
        remembering = _Remembering(file)
        try:
            yield remembering
        except Exception as error:
            if remembering.error is not None:
                raise remembering.error from error
            raise


class _Remembering:
    """A file that keeps the first error of writing."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return int(self.file.write(data))
        except OSError as error:
            self.error = self.error or error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)
