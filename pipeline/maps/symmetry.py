"""Left against right: what a brain shows on one side only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from pipeline.cases.grid import Grid

REACH_MM = 7.0
"""The other side is compared with what lies so near to the mirrored place: folds do not mirror."""
SEARCH = ((4.0, 0.08), (2.0, 0.04), (1.0, 0.02))
"""Steps of the search for the midplane: millimetres along its normal, slopes of the normal."""
MAX_SHIFT_MM, MAX_SLOPE = 20.0, 0.4
_OUTLIER = 0.2
"""Differences of intensity count up to this, so that a tumour does not turn the plane."""


@dataclass(frozen=True)
class Midplane:
    """The plane that mirrors a brain onto itself best, on the working grid.

    Attributes:
        shift_mm: from the centre of the brain along the normal.
        slopes: of the normal along slices and rows, against columns.
    """

    shift_mm: float = 0.0
    slopes: tuple[float, float] = (0.0, 0.0)

    def mirror(self, volume: np.ndarray, brain: np.ndarray, grid: Grid) -> np.ndarray:
        """A volume seen in the mirror.

        Args:
            volume: ``(N, H, W)``, any unit.
            brain: same shape, bool, not empty.
            grid: of both.

        Returns:
            Same shape and unit, 0 where the mirrored place lies outside of the volume.
        """
        scale = np.array(grid.axes_mm)
        normal = np.array([*self.slopes, 1.0])
        normal /= np.linalg.norm(normal)
        centre = np.argwhere(brain).mean(0) * scale + self.shift_mm * normal
        reflection = np.eye(3) - 2 * np.outer(normal, normal)
        matrix = reflection * scale / scale[:, None]
        offset = 2 * (centre @ normal) * normal / scale
        return np.asarray(ndimage.affine_transform(volume, matrix, offset, order=1))


def find_midplane(slices: Tensor, brain: Tensor, grid: Grid) -> Midplane:
    """The midplane of a brain: the one in whose mirror it differs least from itself.

    Coordinate descent from the sagittal plane through the brain's centre, in steps that halve.

    Args:
        slices: ``(N, C, H, W)`` in [-1, 1], columns from left to right.
        brain: ``(N, 1, H, W)`` bool, not empty.
        grid: of both.
    """
    inside = brain[:, 0].numpy()
    image = (slices.mean(1).numpy() + 1) / 2 * inside
    image = ndimage.uniform_filter(image, 3, mode="constant")

    def misfit(plane: tuple[float, float, float]) -> float:
        if abs(plane[0]) > MAX_SHIFT_MM or max(map(abs, plane[1:])) > MAX_SLOPE:
            return np.inf
        mirrored = Midplane(plane[0], plane[1:]).mirror(image, inside, grid)
        return float(np.minimum(np.abs(mirrored - image)[inside], _OUTLIER).mean())

    best = (0.0, 0.0, 0.0)
    least = misfit(best)
    for step_mm, step_slope in SEARCH:
        moved = True
        while moved:
            moved = False
            for axis, step in enumerate((step_mm, step_slope, step_slope)):
                for signed in (-step, step):
                    tried = list(best)
                    tried[axis] += signed
                    plane = (tried[0], tried[1], tried[2])
                    if (value := misfit(plane)) < least:
                        best, least, moved = plane, value, True
    return Midplane(best[0], best[1:])


def asymmetry(values: Tensor, plane: Midplane, brain: Tensor, grid: Grid, kind: str) -> Tensor:
    """By how much values exceed all that is found about the mirrored place.

    Args:
        values: signed, ``(N, 1, H, W)``, 0 outside the brain.
        plane: of the brain.
        brain: ``(N, 1, H, W)`` bool.
        grid: of both.
        kind: ``positive`` (higher than the other side), ``negative`` (lower), or either.

    Returns:
        ``(N, 1, H, W)``, >= 0, in units of ``values``, 0 outside the brain.
    """
    here = values[:, 0].numpy()
    there = plane.mirror(here, brain[:, 0].numpy(), grid)
    size = tuple(2 * int(REACH_MM / mm) + 1 for mm in grid.axes_mm)
    result = np.zeros_like(here)
    if kind != "negative":
        result += np.maximum(here - ndimage.maximum_filter(there, size, mode="constant"), 0)
    if kind != "positive":
        result += np.maximum(ndimage.minimum_filter(there, size, mode="constant") - here, 0)
    return torch.from_numpy(result)[:, None] * brain
