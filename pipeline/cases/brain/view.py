"""How much of a brain lies in the model's field of view."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from pipeline.cases.case import Case
from pipeline.cases.grid import Grid
from pipeline.errors import InputError

MIN_IN_VIEW = 0.5
"""A result of less than this share of the brain would be one of nothing."""
NOTED_IN_VIEW = 0.97


def notes_of_view(
    case: Case, source_brain: np.ndarray, affine: np.ndarray, brain: Tensor, grid: Grid
) -> tuple[str, ...]:
    """What a user should know of a brain on the working grid.

    Args:
        source_brain: ``(X, Y, Z)`` bool, of affine ``(4, 4)`` in mm.
        brain: the same on the grid, ``(N, 1, H, W)`` bool.

    Raises:
        InputError: hardly anything of it lies there.
    """
    field_mm = grid.size * grid.spacing_mm
    if not brain.any():
        raise InputError(
            f"case {case.name}: no voxel of its brain lies on the model's grid of {field_mm:.0f} "
            "mm: are spacings and affine in the header right?"
        )
    if min(source_brain.shape) == 1:
        return ()
    on_grid_ml = float(brain.sum()) * grid.spacing_mm**2 * grid.slice_spacing_mm / 1000.0
    source_ml = float(source_brain.sum()) * abs(np.linalg.det(affine[:3, :3])) / 1000.0
    if on_grid_ml >= NOTED_IN_VIEW * source_ml:
        return ()
    outside = (
        f"{100 * (1 - on_grid_ml / source_ml):.0f} % of the brain lie outside the model's field "
        f"of view of {field_mm:.0f} mm"
    )
    if on_grid_ml < MIN_IN_VIEW * source_ml:
        raise InputError(
            f"case {case.name}: {outside}: are spacings and affine in the header right?"
        )
    return (f"{outside}; the map is 0 there",)
