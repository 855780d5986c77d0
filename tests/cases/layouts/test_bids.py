"""BIDS data sets and their derivatives."""

from __future__ import annotations

from pathlib import Path

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
