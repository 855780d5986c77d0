"""Label maps among files whose name says nothing."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from cohorts import nifti, reasons, touch

from pipeline.cases.find import find_cases
from pipeline.cases.layouts.content import looks_like_labels
from pipeline.errors import InputError


def test_label_maps_in_nameless_folders_are_told_by_their_voxels(tmp_path: Path) -> None:
    nifti(tmp_path / "scans/one.nii.gz", range(8))
    noise = np.random.default_rng(0).integers(0, 99, (8, 8, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(noise, np.eye(4)), tmp_path / "scans/two.nii.gz")
    nib.save(nib.Nifti1Image(noise, np.eye(4)), tmp_path / "scans/three.nii")
    nifti(tmp_path / "scans/two_l.nii.gz", [1, 2])
    cohort = find_cases(tmp_path / "scans", modalities=["flair"])
    assert [case.name for case in cohort.cases] == ["three", "two"]
    assert {
        n for n, why in reasons(cohort).items() if why.startswith("looks like a label map")
    } == {*("one.nii.gz", "two_l.nii.gz")}


def test_a_label_map_alone_is_no_scan(tmp_path: Path) -> None:
    path = nifti(tmp_path / "lesion1.nii.gz", [1])
    with pytest.raises(InputError, match="looks like a label map"):
        find_cases(path, modalities=["flair"])


def test_a_map_is_told_by_the_number_of_its_values_in_any_kind(tmp_path: Path) -> None:
    few = np.zeros((64, 64, 70))
    few[..., -1] = 0.5  # beyond the first piece that is read
    many = few + np.arange(70) * (np.arange(70) > 58)
    for dtype in (np.float32, np.float64, ">i2"):
        for suffix in (".nii", ".nii.gz"):
            for data, expected in ((2 * few, True), (2 * many, False), (0 * few, False)):
                nib.save(nib.Nifti1Image(data.astype(dtype), np.eye(4)), tmp_path / f"x{suffix}")
                assert looks_like_labels(tmp_path / f"x{suffix}") is expected


def test_what_cannot_be_read_is_left_to_the_reader(tmp_path: Path) -> None:
    torn = nifti(tmp_path / "torn.nii.gz", [1, 2])
    torn.write_bytes(torn.read_bytes()[:-20])
    touch(tmp_path, "empty.nii.gz", "picture.png")
    for name in ("torn.nii.gz", "empty.nii.gz", "picture.png", "gone.nii"):
        assert not looks_like_labels(tmp_path / name)
