"""Folders of pictures."""

from __future__ import annotations

from pathlib import Path

from cohorts import by_name, pictures_tree, touch

from pipeline.cases.find import find_cases


def test_pictures_have_masks_by_suffix_or_sibling_folder(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png", "masks/a.png", "b.jpg", "b_mask.png", "c.png", "c_seg.png")
    cohort = find_cases(tmp_path, modalities=["flair"])
    labels = {case.name: case.label.path for case in cohort.cases if case.label}
    assert labels == {
        "a": tmp_path / "masks/a.png",
        "b": tmp_path / "b_mask.png",
        "c": tmp_path / "c_seg.png",
    }
    assert all(case.label_scheme == "binary" and case.images["flair"] for case in cohort.cases)


def test_kaggle_yes_and_no_folders_say_what_is_healthy(tmp_path: Path) -> None:
    cases = by_name(find_cases(pictures_tree(tmp_path)))
    assert {name: case.healthy for name, case in cases.items()} == {
        "Y1": False,
        "1 no": True,
        "N_slice07": True,
    }
    assert find_cases(tmp_path / "no").cases[0].healthy is True
