"""What a header says of space: units, forms, and what is guessed where it says nothing."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from image_files import AFFINE, PIXDIM, QUATERNION, SLOPE, UNITS, overwrite, ramp, refusal, save

from pipeline.files.images.reading import read_header, read_volume

GRID = np.diag([1.5, 1.6, 1.7, 1.0])


def with_forms(path: Path, sform: np.ndarray | None, qform: np.ndarray | None) -> Path:
    image = nib.Nifti1Image(ramp(10, 11, 12), GRID)
    image.set_sform(GRID if sform is None else sform, 0 if sform is None else 1)
    image.set_qform(GRID if qform is None else qform, 0 if qform is None else 1)
    nib.save(image, path)
    return path


@pytest.mark.parametrize(("unit", "code", "per_mm"), [("metres", 1, 1e-3), ("micrometres", 3, 1e3)])
def test_other_units_become_millimetres_with_a_note(
    unit: str, code: int, per_mm: float, tmp_path: Path
) -> None:
    affine = GRID.copy()
    affine[:3] *= per_mm
    path = overwrite(save(tmp_path / "a.nii.gz", ramp(3, 4, 5), affine), UNITS, "b", code)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine, GRID, rtol=1e-6)
    assert volume.notes == (
        f"The header counts in {unit}; converted to voxels of 1.5 x 1.6 x 1.7 mm.",
    )
    assert read_header(path).notes == volume.notes


@pytest.mark.parametrize("code", [0, 2, 8, 10])
def test_millimetres_and_no_unit_are_taken_as_they_are(code: int, tmp_path: Path) -> None:
    path = overwrite(save(tmp_path / "a.nii.gz", ramp(3, 4, 5), GRID), UNITS, "b", code)
    assert read_volume(path).notes == ()
    np.testing.assert_allclose(read_volume(path).affine, GRID, rtol=1e-6)


def test_metres_that_are_millimetres_are_refused_with_the_cause(tmp_path: Path) -> None:
    path = overwrite(save(tmp_path / "a.nii.gz", ramp(3, 4, 5), GRID), UNITS, "b", 1)
    assert "counts in metres, so that voxels are 1.5e+03" in refusal(path)


@pytest.mark.parametrize("d", [1.0000002, 1.0004])
def test_a_quaternion_off_by_rounding_is_taken(d: float, tmp_path: Path) -> None:
    path = with_forms(tmp_path / "a.nii", None, GRID)
    overwrite(path, QUATERNION, "3f", 0.0, 0.0, d)
    np.testing.assert_allclose(np.diag(read_volume(path).affine)[:3], [-1.5, -1.6, 1.7], rtol=1e-6)


def test_a_quaternion_that_is_none_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    path = overwrite(with_forms(tmp_path / "a.nii", None, GRID), QUATERNION, "3f", 0.0, 0.0, 1.5)
    assert "w2 should be positive" in refusal(path)
    path = overwrite(with_forms(tmp_path / "b.nii", GRID, GRID), QUATERNION, "3f", 0.0, 0.0, 1.5)
    assert read_volume(path).notes == ("The qform is not usable; the sform is used.",)
    assert read_volume(path).forms == (1, 0, ())


def test_a_guessed_orientation_is_said(tmp_path: Path) -> None:
    volume = read_volume(with_forms(tmp_path / "a.nii", None, None))
    np.testing.assert_allclose(np.diag(volume.affine)[:3], [-1.5, 1.6, 1.7], rtol=1e-6)
    assert len(volume.notes) == 1
    assert "Neither sform nor qform is set" in volume.notes[0]


def test_forms_that_differ_are_said_and_the_sform_is_used(tmp_path: Path) -> None:
    flipped, shifted, near = GRID.copy(), GRID.copy(), GRID.copy()
    flipped[0, 0], flipped[0, 3] = -1.5, 13.5
    shifted[2, 3] = 1.1
    near[2, 3] = 0.9
    for qform, said in ((flipped, "sform (RAS) and qform (LAS)"), (shifted, "up to 1.1 mm")):
        volume = read_volume(with_forms(tmp_path / "a.nii", GRID, qform))
        np.testing.assert_allclose(volume.affine, GRID, rtol=1e-6)
        assert len(volume.notes) == 1
        assert said in volume.notes[0]
        np.testing.assert_allclose(np.reshape(volume.forms.other_qform, (4, 4)), qform, atol=1e-5)
    assert read_volume(with_forms(tmp_path / "a.nii", GRID, near)).notes == ()


def test_small_voxels_are_not_singular(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", ramp(3, 4, 5), np.diag([0.005, 0.005, 0.005, 1.0]))
    assert read_volume(path).voxel_ml == pytest.approx(1.25e-10)


def test_a_negative_voxel_size_is_repaired_with_a_note(tmp_path: Path) -> None:
    path = overwrite(with_forms(tmp_path / "a.nii", None, GRID), PIXDIM + 4, "f", -1.5)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine, GRID, rtol=1e-6)
    assert volume.notes[0].startswith("Header repaired: pixdim")


@pytest.mark.parametrize("scale", [(0.0, 7.0), (np.nan, 7.0), (np.inf, 0.0), (1.0, 0.0)])
def test_scale_factors_that_are_none_leave_the_values(
    scale: tuple[float, float], tmp_path: Path
) -> None:
    path = overwrite(save(tmp_path / "a.nii", ramp(3, 4, 5)), SLOPE, "2f", *scale)
    assert np.array_equal(read_volume(path).data, ramp(3, 4, 5))


def test_an_infinite_intercept_is_refused(tmp_path: Path) -> None:
    path = overwrite(save(tmp_path / "a.nii", ramp(3, 4, 5)), SLOPE, "2f", 2.0, np.inf)
    assert "intercept" in refusal(path)


def test_scaling_is_done_in_float64(tmp_path: Path) -> None:
    data = ramp(3, 4, 5).astype(np.int32) + 2**24
    path = overwrite(save(tmp_path / "a.nii", data, AFFINE), SLOPE, "2f", 2.0, -(2.0**25))
    assert np.array_equal(read_volume(path).data, 2 * ramp(3, 4, 5))


def test_values_beyond_float32_are_refused(tmp_path: Path) -> None:
    data = np.ones((3, 4, 5))
    data[0, 0, 0] = 1e39
    assert "1 voxel beyond 3.4e+38" in refusal(save(tmp_path / "a.nii", data))
