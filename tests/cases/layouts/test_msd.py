"""Data sets that a dataset.json describes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cohorts import by_name, dump, msd_tree, reasons

from pipeline.cases.case import ImageFile
from pipeline.cases.find import find_cases


def test_msd_channels_are_named_by_dataset_json(tmp_path: Path) -> None:
    cohort = find_cases(msd_tree(tmp_path), modalities=["t2", "T1Gd"])
    case = by_name(cohort)["BRATS_001"]
    image = tmp_path / "imagesTr/BRATS_001.nii.gz"
    assert dict(case.images) == {"t2": ImageFile(image, 3), "t1ce": ImageFile(image, 2)}
    assert case.label == ImageFile(tmp_path / "labelsTr/BRATS_001.nii.gz")
    assert (case.label_scheme, case.healthy) == ("msd", False)
    assert by_name(cohort)["BRATS_485"].healthy is None
    assert reasons(cohort) == {"imagesTr/BRATS_777.nii.gz": "not named in dataset.json"}


def test_msd_sections_and_its_json_file_itself_work(tmp_path: Path) -> None:
    msd_tree(tmp_path)
    for path in (tmp_path, tmp_path / "dataset.json"):
        (case,) = find_cases(path, section="test").cases
        assert case.name == "BRATS_485"


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        ({"0": "background", "1": "lesion"}, "binary"),
        (None, "msd"),
        ({"0": "", "1": "a", "2": "b"}, "auto"),
        ({"0": "", "1": "necrosis", "2": "edema", "4": "enhancing"}, "brats2018"),
    ],
)
def test_dataset_json_tells_the_label_code(labels: object, scheme: str, tmp_path: Path) -> None:
    path = msd_tree(tmp_path) / "dataset.json"
    dump(path, {**json.loads(path.read_text()), "labels": labels})
    assert {case.label_scheme for case in find_cases(tmp_path).cases} == {scheme}


def test_an_msd_case_without_its_label_file_is_left_out(tmp_path: Path) -> None:
    (msd_tree(tmp_path) / "labelsTr/BRATS_001.nii.gz").unlink()
    cohort = find_cases(tmp_path)
    assert [case.name for case in cohort.cases] == ["BRATS_485"]
    assert reasons(cohort)["imagesTr/BRATS_001.nii.gz"].startswith("label of the case: no such")
