"""The midplane of a brain, and what lies on one side of it only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.cases.grid import Grid
from pipeline.maps.symmetry import Midplane, asymmetry, find_midplane

GRID = Grid(64, 3.25, 3.25)


def head(slopes: tuple[float, float] = (0.0, 0.0), cut: bool = False) -> tuple[Tensor, Tensor]:
    """An ellipsoid with a dark slit and two dark ventricles that are symmetric about a plane.

    Args:
        cut: a part of the right side is missing, so that the brain's centre is not the plane's.
    """
    scale = np.array(GRID.axes_mm)
    index = np.stack(np.meshgrid(np.arange(44), *[np.arange(64)] * 2, indexing="ij"), -1)
    normal = np.array([*slopes, 1.0])
    normal /= np.linalg.norm(normal)
    at = (index - np.array([21.5, 31.5, 31.5])) * scale
    brain = ((at / np.array([65.0, 85.0, 70.0])) ** 2).sum(-1) < 1
    brain &= (not cut) | (at[..., 2] < 45)
    across = np.abs(at @ normal)
    image = np.where(brain, 0.2, -1.0)
    image[brain & (across < 4)] = -0.8
    image[brain & (np.abs(across - 15) < 7) & (np.abs(at[..., 1]) < 25)] = -0.6
    return torch.from_numpy(image).float()[:, None], torch.from_numpy(brain)[:, None]


@pytest.mark.parametrize("slopes", [(0.0, 0.0), (0.1, 0.0), (0.06, -0.12), (-0.2, 0.1)])
def test_the_midplane_is_found(slopes: tuple[float, float]) -> None:
    plane = find_midplane(*head(slopes), GRID)
    assert plane.shift_mm == pytest.approx(0, abs=1.5)
    assert plane.slopes == pytest.approx(slopes, abs=0.03)


@pytest.mark.parametrize("first", [slice(None), slice(20, 21)])
def test_the_midplane_is_found_where_a_part_of_one_side_is_missing(first: slice) -> None:
    slices, brain = (part[first] for part in head(cut=True))
    off_centre = (31.5 - float(np.argwhere(brain[:, 0].numpy()).mean(0)[2])) * 3.25
    assert off_centre > 3
    plane = find_midplane(slices, brain, GRID)
    assert plane.shift_mm == pytest.approx(off_centre, abs=1.5)


def test_a_tumour_does_not_turn_the_midplane() -> None:
    slices, brain = head()
    slices[15:28, :, 25:38, 40:50] = torch.where(brain[15:28, :, 25:38, 40:50], 0.9, -1.0)
    plane = find_midplane(slices, brain, GRID)
    assert plane.shift_mm == pytest.approx(0, abs=1.5)
    assert plane.slopes == pytest.approx((0, 0), abs=0.03)


def test_mirroring_twice_gives_the_volume_back() -> None:
    slices, brain = head()
    inside = brain[:, 0].numpy()
    volume = slices[:, 0].numpy() + 1
    plane = Midplane(2 * 3.25, (0.0, 0.0))
    once = plane.mirror(volume, inside, GRID)
    np.testing.assert_allclose(plane.mirror(once, inside, GRID)[:, :, 10:-4], volume[:, :, 10:-4])
    np.testing.assert_allclose(Midplane().mirror(volume, inside, GRID), volume[:, :, ::-1])


def test_only_the_side_that_stands_out_is_asymmetric() -> None:
    _, brain = head()
    values = torch.zeros(brain.shape)
    values[20:24, :, 28:34, 44:48] = 2.0  # on the right only, above the other side
    values[20:24, :, 40:44, 14:18] = -1.5  # on the left only, below the other side
    values[10:14, :, 30:34, 42:46] = values[10:14, :, 30:34, 18:22] = 3.0  # on both sides
    shown = {
        kind: asymmetry(values, Midplane(), brain, GRID, kind)
        for kind in ("positive", "negative", "absolute", "squared")
    }
    bright, dark, both = (22, 0, 31, 45), (22, 0, 42, 15), (12, 0, 31, 43)
    assert [float(shown["positive"][place]) for place in (bright, dark, both)] == [2, 0, 0]
    assert [float(shown["negative"][place]) for place in (bright, dark, both)] == [0, 1.5, 0]
    assert [float(shown["absolute"][place]) for place in (bright, dark, both)] == [2, 1.5, 0]
    assert torch.equal(shown["absolute"], shown["squared"])
    assert all(float(map_.min()) == 0 for map_ in shown.values())
    # The mirrored places are not: what is missing there is not strange.
    assert float(shown["positive"][22, 0, 31, 18]) == 0


def test_a_small_shift_of_the_other_side_is_no_asymmetry() -> None:
    _, brain = head()
    values = torch.zeros(brain.shape)
    values[20:24, :, 28:34, 44:48] = 2.0
    values[20:24, :, 30:36, 17:21] = 2.0  # its twin, 6.5 mm away from the mirrored place
    assert float(asymmetry(values, Midplane(), brain, GRID, "positive").max()) == 0
