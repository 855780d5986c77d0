"""Links, and folders in which nothing is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cohorts import reasons, touch

from pipeline.cases.find import find_cases


def test_loops_of_links_end_and_dead_links_are_reported(tmp_path: Path) -> None:
    touch(tmp_path, "sub/a_t1.nii.gz")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "sub" / "b_t1.nii.gz").symlink_to(tmp_path / "gone")
    cohort = find_cases(tmp_path)
    assert [case.name for case in cohort.cases] == ["a"]
    assert reasons(cohort) == {"sub/b_t1.nii.gz": "no such file, or a dead link"}


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "real", "a_t1.nii.gz")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "healthy").symlink_to(tmp_path / "real")
    (case,) = find_cases(tmp_path / "data").cases
    assert (case.name, case.healthy) == ("a", True)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        *(("a.BRIK", "AFNI"), ("a.nii.bz2", "unpack"), ("a.mnc", "mnc2nii")),
        *(("a.dcm", "anomap convert"), ("a.gz", "call it .nii.gz"), ("a.tar.gz", "unpack")),
        *(("a.brik.gz", "3dAFNItoNIFTI"), ("a.v1.nii.xz", "unpack")),
    ],
)
def test_formats_that_are_not_read_are_named_with_advice(
    name: str, advice: str, tmp_path: Path
) -> None:
    touch(tmp_path, "x_t1.nii.gz", name, "physio.tsv.gz", "notes.txt", ".hidden.mnc")
    left = reasons(find_cases(tmp_path))
    assert list(left) == [name]
    assert advice in left[name]


def test_dicom_without_a_suffix_is_told_by_its_preamble(tmp_path: Path) -> None:
    touch(tmp_path, "x_t1.nii.gz", "README")
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM" + bytes(9))
    assert list(reasons(find_cases(tmp_path))) == ["IM0001"]


def test_folders_with_names_of_files_and_loops_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "x_t1.nii.gz", "scan_t1.nii.gz/inner_t1.nii.gz")
    (tmp_path / "loop_t1.nii.gz").symlink_to("loop_t1.nii.gz")
    os.mkfifo(tmp_path / "pipe_t1.nii.gz")
    cohort = find_cases(tmp_path)
    assert [case.name for case in cohort.cases] == ["inner", "x"]
    left = reasons(cohort)
    assert left["scan_t1.nii.gz"] == "a folder with a file's name: see inside"
    assert left["loop_t1.nii.gz"] == left["pipe_t1.nii.gz"] == "no such file, or a dead link"
    assert set(cohort.incomplete) == {"loop", "pipe"}


def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "x_t1.nii.gz", "closed/y_t1.nii.gz")
    scan = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert reasons(find_cases(tmp_path)) == {
        "closed": "folder cannot be listed (Permission denied)"
    }
