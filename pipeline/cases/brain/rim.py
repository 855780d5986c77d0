"""Whether the rim of a mask is brain tissue, or scalp over bone, or noise of the air."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy import ndimage

COARSE_MM = 2.0
"""Figures are measured at about this spacing, or the image's own."""
DARK = 0.35
"""Share of the way from the darkest voxels to the inner ones."""
DEPTHS = (0.04, 0.09, 0.25)
"""Of rim and of what lies below it, in radii of a ball of the mask's volume (69 mm of 1.4 L): so
scalp and bone are in place in heads of any size."""
INNER = 0.3
"""Depth, in the same units, of what the rim is compared with."""
MIN_VOXELS = 200
"""A layer of fewer says nothing."""

HEAD_RISE = 0.05
"""The share of dark voxels (bone) below the rim (scalp) is larger than in it by more: by 0.07 to
0.6 in 36 heads, T1w and FLAIR; in 83 skull-stripped scans it is smaller, or larger by 0.00."""
NOISE_COHERENCE = 0.15
"""Of white noise 0.02; of skull-stripped scans 0.6 and more, of such a one thinned to 4 mm 0.37."""
EMPTY_RIM = 0.9
"""Of dark voxels: at most 0.32 in skull-stripped scans, 0.77 with masks 4 mm too wide, 0.93 to 1
where noise surrounds a brain."""
MOST_DARK_BELOW = 0.27
"""Of dark voxels in a layer below the rim: 0.38 and more in 147 heads of T1w and FLAIR, also where
noise of the air is their rim; at most 0.18 in 254 skull-stripped scans of four contrasts."""


@dataclass(frozen=True)
class Rim:
    """Figures of the outer layers in the upper half of a mask.

    Attributes:
        dark_outside: share of dark voxels in the rim.
        dark_below: the highest share in a layer below it.
        coherence: correlation of neighbouring voxels in the rim.
    """

    dark_outside: float
    dark_below: float
    coherence: float


def rim_of(data: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> Rim | None:
    """The figures of an image in a mask; None where it is too coarse for a rim.

    Args:
        data: ``(X, Y, Z)``, any unit.
        mask: the same shape, bool, True somewhere.
        affine: ``(4, 4)``, in mm.
    """
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    steps = np.maximum(1, (COARSE_MM / spacing_mm + 0.01).astype(int))
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    coarse = tuple(slice(s.start, s.stop, int(step)) for s, step in zip(box, steps, strict=True))
    image, inside, spacing_mm = data[coarse], mask[coarse], spacing_mm * steps
    radius_mm = (inside.sum() * spacing_mm.prod() * 3 / 4 / np.pi) ** (1 / 3)
    padded = np.pad(inside, 1)
    depth = ndimage.distance_transform_edt(padded, sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    depth /= radius_mm
    if not (depth > INNER).any():
        return None
    lowest = min(float(np.quantile(image[inside], 0.01)), 0.0)
    inner = float(np.median(image[depth > INNER]))
    dark = inside & (image < lowest + DARK * (inner - lowest))
    upper = inside & _upper_half(inside, affine)
    # The outermost voxels are partly background.
    first = max(DEPTHS[0], 1.5 * float(spacing_mm.max()) / radius_mm)
    edges = np.arange(max(DEPTHS[1], first + 0.04), DEPTHS[2], 0.04)
    outside = _share(dark, upper & (depth > first - 0.01) & (depth <= first + 0.03))
    below = [_share(dark, upper & (depth > d) & (depth <= d + 0.04)) for d in edges]
    return Rim(
        outside,
        max((share for share in below if np.isfinite(share)), default=0.0),
        _coherence(image, inside & (depth <= 0.12)),
    )


def _upper_half(inside: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The half above the median, which broadcasts to the mask's shape."""
    turn = nib.orientations.io_orientation(affine)
    axis = int(np.argmax(turn[:, 0] == 2))
    counts = inside.sum(axis=tuple(a for a in range(3) if a != axis))
    if turn[axis, 1] < 0:
        counts = counts[::-1]
    above = np.cumsum(counts) > counts.sum() / 2
    shape = [1, 1, 1]
    shape[axis] = -1
    return np.reshape(above if turn[axis, 1] > 0 else above[::-1], shape)


def _share(dark: np.ndarray, layer: np.ndarray) -> float:
    """Of dark voxels in a layer; not a number where it has too few."""
    n = int(layer.sum())
    return float(dark[layer].mean()) if n >= MIN_VOXELS else float("nan")


def _coherence(image: np.ndarray, where: np.ndarray) -> float:
    """The highest correlation of neighbours along an axis: 0 in noise; 1 where there are few."""
    found = []
    for axis in range(3):
        a, b = (np.moveaxis(x, axis, 0) for x in (image, where))
        both = b[1:] & b[:-1]
        if both.sum() >= MIN_VOXELS:
            one, other = a[1:][both], a[:-1][both]
            if one.std() > 0 and other.std() > 0:
                found.append(float(np.corrcoef(one, other)[0, 1]))
    return max(found, default=1.0)


def why_no_tissue(rim: Rim) -> str:
    """What the rim is instead of brain tissue, "" where it may be that."""
    if rim.coherence < NOISE_COHERENCE or rim.dark_outside > EMPTY_RIM:
        return (
            "the rim is noise or air: the background must have one value, and the image is not "
            "skull-stripped"
        )
    if rim.dark_below - rim.dark_outside > HEAD_RISE or rim.dark_below > MOST_DARK_BELOW:
        return "the rim is scalp with bone below: the image is a head, not skull-stripped"
    return ""
