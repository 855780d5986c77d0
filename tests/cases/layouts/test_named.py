"""Folders of <case>_<modality>: suffixes, masks, the BraTS challenges."""

from __future__ import annotations

from pathlib import Path

from cohorts import brats_tree, by_name, reasons, touch

from pipeline.cases.case import ImageFile
from pipeline.cases.find import find_cases


def test_brats_years_tell_the_label_code_and_visits_share_a_subject(tmp_path: Path) -> None:
    cases = by_name(find_cases(brats_tree(tmp_path)))
    assert cases["BraTS18_x"].label_scheme == "brats2018"
    assert cases["BraTS-GLI-00001-001"].label_scheme == "brats2023"
    assert cases["BraTS-GLI-00001-001"].label is not None
    assert {cases[f"BraTS-GLI-00001-00{v}"].subject for v in (0, 1)} == {"BraTS-GLI-00001"}
    assert cases["BraTS18_x"].healthy is False


def test_masks_of_a_flat_folder_get_their_roles(tmp_path: Path) -> None:
    names = (
        "S_FLAIR",
        "S_desc-wmh_mask",
        "S_T1space_dseg",
        "S_lesion",
        "R_T1w",
        "R_T1w_brain_mask",
    )
    cases = by_name(find_cases(touch(tmp_path, *(f"{name}.nii.gz" for name in names))))
    assert cases["S"].exclude == ImageFile(tmp_path / "S_desc-wmh_mask.nii.gz")
    assert cases["S"].brain_mask == ImageFile(tmp_path / "S_T1space_dseg.nii.gz")
    assert cases["S"].label == ImageFile(tmp_path / "S_lesion.nii.gz")
    assert cases["R"].brain_mask == ImageFile(tmp_path / "R_T1w_brain_mask.nii.gz")


def test_a_skull_stripped_image_without_its_original_is_the_image(tmp_path: Path) -> None:
    touch(tmp_path, "x_T1_brain.nii.gz", "y_T1.nii.gz", "y_T1_brain.nii.gz")
    cases = by_name(find_cases(tmp_path))
    assert cases["x"].images["t1"].path.name == "x_T1_brain.nii.gz"
    assert cases["x"].brain_mask is None
    assert cases["y"].images["t1"].path.name == "y_T1.nii.gz"
    assert cases["y"].brain_mask is not None


def test_modality_folders_hold_parts_of_one_case(tmp_path: Path) -> None:
    touch(tmp_path, "IXI-T1/IXI002-Guys-0828-T1.nii.gz", "IXI-T2/IXI002-Guys-0828-T2.nii.gz")
    touch(tmp_path, "labels/IXI002-Guys-0828.nii.gz")
    (case,) = find_cases(tmp_path).cases
    assert (case.name, sorted(case.images)) == ("IXI002-Guys-0828", ["t1", "t2"])
    assert case.label is not None


def test_a_volume_in_a_mask_folder_must_say_what_it_masks(tmp_path: Path) -> None:
    touch(tmp_path, "a_t1.nii.gz", "masks/a.nii.gz", "masks/a_seg.nii.gz")
    cohort = find_cases(tmp_path)
    assert cohort.cases[0].label == ImageFile(tmp_path / "masks/a_seg.nii.gz")
    assert reasons(cohort)["masks/a.nii.gz"].startswith("a mask of what?")


def test_a_single_case_folder_and_bare_file_names_are_named_by_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "P1/flair.nii.gz", "P1/seg.nii.gz", "P2/flair.nii.gz")
    assert [case.name for case in find_cases(tmp_path).cases] == ["P1", "P2"]
    (case,) = find_cases(tmp_path / "P1").cases
    assert (case.name, case.label) == ("P1", ImageFile(tmp_path / "P1/seg.nii.gz"))
