"""Parts of files: those of the dead go, those of the living and other people's files stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from folders import all_names_in

from pipeline.errors import InputError
from pipeline.files.folder.parts import clear_parts, clear_parts_of, held, new_part, part_of


def test_a_part_is_cleared_unless_a_process_is_writing_it(tmp_path: Path) -> None:
    part = part_of(tmp_path / "flair.zip")
    with new_part(part):
        clear_parts(tmp_path)
        clear_parts_of(tmp_path / "flair.zip")
        assert part.is_file()
    clear_parts_of(tmp_path / "other.zip")
    assert part.is_file()
    clear_parts_of(tmp_path / "flair.zip")
    assert not part.exists()


def test_a_folder_that_is_being_written_is_no_leftover(tmp_path: Path) -> None:
    part = part_of(tmp_path / "bundle")
    (part / "models").mkdir(parents=True)
    with held(part):
        clear_parts_of(tmp_path / "bundle")
        assert part.is_dir()
        with pytest.raises(InputError, match="in use by another anomap"), held(part):
            pass
    clear_parts_of(tmp_path / "bundle")
    assert not part.exists()


def test_files_of_others_are_no_parts(tmp_path: Path) -> None:
    for name in (".part-mine", ".part-2.txt", "part-12345678-a"):
        (tmp_path / name).write_text("mine")
    (tmp_path / ".part-of a book-1").write_text("mine")
    os.mkfifo(tmp_path / ".part-pipe")
    before = all_names_in(tmp_path)
    clear_parts(tmp_path)
    assert all_names_in(tmp_path) == before
