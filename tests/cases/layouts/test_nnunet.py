"""Data sets of nnU-Net, and of the Decathlon without their list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cohorts import by_name, dump, nnunet_tree, reasons, touch

from pipeline.cases.case import ImageFile
from pipeline.cases.find import find_cases
from pipeline.errors import InputError


def test_channels_are_named_by_dataset_json_and_labels_are_labels(tmp_path: Path) -> None:
    cohort = find_cases(nnunet_tree(tmp_path), modalities=["flair"])
    cases = by_name(cohort)
    assert list(cases) == ["BR_001", "BR_002", "BR_003"]
    assert cases["BR_001"].images["flair"] == ImageFile(tmp_path / "imagesTr/BR_001_0000.nii.gz")
    assert cases["BR_001"].label == ImageFile(tmp_path / "labelsTr/BR_001.nii.gz")
    assert (cases["BR_001"].label_scheme, cases["BR_001"].healthy) == ("binary", False)
    assert (cases["BR_003"].label, cases["BR_003"].healthy) == (None, None)
    left = reasons(cohort)
    assert left["imagesTr/BR_001_0001.nii.gz"] == "wrong modality: t1 is not asked for"
    assert left["predictions/BR_003.nii.gz"].startswith("not in imagesTr")


def test_a_path_inside_is_read_by_what_lies_around_it(tmp_path: Path) -> None:
    nnunet_tree(tmp_path)
    for inside in ("imagesTr/BR_001_0000.nii.gz", "imagesTs", "dataset.json", "."):
        cases = find_cases(tmp_path / inside, modalities=["flair"]).cases
        assert all(case.images["flair"].path.name.endswith("_0000.nii.gz") for case in cases)
    with pytest.raises(InputError, match="has t1; flair is missing"):
        find_cases(tmp_path / "imagesTr/BR_001_0001.nii.gz", modalities=["flair"])
    with pytest.raises(InputError, match="no image beside this label"):
        find_cases(tmp_path / "labelsTr/BR_001.nii.gz", modalities=["flair"])


def test_the_older_form_lists_cases_without_their_channels(tmp_path: Path) -> None:
    nnunet_tree(tmp_path)
    entry = {"image": "./imagesTr/BR_001.nii.gz", "label": "./labelsTr/BR_001.nii.gz"}
    labels = {"0": "background", "1": "edema", "2": "necrosis", "3": "enhancing"}
    modality = {"0": "T1", "1": "FLAIR"}
    dump(tmp_path / "dataset.json", {"modality": modality, "labels": labels, "training": [entry]})
    case = by_name(find_cases(tmp_path, modalities=["flair"]))["BR_001"]
    assert case.images["flair"].path.name == "BR_001_0001.nii.gz"
    assert case.label_scheme == "msd"


def test_channels_that_nothing_names_are_never_taken_as_one_modality(tmp_path: Path) -> None:
    (nnunet_tree(tmp_path) / "dataset.json").unlink()
    with pytest.raises(InputError, match=r'one of the channels 0000, 0001.*"channel_names"'):
        find_cases(tmp_path, modalities=["flair"])
    for path in tmp_path.glob("images*/*_0001.nii.gz"):
        path.unlink()
    cohort = find_cases(tmp_path, modalities=["flair"])
    assert [case.name for case in cohort.cases] == ["BR_001", "BR_002", "BR_003"]
    assert "taken as flair: 3 images whose name says no modality" in cohort.notes


def test_the_decathlon_without_its_list_has_images_and_labels(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(f"{kind}Tr/case_{i:04d}.nii.gz" for kind in ("images", "labels") for i in (0, 1)),
    )
    cases = find_cases(tmp_path, modalities=["t1"]).cases
    assert [case.name for case in cases] == ["case_0000", "case_0001"]
    assert all(case.label and case.label.path.parent.name == "labelsTr" for case in cases)


def test_several_data_sets_in_one_folder_keep_apart(tmp_path: Path) -> None:
    for name in ("Dataset001_A", "Dataset002_B"):
        nnunet_tree(tmp_path / name)
    cohort = find_cases(tmp_path, modalities=["flair"])
    assert len(cohort.cases) == 6
    for case in cohort.cases:
        assert (
            case.label is None or case.label.path.parts[-3] == case.images["flair"].path.parts[-3]
        )


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        ({"background": 0, "lesion": 1}, "binary"),
        ({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}, "msd"),
        ({"background": 0, "whole": [1, 2, 3], "core": [1, 3], "enhancing": [3]}, "brats2023"),
        ({"background": 0, "edema": 1, "necrosis": 2, "enhancing": 3}, "msd"),
        (None, "auto"),
    ],
)
def test_labels_by_name_tell_the_code(labels: object, scheme: str, tmp_path: Path) -> None:
    path = nnunet_tree(tmp_path) / "dataset.json"
    dump(path, {**json.loads(path.read_text()), "labels": labels})
    assert {case.label_scheme for case in find_cases(tmp_path).cases} == {scheme}


def test_channels_of_no_number_are_refused(tmp_path: Path) -> None:
    dump(nnunet_tree(tmp_path) / "dataset.json", {"channel_names": {"a": "FLAIR"}})
    with pytest.raises(InputError, match=r"dataset\.json: expected \"channel_names\""):
        find_cases(tmp_path)
