"""Small brains on every kind of grid as cases, prepared for the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from brains import BRAIN_CENTRE_MM, SmallBrain, smooth_intensity, world_of

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.grid import Grid, grid_affine
from pipeline.cases.transforms import CaseTransforms, Prepared

MakeBrain = Callable[..., SmallBrain]


WORKING = Grid(size=64, spacing_mm=3.25, slice_spacing_mm=3.25)


def turned(degrees: tuple[float, float, float]) -> np.ndarray:
    """A rotation about the three axes, one after the other."""
    result = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = (a for a in range(3) if a != axis)
        step = np.eye(3)
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        result = step @ result
    return result


LINEARS: dict[str, np.ndarray] = {
    "ras": np.diag([3.0, 3.0, 3.0]),
    "fine": np.diag([2.0, 2.0, 2.0]),
    "flipped": np.diag([-3.0, 3.0, -3.0]),
    "lps": np.diag([-2.5, -2.5, 2.5]),
    "permuted": np.array([[0, 0, 3.0], [3.0, 0, 0], [0, 3.0, 0]]),
    "permuted_flipped": np.array([[0, -2.5, 0], [0, 0, 3.0], [-3.0, 0, 0]]),
    "anisotropic": np.diag([2.0, 2.5, 5.0]),
    "oblique": turned((12.0, -8.0, 15.0)) * 3.0,
    "oblique_permuted": turned((-10.0, 6.0, 9.0))
    @ np.array([[0, 0, -2.5], [3.0, 0, 0], [0, 3.5, 0]]),
}


def case_of(brain: SmallBrain, **other: object) -> Case:
    return Case("case", "case", {"t1": ImageFile(brain.path)}, **other)  # type: ignore[arg-type]


def prepare(case: Case, grid: Grid = WORKING, modalities: tuple[str, ...] = ("t1",)) -> Prepared:
    return CaseTransforms(modalities, grid)(case)


def stack_affine(prepared: Prepared) -> np.ndarray:
    """Affine of the working grid, (column, row, slice) to world."""
    affine, shape = grid_affine(prepared.source_brain, prepared.source_affine, prepared.grid)
    assert (shape[2], shape[1], shape[0]) == (
        prepared.slices.shape[0],
        prepared.slices.shape[2],
        prepared.slices.shape[3],
    )
    return affine


def stack_world(prepared: Prepared) -> np.ndarray:
    """World coordinates of every pixel of the stack, ``(N, H, W, 3)``."""
    n, _, height, width = prepared.slices.shape
    return world_of((width, height, n), stack_affine(prepared)).transpose(2, 1, 0, 3)


MARKER_MM = BRAIN_CENTRE_MM + np.array([24.0, 33.0, 18.0])


def with_marker(world: np.ndarray) -> np.ndarray:
    """A blob at the right, anterior and superior."""
    distance2 = ((world - MARKER_MM) ** 2).sum(-1)
    return smooth_intensity(world) + 1500 * np.exp(-distance2 / (2 * 9.0**2))


def write(path: Path, data: np.ndarray, affine: np.ndarray) -> ImageFile:
    nib.save(nib.Nifti1Image(data, affine), path)
    return ImageFile(path)


def disc(height: int, width: int) -> np.ndarray:
    """A brain slice as a grey picture: rows downwards, a bright spot at the top right."""
    y, x = np.mgrid[:height, :width].astype(float)
    y, x = (y - height / 2) / (height * 0.42), (x - width / 2) / (width * 0.36)
    grey = 110 + 40 * np.sin(3 * x) + 30 * np.cos(4 * y)
    grey += 60 * np.exp(-((x - 0.4) ** 2 + (y + 0.5) ** 2) / 0.03)
    return np.where(x**2 + y**2 < 1, grey, 0).astype(np.uint8)
