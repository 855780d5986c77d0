"""The model's working grid, and where it lies around a brain."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np


@dataclass(frozen=True)
class Grid:
    """The model's working grid: axial slices, centred on the brain, along the axes nearest RAS.

    Attributes:
        size: height and width of a slice in pixels.
        spacing_mm: pixel size.
        slice_spacing_mm: distance of the slices.
    """

    size: int = 64
    spacing_mm: float = 3.25
    slice_spacing_mm: float = 3.25

    @property
    def axes_mm(self) -> tuple[float, float, float]:
        """Spacing of a slice stack's axes: slices, rows, columns."""
        return self.slice_spacing_mm, self.spacing_mm, self.spacing_mm


def grid_affine(
    brain: np.ndarray, affine: np.ndarray, grid: Grid
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Affine and shape of the working grid around a brain.

    Its axes are the image's own, permuted and flipped to the nearest of right, anterior, superior;
    so an oblique image is not turned. In plane the grid is centred on the brain's bounding box;
    along the slices it spans it.

    Args:
        brain: ``(X, Y, Z)`` bool, True somewhere.
        affine: that of ``brain``, ``(4, 4)``, millimetres.
        grid: the working grid.

    Returns:
        The affine ``(4, 4)`` in millimetres of (column, row, slice), and the number of columns,
        rows and slices.
    """
    turn = nib.orientations.io_orientation(affine)
    axes = turn[:, 0].astype(int)
    spacing = np.array([grid.spacing_mm, grid.spacing_mm, grid.slice_spacing_mm])
    index = np.argwhere(brain)
    first, last = index.min(0), index.max(0)
    source_spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = np.empty((3, 3))
    extent = np.empty(3)
    for source_axis, (axis, flip) in enumerate(zip(axes, turn[:, 1], strict=True)):
        directions[:, axis] = affine[:3, source_axis] / source_spacing[source_axis] * flip
        extent[axis] = (last - first + 1)[source_axis] * source_spacing[source_axis]
    n_slices = max(1, int(np.ceil(extent[2] / grid.slice_spacing_mm)))
    shape = (grid.size, grid.size, n_slices)
    linear = directions * spacing
    centre = affine[:3, :3] @ ((first + last) / 2) + affine[:3, 3]
    result = np.eye(4)
    result[:3, :3] = linear
    result[:3, 3] = centre - linear @ ((np.array(shape) - 1) / 2)
    return result, shape
