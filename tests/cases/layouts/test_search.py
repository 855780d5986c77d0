"""Links, and folders in which nothing is."""

from __future__ import annotations

from pathlib import Path

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
