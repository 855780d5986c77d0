"""What is drawn before any voxel is touched: size, make-up and place of a tumour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pipeline.errors import InputError
from pipeline.phantom.tissue import Tissue

MIN_VOLUME_ML, MEDIAN_VOLUME_ML, MAX_VOLUME_ML = 3.0, 40.0, 150.0
MIN_BRAIN_ML = 200.0


@dataclass(frozen=True)
class Plan:
    """A tumour to come.

    Attributes:
        volume_ml: of the whole tumour.
        core_fraction: share of the core in it, in 0..1; the rest is oedema.
        enhancing: whether the core has a part that takes up contrast agent.
        necrotic: whether the core has a part that does not.
        rim_mm: thickness of the enhancing rim.
        push_mm: largest displacement of the tissue around the core.
    """

    volume_ml: float
    core_fraction: float
    enhancing: bool
    necrotic: bool
    rim_mm: float
    push_mm: float

    @property
    def radius_mm(self) -> float:
        """Radius of a ball with the volume of the whole tumour."""
        return float((3000.0 * self.volume_ml / (4 * np.pi)) ** (1 / 3))

    @property
    def core_radius_mm(self) -> float:
        """Radius of a ball with the volume of the core."""
        return float(self.radius_mm * self.core_fraction ** (1 / 3))


@dataclass(frozen=True)
class Site:
    """The box of brain that a tumour grows in.

    Attributes:
        brain_mask: bool ``(X, Y, Z)``.
        tissue: maps on the same grid.
        spacing_mm: voxel size along each axis.
        centre: of the tumour, in voxels of the box.
    """

    brain_mask: np.ndarray
    tissue: Tissue
    spacing_mm: np.ndarray
    centre: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the box."""
        return self.brain_mask.shape

    def offsets_mm(self, centre: np.ndarray) -> list[np.ndarray]:
        """Signed distance from ``centre`` (voxels) along each axis, float32 arrays that broadcast.

        Returns:
            ``(X, 1, 1)``, ``(1, Y, 1)`` and ``(1, 1, Z)``, in mm.
        """
        grids = np.ogrid[tuple(slice(0, n) for n in self.shape)]
        return [
            ((grid - c) * s).astype(np.float32)
            for grid, c, s in zip(grids, centre, self.spacing_mm, strict=True)
        ]


def draw_plan(rng: np.random.Generator, volume_ml: float | None, brain_ml: float) -> Plan:
    """Draw size and make-up; volumes are log-normal with a median near 40 mL, cut to 3-150 mL.

    Raises:
        InputError: the brain is too small to hold the tumour.
    """
    drawn = 0.0
    while not MIN_VOLUME_ML <= drawn <= MAX_VOLUME_ML:
        drawn = float(np.exp(rng.normal(np.log(MEDIAN_VOLUME_ML), 0.9)))
    volume = drawn if volume_ml is None else volume_ml
    if brain_ml < MIN_BRAIN_ML or volume > brain_ml / 4:
        raise InputError(
            f"a tumour of {volume:.0f} mL does not fit a brain of {brain_ml:.0f} mL; "
            "check the brain mask and the affine, or ask for a smaller one"
        )
    enhancing = bool(rng.random() < 0.78)
    necrotic = bool(rng.random() < 0.8) or not enhancing
    core_fraction = float(rng.uniform(0.15, 0.65))
    plan = Plan(volume, core_fraction, enhancing, necrotic, float(rng.uniform(1.5, 5.0)), 0.0)
    push_mm = float(np.clip(plan.core_radius_mm * rng.uniform(0.1, 0.45), 0.5, 9.0))
    return Plan(volume, core_fraction, enhancing, necrotic, plan.rim_mm, push_mm)


def draw_centre(
    rng: np.random.Generator,
    plan: Plan,
    tissue: Tissue,
    brain_mask: np.ndarray,
    affine: np.ndarray,
) -> np.ndarray:
    """Draw the centre: white matter above the tentorium, deep enough for the core.

    Args:
        rng: drawn from.
        plan: of the tumour.
        tissue: maps ``(X, Y, Z)``.
        brain_mask: bool, same shape.
        affine: voxel index to world (RAS, mm), ``(4, 4)``; its shift does not matter.

    Returns:
        In voxels, ``(3,)`` float64.
    """
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    stride = np.maximum(np.rint(3.0 / spacing_mm), 1).astype(int)
    coarse = tuple(slice(int(s) // 2, None, int(s)) for s in stride)
    mask, white, csf = brain_mask[coarse], tissue.white[coarse], tissue.csf[coarse]
    depth_mm = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing_mm * stride)
    depth_mm = depth_mm[1:-1, 1:-1, 1:-1]
    voxel = np.argwhere(mask) * stride + stride // 2
    world = voxel @ affine[:3, :3].T
    low, high = np.percentile(world, [0.5, 99.5], axis=0)
    x, y, z = ((world - low) / np.maximum(high - low, 1e-6)).T
    cerebellum = (z < 0.42 - 0.18 * np.clip((y - 0.45) / 0.2, 0, 1)) & (y < 0.62)
    wanted_mm = np.clip(0.7 * plan.core_radius_mm, 5.0, 16.0)
    weight = (0.1 + white[mask]) * (1 - csf[mask]) * np.clip(depth_mm[mask] / wanted_mm, 0, 1) ** 2
    # Gliomas of the midline (callosum, thalamus) are the rarer ones.
    weight *= np.where(cerebellum, 0.0, 1.0) * np.where(np.abs(x - 0.5) < 0.07, 0.3, 1.0)
    if weight.sum() <= 0:
        weight = np.ones(len(voxel))
    drawn = rng.choice(len(voxel), p=weight / weight.sum())
    return np.asarray(voxel[drawn], dtype=float)


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around a mask ``(X, Y, Z)`` bool that is not empty."""
    box = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)


def box_around(
    centre: np.ndarray, radius_mm: float, spacing_mm: np.ndarray, shape: Sequence[int]
) -> tuple[slice, ...]:
    """The box around a ball, cut to the grid of that shape.

    Args:
        centre: in voxels, ``(3,)``.
        radius_mm: of the ball.
        spacing_mm: voxel size along each axis, ``(3,)``.
        shape: X, Y, Z.
    """
    low = np.maximum(np.floor(centre - radius_mm / spacing_mm), 0).astype(int)
    high = np.minimum(np.ceil(centre + radius_mm / spacing_mm) + 1, shape).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
