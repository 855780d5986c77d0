"""BIDS data sets and their derivatives."""

from __future__ import annotations

from pathlib import Path

import pytest
from cohorts import bids_tree, by_name, reasons, touch

from pipeline.cases.find import find_cases


def test_bids_masks_find_their_image_and_only_in_its_own_space(tmp_path: Path) -> None:
    touch(bids_tree(tmp_path), "dataset_description.json")
    deep = "derivatives/y/sub-02/anat/sub-02"
    touch(tmp_path, f"{deep}_label-lesion_mask.nii.gz", f"{deep}_desc-wmh_mask.nii.gz")
    touch(tmp_path, f"{deep}_dseg.nii.gz", f"{deep}_space-MNI152_desc-brain_mask.nii.gz")
    touch(tmp_path, f"{deep}_desc-preproc_T1w.nii.gz", f"{deep}_task-rest_bold.nii.gz")
    touch(tmp_path, "sub-02/anat/sub-02_run-2_T1w.nii.gz", f"{deep}_mask.nii.gz")
    cohort = find_cases(tmp_path)
    case = by_name(cohort)["sub-02"]
    assert case.images["t1"].path.name == "sub-02_T1w.nii.gz"
    assert case.label is not None
    assert case.label.path.name == "sub-02_label-lesion_mask.nii.gz"
    assert case.brain_mask is not None
    assert case.brain_mask.path.name == "sub-02_desc-brain_mask.nii.gz"
    assert case.exclude is not None
    assert case.exclude.path.name == "sub-02_desc-wmh_mask.nii.gz"
    left = {Path(name).name.removeprefix("sub-02"): why for name, why in reasons(cohort).items()}
    assert left["_dseg.nii.gz"].startswith("duplicate brain mask")
    assert left["_space-MNI152_desc-brain_mask.nii.gz"] == "no image beside this brain mask"
    assert "under derivatives/" in left["_desc-preproc_T1w.nii.gz"]
    assert left["_task-rest_bold.nii.gz"].startswith("unknown suffix")
    assert left["_run-2_T1w.nii.gz"] == "duplicate t1: sub-02_T1w.nii.gz is used"
    assert left["_mask.nii.gz"].startswith("a mask of what?")


def test_a_contrast_enhanced_t1_is_t1ce(tmp_path: Path) -> None:
    case = by_name(find_cases(bids_tree(tmp_path)))["sub-01_ses-1"]
    assert case.images["t1ce"].path.name == "sub-01_ses-1_ce-gd_T1w.nii.gz"
    assert case.images["t1"].path.name == "sub-01_ses-1_T1w.nii.gz"


def test_masks_and_labels_go_with_the_image_of_the_same_entities(tmp_path: Path) -> None:
    deep = "derivatives/y/sub-01/anat/sub-01"
    touch(
        tmp_path, "sub-01/anat/sub-01_run-1_FLAIR.nii.gz", "sub-01/anat/sub-01_run-2_FLAIR.nii.gz"
    )
    touch(
        tmp_path, f"{deep}_run-2_label-lesion_mask.nii.gz", f"{deep}_run-2_desc-brain_mask.nii.gz"
    )
    cohort = find_cases(tmp_path)
    (case,) = cohort.cases
    assert case.images["flair"].path.name == "sub-01_run-1_FLAIR.nii.gz"
    assert (case.label, case.brain_mask) == (None, None)
    assert case.healthy is False  # somebody drew a lesion of this person
    left = reasons(cohort)
    assert (
        "of another image than sub-01_run-1_FLAIR.nii.gz: its run is 2"
        in left[f"{deep}_run-2_label-lesion_mask.nii.gz"]
    )
    assert any(note.startswith("3 files not used, the first: ") for note in cohort.notes)
    # The other one, where it is the one that is meant, has them.
    (case,) = find_cases(tmp_path / "sub-01/anat/sub-01_run-2_FLAIR.nii.gz").cases
    assert case.label is not None
    assert case.brain_mask is not None


@pytest.mark.parametrize(
    ("images", "mask", "is_used"),
    [
        (["acq-a"], "", True),
        (["acq-a", "acq-b"], "", False),
        (["acq-a", "acq-b"], "acq-a_", True),
        ([""], "acq-a_", False),
        (["acq-a_run-1"], "run-1_", True),
        (["acq-a_run-1"], "rec-x_run-1_", False),
        (["echo-1", "echo-2"], "echo-2_", False),
    ],
)
def test_an_entity_that_a_mask_does_not_say_may_be_the_only_one(
    images: list[str], mask: str, is_used: bool, tmp_path: Path
) -> None:
    for name in images:
        touch(tmp_path, f"sub-1/sub-1_{name}{'_' if name else ''}FLAIR.nii.gz")
    touch(tmp_path, f"derivatives/sub-1/sub-1_{mask}desc-brain_mask.nii.gz")
    (case,) = find_cases(tmp_path).cases
    assert (case.brain_mask is not None) is is_used


def test_a_phase_image_is_none(tmp_path: Path) -> None:
    touch(tmp_path, "sub-1/sub-1_part-mag_FLAIR.nii.gz", "sub-1/sub-1_part-phase_FLAIR.nii.gz")
    cohort = find_cases(tmp_path)
    assert cohort.cases[0].images["flair"].path.name == "sub-1_part-mag_FLAIR.nii.gz"
    assert reasons(cohort) == {
        "sub-1/sub-1_part-phase_FLAIR.nii.gz": "no image of magnitudes, by its part"
    }
