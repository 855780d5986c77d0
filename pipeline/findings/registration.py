"""Where one brain lies in another: affine to an atlas, rigid between two scans of a person.

By mutual information inside the brains, whatever the contrasts are (Mattes et al., IEEE
Transactions on Medical Imaging 2003; SimpleITK).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

MARGIN_VOXELS = 3
"""About a brain on a lattice, so that its edge counts."""
N_BINS = 32
"""Of an image in the joint histogram."""
MIN_WIDTH_MM = 60.0
"""Of a brain along each axis of the world, to be registered at all: less is a slab or a picture."""
BRIGHT_QUANTILE = 0.995
MAX_STEPS = 120
"""Of the optimiser on a level."""
FINE, COARSE = 0.7, 3.0
"""Blurs in voxels, between which the structure lies that is a person's own."""
INNER_VOXELS = 2
"""From the edge of a brain, which says more of the mask than of the person."""


@dataclass(frozen=True)
class Lattice:
    """A brain on voxels of one size along the axes of the world.

    Attributes:
        image: ``(X, Y, Z)`` float32 in [0, 1], 0 outside the brain.
        brain: same shape, bool.
        affine: voxel index to world (RAS, millimetres), ``(4, 4)``, a scaling and a shift.
    """

    image: np.ndarray
    brain: np.ndarray
    affine: np.ndarray


class Level(NamedTuple):
    """Of a registration, coarse to fine: of the fixed lattice's voxels.

    Attributes:
        shrink: every so manieth counts along an axis.
        blur: standard deviation of a Gaussian, in voxels.
        share: of them that are looked at, drawn with one seed.
    """

    shrink: int
    blur: float
    share: float = 1.0


def on_lattice(
    image: np.ndarray, brain: np.ndarray, affine: np.ndarray, spacing_mm: float
) -> Lattice:
    """A brain on voxels of that size along the axes of the world.

    Args:
        image: ``(X, Y, Z)``, any unit.
        brain: same shape, bool; not empty.
        affine: voxel index to world in millimetres, ``(4, 4)``.
        spacing_mm: of the lattice.
    """
    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    first = np.array([side.start for side in box])
    inside = np.ascontiguousarray(brain[box])
    low, high = np.quantile(image[box][inside][::7], (1 - BRIGHT_QUANTILE, BRIGHT_QUANTILE))
    # Above 0: the darkest voxel of a brain is no background.
    unit = np.clip((image[box] - low) / max(float(high - low), 1e-9), 0.02, 1) * inside
    placed = affine.astype(float).copy()
    placed[:3, 3] = affine[:3, :3] @ first + affine[:3, 3]
    unit, coarse = _block_means(unit.astype(np.float32), placed, spacing_mm)
    share, _ = _block_means(inside.astype(np.float32), placed, spacing_mm)
    corners = _corners(share.shape, coarse)
    start = corners.min(0) - MARGIN_VOXELS * spacing_mm
    shape = np.ceil((corners.max(0) - start) / spacing_mm).astype(int) + 1 + MARGIN_VOXELS
    grid = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    grid[:3, 3] = start
    way = np.linalg.inv(coarse) @ grid
    values, there = (
        ndimage.affine_transform(v, way[:3, :3], way[:3, 3], output_shape=tuple(shape), order=1)
        for v in (unit, share)
    )
    return Lattice(values / np.maximum(there, 0.5) * (there > 0.5), there > 0.5, grid)


def _block_means(
    volume: np.ndarray, affine: np.ndarray, spacing_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Means of blocks of voxels that are no wider than the spacing, and their affine."""
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    factors = np.maximum(1, (spacing_mm / sides + 0.25).astype(int))
    padding = [(0, int(-n % f)) for n, f in zip(volume.shape, factors, strict=True)]
    padded = np.pad(volume, padding)
    a, b, c = (int(f) for f in factors)
    x, y, z = (n // f for n, f in zip(padded.shape, (a, b, c), strict=True))
    means = padded.reshape(x, a, y, b, z, c).mean((1, 3, 5))
    coarse = affine.copy()
    coarse[:3, :3] = affine[:3, :3] * factors
    coarse[:3, 3] = affine[:3, :3] @ ((factors - 1) / 2) + affine[:3, 3]
    return means, coarse


def _corners(shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    return np.asarray(corners @ affine[:3, :3].T + affine[:3, 3])


def is_whole(brain: np.ndarray, affine: np.ndarray) -> bool:
    """Whether a brain ``(X, Y, Z)`` is as wide along each axis as a registration needs."""
    boxes = ndimage.find_objects(brain.astype(np.uint8))
    if not boxes or min(side.stop - side.start for side in boxes[0]) < 2:
        return False
    sides = [side.stop - side.start for side in boxes[0]]
    return bool(np.ptp(_corners(sides, affine), axis=0).min() >= MIN_WIDTH_MM)


def boxed(moving: Lattice, fixed: Lattice) -> np.ndarray:
    """The affine ``(4, 4)`` that brings middle and extent of a brain to those of another.

    Along the axes of the world, from the first two moments of the masks.
    """
    from_mean, from_spread = _moments(moving)
    to_mean, to_spread = _moments(fixed)
    affine = np.diag([*(to_spread / np.maximum(from_spread, 1e-3)), 1.0])
    affine[:3, 3] = to_mean - affine[:3, :3] @ from_mean
    return affine


def _moments(lattice: Lattice) -> tuple[np.ndarray, np.ndarray]:
    points = np.argwhere(lattice.brain) @ lattice.affine[:3, :3].T + lattice.affine[:3, 3]
    return points.mean(0), points.std(0)


def register_affine(moving: Lattice, fixed: Lattice) -> np.ndarray | None:
    """The affine that brings a brain to another, in millimetres of the world.

    Args:
        moving: of a scan.
        fixed: of an atlas, on a coarse lattice.

    Returns:
        ``(4, 4)``, a point of the scan to a point of the atlas; None where nothing was found.
    """
    import SimpleITK as sitk

    start = sitk.AffineTransform(3)
    _set(start, np.linalg.inv(boxed(moving, fixed)), _moments(fixed)[0])
    return _registered(moving, fixed, start, (Level(2, 1.0), Level(1, 0.5)))


def register_rigid(moving: Lattice, fixed: Lattice) -> np.ndarray | None:
    """The rotation and shift that brings a brain to another, in millimetres of the world.

    Args:
        moving: of a scan.
        fixed: of another scan of the same person.

    Returns:
        ``(4, 4)``, a point of the first to a point of the second; None where nothing was found.
    """
    import SimpleITK as sitk

    start = sitk.Euler3DTransform()
    middle = _moments(fixed)[0]
    start.SetCenter([float(v) for v in middle])
    start.SetTranslation([float(v) for v in _moments(moving)[0] - middle])
    levels = (Level(3, 2.0), Level(2, 1.0, 0.5), Level(1, 0.0, 0.2))
    return _registered(moving, fixed, start, levels)


def _registered(
    moving: Lattice, fixed: Lattice, start: Any, levels: Sequence[Level]
) -> np.ndarray | None:
    """Where the mutual information is highest near a start; that is changed."""
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    # With several threads the sums, and so the result, differ from run to run.
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(N_BINS)
    near = ndimage.binary_dilation(fixed.brain, iterations=MARGIN_VOXELS - 1)
    method.SetMetricFixedMask(_as_itk(near.astype(np.uint8), fixed.affine))
    if any(level.share < 1 for level in levels):
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentagePerLevel([level.share for level in levels], 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-3, numberOfIterations=MAX_STEPS, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([level.shrink for level in levels])
    method.SetSmoothingSigmasPerLevel([level.blur for level in levels])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetInitialTransform(start, inPlace=True)
    try:
        method.Execute(
            _as_itk(fixed.image.astype(np.float32), fixed.affine),
            _as_itk(moving.image.astype(np.float32), moving.affine),
        )
    except RuntimeError:  # as when the brains do not overlap
        return None
    found = np.linalg.inv(_matrix(start))
    return found if np.isfinite(found).all() else None


def _as_itk(volume: np.ndarray, affine: np.ndarray) -> Any:
    """A volume on a lattice as ITK has it; its world is ours, without a flip to LPS."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.transpose(2, 1, 0)))
    image.SetSpacing([float(affine[i, i]) for i in range(3)])
    image.SetOrigin([float(v) for v in affine[:3, 3]])
    return image


def _set(transform: Any, affine: np.ndarray, centre: np.ndarray) -> None:
    """Make an ITK transform of an affine; it turns about a centre."""
    transform.SetCenter([float(v) for v in centre])
    transform.SetMatrix([float(v) for v in affine[:3, :3].ravel()])
    moved = affine[:3, :3] @ centre + affine[:3, 3]
    transform.SetTranslation([float(v) for v in moved - centre])


def _matrix(transform: Any) -> np.ndarray:
    """An ITK transform as ``(4, 4)``."""
    matrix = np.array(transform.GetMatrix()).reshape(3, 3)
    centre, shift = np.array(transform.GetCenter()), np.array(transform.GetTranslation())
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, shift + centre - matrix @ centre
    return affine


def overlap(moving: Lattice, fixed: Lattice, affine: np.ndarray) -> float:
    """Dice of two brains, the first moved by ``(4, 4)`` in the world; 1 is the same, 0 apart."""
    there = moved_to(moving.brain.astype(np.float32), moving.affine, fixed, affine) > 0.5
    both = float((there & fixed.brain).sum())
    return 2 * both / max(float(there.sum() + fixed.brain.sum()), 1.0)


def moved_to(
    volume: np.ndarray, volume_affine: np.ndarray, fixed: Lattice, affine: np.ndarray
) -> np.ndarray:
    """A volume moved by an affine in the world, on the lattice of another.

    Args:
        volume: ``(X, Y, Z)``.
        volume_affine: of it, ``(4, 4)``.
        fixed: gives the lattice.
        affine: a point of the volume's world to one of the lattice's, ``(4, 4)``.

    Returns:
        Of the lattice's shape, linear interpolation, 0 beyond the volume.
    """
    way = np.linalg.inv(volume_affine) @ np.linalg.inv(affine) @ fixed.affine
    return np.asarray(
        ndimage.affine_transform(
            volume, way[:3, :3], way[:3, 3], output_shape=fixed.brain.shape, order=1
        )
    )


def agreement(moving: Lattice, fixed: Lattice, affine: np.ndarray) -> float:
    """How much of the fine structure of two brains is the same, inside of both.

    Mutual information over the lower of the two entropies, of what a blur of some 6 mm takes away:
    brains of other people have their large structures at the same places, but not their gyri.

    Args:
        moving: of a scan.
        fixed: of another one.
        affine: brings the first to the second, ``(4, 4)``.

    Returns:
        1 where one image tells the other, 0 where they have nothing in common.
    """
    image = moved_to(_fine(moving), moving.affine, fixed, affine)
    inner, fixed_inner = (
        ndimage.binary_erosion(one.brain, iterations=INNER_VOXELS) for one in (moving, fixed)
    )
    both = moved_to(inner.astype(np.float32), moving.affine, fixed, affine) > 0.99
    both &= fixed_inner
    if both.sum() < N_BINS**2:
        return 0.0
    joint, _, _ = np.histogram2d(_binned(image[both]), _binned(_fine(fixed)[both]), bins=N_BINS)
    lower = min(_entropy(joint.sum(0)), _entropy(joint.sum(1)))
    shared = _entropy(joint.sum(0)) + _entropy(joint.sum(1)) - _entropy(joint.ravel())
    return float(shared / lower) if lower > 0 else 0.0


def _fine(lattice: Lattice) -> np.ndarray:
    weight = np.maximum(ndimage.gaussian_filter(lattice.brain.astype(np.float32), COARSE), 1e-3)
    coarse = ndimage.gaussian_filter(lattice.image, COARSE) / weight
    fine = ndimage.gaussian_filter(lattice.image, FINE) - coarse
    return np.asarray(fine * lattice.brain)


def _binned(values: np.ndarray) -> np.ndarray:
    """Values as bins of equal numbers, so that no contrast of a few voxels rules."""
    edges = np.quantile(values, np.linspace(0, 1, N_BINS + 1)[1:-1])
    return np.searchsorted(edges, values)


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
