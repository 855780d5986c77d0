"""Grids: when two volumes lie on one, and how the difference is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_files import AFFINE, ramp

from pipeline.files.images.volume import Volume, grid_difference, voxel_volume_ml


def test_the_voxel_volume_is_the_determinant() -> None:
    assert voxel_volume_ml(AFFINE) == pytest.approx(2 * 3 * 1.5 / 1000)
    assert voxel_volume_ml(np.diag([-1.0, 1, 1, 1])) == pytest.approx(1e-3)


def test_grids_are_equal_within_a_tenth_of_a_millimetre_at_the_corners() -> None:
    data, path = np.zeros((100, 100, 100)), Path("a")
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    rotated, scaled, shifted = affine.copy(), affine.copy(), affine.copy()
    rotated[0, 1] = 5e-4
    scaled[0, 0] += 2e-3
    shifted[0, 3] = 0.2
    base = Volume(data, affine, path)
    assert grid_difference(base, Volume(data, rotated, path)) is None
    for other in (scaled, shifted):
        assert grid_difference(base, Volume(data, other, path))
    assert grid_difference(base, Volume(data[1:], affine, path))


@pytest.mark.parametrize(("shift_mm", "is_one"), [(0.1, True), (0.1001, False)])
def test_a_tenth_of_a_millimetre_itself_is_allowed(shift_mm: float, is_one: bool) -> None:
    shifted = np.eye(4)
    shifted[0, 3] = shift_mm
    a, b = (Volume(ramp(2, 3, 4), affine, Path("a")) for affine in (np.eye(4), shifted))
    assert (grid_difference(a, b) is None) == (grid_difference(b, a) is None) == is_one


def test_how_grids_differ_is_said() -> None:
    moved = AFFINE.copy()
    moved[:3, 3] += [0.5, -1.25, 0]
    base = Volume(ramp(2, 3, 4), AFFINE, Path("a"))
    assert grid_difference(base, base) is None
    assert grid_difference(base, Volume(ramp(2, 3, 4), moved, Path("b"))) == (
        "one shape, but corners up to 1.25 mm apart"
    )
    assert grid_difference(base, Volume(ramp(2, 3, 5), AFFINE, Path("b"))) == (
        "shape (2, 3, 4) and (2, 3, 5)"
    )
