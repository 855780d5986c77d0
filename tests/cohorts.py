"""Small fake cohorts in every layout, for many tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from pipeline.cases.case import Case, Cohort, ImageFile


def touch(root: Path, *names: str) -> Path:
    """Empty files: finding reads names only."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def nifti(path: Path, values: object = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.zeros((2, 2, 2), np.int16)
    data.flat[: np.size(values)] = values
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    return path


def dump(path: Path, data: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def by_name(cohort: Cohort) -> dict[str, Case]:
    return {case.name: case for case in cohort.cases}


def reasons(cohort: Cohort) -> dict[str, str]:
    return {path.relative_to(cohort.root).as_posix(): why for path, why in cohort.left_out.items()}


def case_of(name: str, subject: str = "", **changes: object) -> Case:
    image = ImageFile(Path(f"/data/{name}_flair.nii.gz"))
    return replace(Case(name, subject or name, {"flair": image}), **changes)


def msd_tree(root: Path) -> Path:
    touch(root, "imagesTr/BRATS_001.nii.gz", "labelsTr/BRATS_001.nii.gz")
    touch(
        root, "imagesTs/BRATS_485.nii.gz", "imagesTr/BRATS_777.nii.gz", "imagesTr/._BRATS_001.nii"
    )
    entry = {"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}
    dump(
        root / "dataset.json",
        {
            "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
            "labels": {"0": "background", "1": "edema", "2": "non-enhancing", "3": "enhancing"},
            "training": [entry],
            "test": ["./imagesTs/BRATS_485.nii.gz"],
        },
    )
    return root


def nnunet_tree(root: Path) -> Path:
    touch(root, *(f"imagesTr/BR_00{i}_000{c}.nii.gz" for i in (1, 2) for c in (0, 1)))
    touch(root, *(f"labelsTr/BR_00{i}.nii.gz" for i in (1, 2)), "imagesTs/BR_003_0000.nii.gz")
    touch(root, "imagesTs/BR_003_0001.nii.gz", "predictions/BR_003.nii.gz")
    dump(
        root / "dataset.json",
        {
            "channel_names": {"0": "FLAIR", "1": "T1w"},
            "labels": {"background": 0, "tumour": 1},
            "numTraining": 2,
            "file_ending": ".nii.gz",
        },
    )
    return root


def datalist_tree(root: Path) -> Path:
    touch(root, "a_flair.nii.gz", "a_seg.nii.gz", "deep/b/t2f.nii.gz")
    return dump(
        root / "list.json",
        {
            "training": [{"image": "deep/b/t2f.nii.gz", "healthy": True}],
            "validation": [
                {"image": {"flair": str(root / "a_flair.nii.gz")}, "label": "a_seg.nii.gz"}
            ],
        },
    )


def bids_tree(root: Path) -> Path:
    return touch(
        root,
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_ce-gd_T1w.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
        "sub-02/anat/sub-02_T1w.nii.gz",
        "derivatives/x/sub-02/anat/sub-02_desc-brain_mask.nii.gz",
    )


def pictures_tree(root: Path) -> Path:
    return touch(root, "yes/Y1.jpg", "yes/masks/Y1.png", "no/1 no.jpeg", "no/N_slice07.png")


def brats_tree(root: Path) -> Path:
    return touch(
        root,
        "HGG/BraTS18_x/BraTS18_x_flair.nii.gz",
        "HGG/BraTS18_x/BraTS18_x_t1ce.nii.gz",
        "HGG/BraTS18_x/BraTS18_x_seg.nii.gz",
        *(f"new/BraTS-GLI-00001-00{v}/BraTS-GLI-00001-00{v}-t2f.nii.gz" for v in (0, 1)),
        "new/BraTS-GLI-00001-000/BraTS-GLI-00001-000-t1c.nii.gz",
        "new/BraTS-GLI-00001-001/BraTS-GLI-00001-001-t1c.nii.gz",
        "new/BraTS-GLI-00001-001/BraTS-GLI-00001-001-seg.nii.gz",
    )


def flat_tree(root: Path) -> Path:
    return touch(root, "A_FLAIR.nii.gz", "A_dseg.nii.gz", "B_flair.nii", "B_seg.nii.gz")


TREES: dict[str, tuple[Callable[[Path], Path], set[str], set[str], set[str]]] = {
    "nnunet": (
        *(nnunet_tree, {"BR_001", "BR_002", "BR_003"}, {"BR_001", "BR_002", "BR_003"}),
        {"flair", "t1"},
    ),
    "msd": (
        *(msd_tree, {"BRATS_001", "BRATS_485"}, {"BRATS_001", "BRATS_485"}),
        {"flair", "t1", "t1ce", "t2"},
    ),
    "datalist": (datalist_tree, {"a", "b"}, {"a", "b"}, {"flair"}),
    "bids": (
        *(bids_tree, {"sub-01_ses-1", "sub-01_ses-2", "sub-02"}, {"sub-01", "sub-02"}),
        {"t1", "t1ce"},
    ),
    "pictures": (pictures_tree, {"Y1", "1 no", "N_slice07"}, {"Y1", "1 no", "N"}, {"image"}),
    "brats": (
        *(brats_tree, {"BraTS18_x", "BraTS-GLI-00001-000", "BraTS-GLI-00001-001"}),
        *({"BraTS18_x", "BraTS-GLI-00001"}, {"flair", "t1ce"}),
    ),
    "flat": (flat_tree, {"A", "B"}, {"A", "B"}, {"flair"}),
}
"""Layout to how its tree is made, the names of the cases, the subjects, and the modalities."""
