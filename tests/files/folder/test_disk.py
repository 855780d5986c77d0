"""Rights and room are seen before any work, and what the disk says is found in every wrapping."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from folders import all_names_in

from pipeline.errors import InputError
from pipeline.files.folder.disk import check_rights, check_room, disk_error


def full(n_free: int, n_blocks: int = 1000) -> object:
    return lambda path: SimpleNamespace(f_bavail=n_free, f_frsize=1000, f_blocks=n_blocks)


def test_too_little_room_is_told_with_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", full(5_000))
    folder = tmp_path / "new" / "out"
    check_room(folder, 5_000_000)
    with pytest.raises(InputError) as caught:
        check_room(folder, 2_500_000_000)
    assert str(caught.value) == (
        f"{folder}: 5.0 MB are free there, and at least 2.5 GB are needed; make room, or give a "
        "folder on another disk"
    )
    monkeypatch.setattr(os, "statvfs", full(0))
    with pytest.raises(InputError, match=r"0 kB are free there, and at least 66 kB"):
        check_room(folder)


def test_a_file_system_that_does_not_say_its_size_is_believed_to_suffice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", full(0, n_blocks=0))
    check_room(tmp_path, 1 << 50)


def test_rights_are_those_of_the_nearest_folder_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_rights(tmp_path / "a" / "b")
    assert all_names_in(tmp_path) == set()
    real = os.open

    def read_only(path: object, flags: int, *args: int, **named: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(InputError, match=r"a/b: cannot be written to \(Read-only file system\)"):
        check_rights(tmp_path / "a" / "b")


def test_the_words_of_the_disk_are_found_in_what_a_library_makes_of_them() -> None:
    cause = OSError(errno.ENOSPC, "No space left on device")
    wrapped, twice = RuntimeError("enforce fail"), ValueError("cannot close")
    wrapped.__cause__, twice.__context__ = cause, wrapped
    assert disk_error(twice) is cause
    assert disk_error(FileNotFoundError(errno.ENOENT, "no font")) is None
    assert disk_error(None) is None


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL])
def test_rights_are_seen_too_where_files_must_have_names(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, opened = os.open, []

    def without_nameless(path: object, flags: int, *args: int, **named: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(number, os.strerror(number))
        opened.append(path)
        return real(path, flags, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", without_nameless)
    check_rights(tmp_path)
    assert len(opened) == 1
    assert all_names_in(tmp_path) == set()
