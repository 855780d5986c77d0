"""Small brains on any grid, for many tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BRAIN_CENTRE_MM = np.array([5.0, -12.0, 20.0])
SEMI_AXES_MM = np.array([60.0, 76.0, 55.0])
"""An ellipsoid of 1050 mL, in world space (RAS)."""

Intensity = Callable[[np.ndarray], np.ndarray]
"""World coordinates ``(..., 3)`` in millimetres to scanner units ``(...)``, > 0."""


def world_of(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """World coordinates of all voxels, ``(*shape, 3)``."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def centred_affine(linear: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Affine and shape of a grid with these axes (columns, mm) that holds the brain and a rim."""
    spacing = np.linalg.norm(linear, axis=0)
    half_mm = np.sqrt(((linear / spacing).T ** 2) @ SEMI_AXES_MM**2) + 6.0
    # One voxel more at one end, so that the brain is not in the middle of the array.
    shape = tuple(int(n) for n in 2 * np.ceil(half_mm / spacing) + 2)
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = BRAIN_CENTRE_MM - linear @ ((np.array(shape) - 2) / 2)
    return affine, shape


def inside_brain(world: np.ndarray) -> np.ndarray:
    """Whether points lie in the ellipsoid."""
    return (((world - BRAIN_CENTRE_MM) / SEMI_AXES_MM) ** 2).sum(-1) < 1


def smooth_intensity(world: np.ndarray) -> np.ndarray:
    """A brain without detail: it varies over centimetres, between 300 and 700."""
    x, y, z = np.moveaxis((world - BRAIN_CENTRE_MM) / 30.0, -1, 0)
    return 500 + 90 * np.sin(x + 0.3) + 60 * np.sin(y - 0.5) + 50 * np.cos(z + 0.2 * x)


LESION_MM, LESION_RADIUS_MM = np.array([30.0, -12.0, 25.0]), 15


def brain_with_lesion(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """The smooth brain with a bright ball in it, 0 outside."""
    world = world_of(shape, affine)
    data = np.where(inside_brain(world), smooth_intensity(world), 0.0)
    data[((world - LESION_MM) ** 2).sum(-1) < LESION_RADIUS_MM**2] *= 1.8
    return data


@dataclass(frozen=True)
class SmallBrain:
    """A skull-stripped brain on disk, and what it was made of."""

    path: Path
    data: np.ndarray
    affine: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        return self.data != 0

    @property
    def world(self) -> np.ndarray:
        return world_of(self.data.shape, self.affine)
