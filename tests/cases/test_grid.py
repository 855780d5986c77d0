"""Where the working grid lies around a brain, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.cases.grid import Grid, grid_affine


def test_the_grid_is_centred_in_plane_and_spans_the_slices() -> None:
    brain = np.zeros((10, 12, 8), bool)
    brain[2:6, 3:9, 1:7] = True  # middle (3.5, 5.5, 3.5), six slices of 2 mm
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[:3, 3] = [10.0, 20.0, 30.0]
    working, shape = grid_affine(brain, affine, Grid(size=4, spacing_mm=3.0, slice_spacing_mm=5.0))
    assert shape == (4, 4, 3)  # 12 mm in slices of 5
    np.testing.assert_allclose(working[:3, :3], np.diag([3.0, 3.0, 5.0]))
    middle = working @ [1.5, 1.5, 1.0, 1.0]
    np.testing.assert_allclose(middle[:3], [13.5, 25.5, 37.0])


def test_axes_are_permuted_and_flipped_but_not_turned() -> None:
    affine = np.array([[0, -2.0, 0, 0], [0, 0, 1.0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])
    working, _ = grid_affine(np.ones((2, 3, 4), bool), affine, Grid(8, 1.5, 2.5))
    np.testing.assert_allclose(working[:3, :3], np.diag([1.5, 1.5, 2.5]))


@pytest.mark.parametrize(("thickness_mm", "n_slices"), [(0.5, 1), (2.0, 1), (2.1, 2), (4.0, 2)])
def test_a_single_slice_gets_as_many_as_it_is_thick(thickness_mm: float, n_slices: int) -> None:
    affine = np.diag([1.0, 1.0, thickness_mm, 1.0])
    _, shape = grid_affine(np.ones((4, 4, 1), bool), affine, Grid(8, 1.0, 2.0))
    assert shape == (8, 8, n_slices)


def test_the_spacing_of_a_stack_is_given_slices_first() -> None:
    assert Grid(64, 3.25, 1.5).axes_mm == (1.5, 3.25, 3.25)
