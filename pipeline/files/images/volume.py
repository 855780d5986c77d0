"""A volume and the grid that it lies on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

GRID_TOLERANCE_MM = 0.1
"""Two grids are one where no corner differs by more along any axis."""


EXACT_MM = 1e-3
"""Two affines say the same where no corner differs by more."""


class Forms(NamedTuple):
    """A NIfTI header's two ways to place voxels.

    Attributes:
        sform, qform: their codes; 0 is not at all.
        other_qform: the 16 numbers of the qform's affine in millimetres, where it is set beside an
            sform and says something else; empty otherwise.
    """

    sform: int
    qform: int
    other_qform: tuple[float, ...] = ()


SFORM_ALONE = Forms(2, 0)
"""What a volume is written with where no other header is followed: an sform, aligned."""


@dataclass(frozen=True)
class Volume:
    """An image on its own grid.

    Attributes:
        data: voxels, ``(X, Y, Z)``.
        affine: voxel index to world (RAS, millimetres), ``(4, 4)`` float64.
        path: the file it came from.
        notes: what was guessed, converted or left out on reading, one sentence each.
        forms: of the file's header, so that a result is placed as its source is.
        lossy: whether values next to each other stand for one, as a JPEG leaves them.
    """

    data: np.ndarray
    affine: np.ndarray
    path: Path
    notes: tuple[str, ...] = ()
    forms: Forms = SFORM_ALONE
    lossy: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """``(X, Y, Z)``."""
        return self.data.shape

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return voxel_volume_ml(self.affine)


@dataclass(frozen=True)
class VolumeHeader:
    """What is known of a volume before its voxels are read.

    Attributes:
        shape: ``(X, Y, Z)``, of one channel.
        affine, path, notes, forms: as of `Volume`.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    path: Path
    notes: tuple[str, ...] = ()
    forms: Forms = SFORM_ALONE


class OnGrid(Protocol):
    """What lies on a grid."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(X, Y, Z)``."""

    @property
    def affine(self) -> np.ndarray:
        """Voxel index to world in millimetres, ``(4, 4)``."""


def voxel_volume_ml(affine: np.ndarray) -> float:
    """Volume of one voxel in millilitres, from the affine ``(4, 4)`` in millimetres."""
    return float(abs(np.linalg.det(affine[:3, :3]))) / 1000.0


def grid_difference(a: OnGrid, b: OnGrid) -> str | None:
    """How the grids of two volumes differ; None where they lie on one.

    They lie on one where their shapes are equal and the world coordinates of no corner voxel differ
    by more than `GRID_TOLERANCE_MM`.
    """
    if a.shape != b.shape:
        return f"shape {a.shape} and {b.shape}"
    distance_mm = corner_distance_mm(a.affine, b.affine, a.shape)
    if distance_mm <= GRID_TOLERANCE_MM:
        return None
    return f"one shape, but corners up to {distance_mm:.3g} mm apart"


def corner_distance_mm(a: np.ndarray, b: np.ndarray, shape: tuple[int, ...]) -> float:
    """How far apart along an axis two affines ``(4, 4)`` place a corner of ``(X, Y, Z)`` voxels."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    points = np.column_stack([corners, np.ones(8)])
    return float(np.abs(points @ (a - b).T).max())
