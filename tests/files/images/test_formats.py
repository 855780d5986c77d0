"""Names of formats that are read, and advice on those that are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from image_files import refusal, save

from pipeline.files.images.formats import UNREAD, advice_for
from pipeline.files.images.reading import read_header, read_labels, read_mask, read_volume


@pytest.mark.parametrize("ending", UNREAD)
def test_a_format_that_is_not_read_has_one_line_of_advice(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"sub.01_flair{ending.upper()}"
    path.write_bytes(b"some content")
    assert advice_for(path) == UNREAD[ending]
    for read in (read_volume, read_labels, read_mask, read_header):
        assert UNREAD[ending] in refusal(path, read)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.png", "a.txt", "a", "dcm", "a.img.txt"])
def test_no_advice_on_other_names(name: str) -> None:
    assert advice_for(Path(name)) is None


CONTENTS = {
    b"BZh91AY": "bzip2",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff\xe0": "JPEG",
    b"NRRD0004": "NRRD",
    b"\x89HDF\r\n": "MINC",
    bytes(128) + b"DICM": "DICOM",
    b"": "empty",
}


@pytest.mark.parametrize("content", CONTENTS)
def test_another_format_under_the_name_of_nifti_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(content)
    assert CONTENTS[content] in refusal(path)


@pytest.mark.parametrize("read", [read_volume, read_labels, read_mask, read_header])
def test_what_is_no_file_is_one_line(read: object, tmp_path: Path) -> None:
    (tmp_path / "folder.nii.gz").mkdir()
    os.mkfifo(tmp_path / "pipe.nii")
    (tmp_path / "broken.nii").symlink_to(tmp_path / "gone.nii")
    (tmp_path / "loop.nii").symlink_to(tmp_path / "loop.nii")
    said = {
        "folder.nii.gz": "a folder",
        "pipe.nii": "a pipe",
        "broken.nii": "a link to",
        "loop.nii": "symbolic links",
        "missing.nii": "no such file",
        "x" * 300 + ".nii": "File name too long",
        "missing.nii/inner.nii": "no such file",
    }
    for name, reason in said.items():
        assert reason in refusal(tmp_path / name, read)  # type: ignore[arg-type]
    assert "a pipe or device" in refusal(Path("/dev/null"), read)  # type: ignore[arg-type]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_rights_is_one_line(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", __import__("numpy").ones((2, 2, 2)))
    path.chmod(0)
    assert "Permission denied" in refusal(path)
