"""Image and reconstruction to anomaly map, and map to mask: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from monai.metrics.regression import compute_ssim_and_cs
from scipy import ndimage
from torch import Tensor

from pipeline.cases.grid import Grid

SSIM_SCALES, SSIM_WINDOW = (1, 2, 4), 7
"""Pixels that are averaged, and width of the window in what is left."""

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
        is_filtered: whether a median filter was applied already.
    """

    values: Tensor
    power: float
    floor: float
    is_filtered: bool = False


def product_map(factors: Sequence[Factor]) -> Tensor:
    """Product of the factors, each to its power; a single one to the power 1 is left as it is.

    Returns:
        ``(N, 1, H, W)``, >= 0, higher = more anomalous.

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


def dissimilarity_map(image: Tensor, reconstruction: Tensor, brain: Tensor) -> Tensor:
    """Where slices differ from their reconstruction in structure: (1 - SSIM) / 2, over scales.

    SSIM (Wang et al. 2004, with their constants; of intensities in [0, 1], since it compares means
    by their ratio) of a Gaussian window of 7 pixels, at full resolution and on averages of 2x2 and
    4x4 pixels; the mean over the scales and channels.

    Args:
        image: ``(N, C, H, W)`` in [-1, 1], H and W multiples of 4.
        reconstruction: same shape and range.
        brain: ``(N, 1, H, W)`` bool; the map is 0 elsewhere.

    Returns:
        ``(N, 1, H, W)`` in [0, 1], higher = more anomalous.
    """
    size, margin = image.shape[-2:], (SSIM_WINDOW // 2,) * 4
    total = torch.zeros_like(brain, dtype=torch.float32)
    for scale in SSIM_SCALES:
        # A slice whose side is odd keeps its last row.
        coarse, restored = (
            F.pad(F.avg_pool2d((x + 1) / 2, scale), margin, mode="replicate")
            for x in (image, reconstruction)
        )
        ssim, _ = compute_ssim_and_cs(
            coarse,
            restored,
            spatial_dims=2,
            kernel_size=(SSIM_WINDOW,) * 2,
            kernel_sigma=(1.5, 1.5),
            data_range=1.0,
        )
        unlike = ((1 - ssim) / 2).mean(1, keepdim=True)
        total += F.interpolate(unlike, size=size, mode="bilinear", align_corners=False)
    return (total / len(SSIM_SCALES)).clamp_min(0) * brain


def case_level(values: np.ndarray, quantile: float) -> float:
    """What a case's map is divided by, so that a brain unusual all over is not called all over.

    Args:
        values: of the map in the brain, any shape.
        quantile: of them, so that a tumour which fills less than the rest does not move it far;
            0 is no division.

    Returns:
        The quantile; 1 where it is 0, or there are no values.
    """
    level = float(np.quantile(values, quantile)) if quantile and values.size else 1.0
    return level if level > 0 else 1.0


def median_filter(maps: Tensor, grid: Grid, width_mm: float) -> Tensor:
    """3-D median of a slice stack over a box.

    Args:
        maps: ``(N, 1, H, W)``, any unit.
        grid: of the stack.
        width_mm: of the box; an odd number of voxels is taken.

    Returns:
        Same shape and unit.
    """
    size = tuple(_odd(width_mm / s) for s in grid.axes_mm)
    if max(size) == 1:
        return maps
    filtered = ndimage.median_filter(maps[:, 0].numpy(), size=size, mode="nearest")
    return torch.from_numpy(filtered)[:, None]


def edge_weight(brain: Tensor, grid: Grid, edge_mm: float) -> Tensor:
    """1 inside the brain, falling linearly to 0 at its border.

    The border carries partial volume and registration error, which a model restores badly.

    Args:
        brain: ``(N, 1, H, W)`` bool.
        grid: of the stack.
        edge_mm: over which it falls; 0 is the mask itself.

    Returns:
        Same shape, float32 in [0, 1].
    """
    if edge_mm <= 0:
        return brain.float()
    padded = np.pad(brain[:, 0].numpy(), 1)
    distance = ndimage.distance_transform_edt(padded, sampling=grid.axes_mm)[1:-1, 1:-1, 1:-1]
    return torch.from_numpy(np.clip(distance / edge_mm, 0, 1).astype(np.float32))[:, None]


def blur(slices: Tensor, brain: Tensor, grid: Grid, sigma_mm: float) -> Tensor:
    """Gaussian blur in 3-D that looks at brain voxels only.

    Args:
        slices: ``(N, C, H, W)``, any unit.
        brain: ``(N, 1, H, W)`` bool.
        grid: of the stack.
        sigma_mm: standard deviation of the Gaussian.

    Returns:
        Of the shape and unit of ``slices``.
    """
    sigma = [sigma_mm / s for s in grid.axes_mm]
    inside = brain[:, 0].numpy().astype(np.float32)
    weight = np.maximum(ndimage.gaussian_filter(inside, sigma), 1e-6)
    channels = [
        ndimage.gaussian_filter(channel.numpy() * inside, sigma) / weight
        for channel in slices.unbind(1)
    ]
    return torch.from_numpy(np.stack(channels, axis=1))


def half_height(values: np.ndarray, threshold: float, share: float) -> float:
    """Where to cut one case's map, without its label: at half the height of what stands out.

    A threshold from healthy brains says that something is there; where it ends is said by its own
    height (as a full width at half maximum). Never below the threshold, so that no more of a
    healthy brain is called anomalous than the threshold allows.

    Args:
        values: of the map in the brain, any shape, higher = more anomalous.
        threshold: in units of the map.
        share: of the height between the median of all values and the upper quartile of those
            above the threshold; 0 is the threshold itself.

    Returns:
        In units of the map, >= ``threshold``.
    """
    above = values[values > threshold]
    if not share or not above.size:
        return threshold
    level = float(np.median(values))
    return max(threshold, level + share * (float(np.quantile(above, 0.75)) - level))


def threshold_map(
    anomaly_map: np.ndarray, threshold: float, voxel_ml: float, min_component_ml: float
) -> np.ndarray:
    """Where a map is above a threshold, without small parts.

    Args:
        anomaly_map: ``(X, Y, Z)``, higher = more anomalous.
        threshold: in units of the map.
        voxel_ml: volume of a voxel.
        min_component_ml: parts (26-connected) of less are left out; 0 keeps all.

    Returns:
        Same shape, bool.
    """
    mask = anomaly_map > threshold
    if min_component_ml <= 0 or not mask.any():
        return mask
    parts, _ = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    sizes = np.bincount(parts.reshape(-1)) * voxel_ml
    keep = sizes >= min_component_ml
    keep[0] = False
    return np.asarray(keep[parts])


def _odd(width: float) -> int:
    """The odd number nearest to a width in voxels, at least 1."""
    return max(1, 2 * round((width - 1) / 2) + 1)
