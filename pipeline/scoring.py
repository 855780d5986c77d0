"""Image and reconstruction to anomaly map, and map to mask: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from pipeline.transforms import Grid

Residual = Callable[[Tensor], Tensor]

RESIDUALS: dict[str, Residual] = {
    # What the difference image - reconstruction says about anomaly; to add one, add an entry.
    "absolute": torch.abs,
    "squared": torch.square,
    "positive": lambda difference: difference.clamp_min(0),
    "negative": lambda difference: (-difference).clamp_min(0),
}


def residual_map(image: Tensor, reconstruction: Tensor, brain: Tensor, kind: str) -> Tensor:
    """How far slices are from their healthy reconstruction.

    Args:
        image: ``(N, C, H, W)`` in [-1, 1].
        reconstruction: same shape and range.
        brain: ``(N, 1, H, W)`` bool; the map is 0 elsewhere.
        kind: name in `RESIDUALS`.

    Returns:
        ``(N, 1, H, W)``, >= 0, higher = more anomalous; the mean over channels.

    Raises:
        ValueError: the shapes differ, or no such kind.
    """
    if image.shape != reconstruction.shape or kind not in RESIDUALS:
        raise ValueError(f"shapes {image.shape}, {reconstruction.shape}; residual {kind!r}")
    return RESIDUALS[kind](image - reconstruction).mean(1, keepdim=True) * brain


@dataclass(frozen=True)
class Factor:
    """One reason to call a voxel anomalous.

    Attributes:
        values: ``(N, 1, H, W)``, >= 0, higher = more anomalous.
        power: how much it counts.
        floor: added to the values, so that one reason alone cannot veto the others.
    """

    values: Tensor
    power: float
    floor: float


def product_map(factors: Sequence[Factor]) -> Tensor:
    """Product of the factors, each to its power; a single one to the power 1 is left as it is.

    Raises:
        ValueError: there is no factor.
    """
    if not factors:
        raise ValueError("a map needs a factor")
    if len(factors) == 1 and factors[0].power == 1:
        return factors[0].values
    result = torch.ones_like(factors[0].values)
    for factor in factors:
        result = result * (factor.floor + factor.values.clamp_min(0)) ** factor.power
    return result


def median_filter(maps: Tensor, grid: Grid, width_mm: float) -> Tensor:
    """3-D median of a slice stack ``(N, 1, H, W)`` over a box of ``width_mm`` (odd in voxels)."""
    size = tuple(_odd(width_mm / s) for s in grid.axes_mm)
    if max(size) == 1:
        return maps
    filtered = ndimage.median_filter(maps[:, 0].numpy(), size=size, mode="nearest")
    return torch.from_numpy(filtered)[:, None]


def edge_weight(brain: Tensor, grid: Grid, edge_mm: float) -> Tensor:
    """1 inside the brain, falling linearly to 0 at its border over ``edge_mm``; ``(N, 1, H, W)``.

    The border carries partial volume and registration error, which a model restores badly.
    """
    if edge_mm <= 0:
        return brain.float()
    padded = np.pad(brain[:, 0].numpy(), 1)
    distance = ndimage.distance_transform_edt(padded, sampling=grid.axes_mm)[1:-1, 1:-1, 1:-1]
    return torch.from_numpy(np.clip(distance / edge_mm, 0, 1).astype(np.float32))[:, None]


def blur(slices: Tensor, brain: Tensor, grid: Grid, sigma_mm: float) -> Tensor:
    """Gaussian blur in 3-D that looks at brain voxels only; ``(N, C, H, W)``."""
    sigma = [sigma_mm / s for s in grid.axes_mm]
    inside = brain[:, 0].numpy().astype(np.float32)
    weight = np.maximum(ndimage.gaussian_filter(inside, sigma), 1e-6)
    channels = [
        ndimage.gaussian_filter(channel.numpy() * inside, sigma) / weight
        for channel in slices.unbind(1)
    ]
    return torch.from_numpy(np.stack(channels, axis=1))


def threshold_map(
    anomaly_map: np.ndarray, threshold: float, voxel_ml: float, min_component_ml: float
) -> np.ndarray:
    """Bool mask of ``map > threshold`` without parts (26-connected) under ``min_component_ml``."""
    mask = anomaly_map > threshold
    if min_component_ml <= 0 or not mask.any():
        return mask
    parts, _ = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    sizes = np.bincount(parts.reshape(-1)) * voxel_ml
    keep = sizes >= min_component_ml
    keep[0] = False
    return keep[parts]


def _odd(width: float) -> int:
    """The odd number nearest to a width in voxels, at least 1."""
    return max(1, 2 * round((width - 1) / 2) + 1)
