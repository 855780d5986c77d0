"""What a skull-stripped image says about its tissues: intensity levels, noise, soft maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

PERCENTILES = {
    "t1": (82, 42, 4),
    "t1ce": (80, 42, 4),
    "t2": (25, 60, 98),
    "flair": (50, 65, 4),
}
"""Where white matter, grey matter and CSF lie among the intensities of a brain, by modality:
the medians of their shares, for a brain of about 17 % CSF, 45 % grey and 38 % white matter."""


@dataclass(frozen=True)
class Levels:
    """Robust intensities of an image's tissues, in its own units."""

    white: float
    grey: float
    csf: float

    @property
    def normal(self) -> float:
        """Between white and grey matter."""
        return 0.5 * (self.white + self.grey)

    @property
    def scale(self) -> float:
        """The step from tissue to CSF, > 0, and not above 1.2 times white matter (T2)."""
        return max(min(abs(self.white - self.csf), 1.2 * abs(self.white)), 1e-6)


@dataclass(frozen=True)
class Tissue:
    """Soft tissue maps of a brain, each on the image grid, float32 in [0, 1], 0 outside the brain.

    Attributes:
        white: how freely oedema spreads: 1 in deep white matter, 0 in cortex and CSF.
        csf: cerebrospinal fluid.
    """

    white: np.ndarray
    csf: np.ndarray

    def within(self, box: tuple[slice, ...]) -> Tissue:
        """The maps of a box of the grid."""
        return Tissue(self.white[box], self.csf[box])


def estimate_levels(modality: str, intensities: np.ndarray) -> Levels:
    """Tissue intensities from those of all brain voxels.

    Args:
        modality: one of `PERCENTILES`.
        intensities: ``(n,)``, in the image's own unit; the levels have it too.
    """
    white, grey, csf = np.percentile(intensities, PERCENTILES[modality])
    return Levels(float(white), float(grey), float(csf))


def estimate_noise(image: np.ndarray, where: np.ndarray) -> float:
    """Standard deviation of the white noise, from third differences along each axis.

    Args:
        image: ``(X, Y, Z)``, any unit.
        where: bool, same shape; homogeneous tissue, such as deep white matter.

    Returns:
        The smallest of the estimates along the axes (anatomy inflates the others), >= 0, in the
        unit of the image; 0 where ``where`` is too thin for an estimate.
    """
    estimates = []
    for axis in range(3):
        n = image.shape[axis]
        if n < 4:
            continue
        third = np.diff(image, n=3, axis=axis)
        runs = [np.take(where, range(k, n - 3 + k), axis=axis) for k in range(4)]
        values = np.abs(third[np.logical_and.reduce(runs)])
        if values.size > 50:
            # (1, -3, 3, -1) on white noise has variance 20; 0.6745 is the median of |N(0, 1)|.
            estimates.append(float(np.median(values)) / (0.6745 * 20**0.5))
    return min(estimates, default=0.0)


def estimate_tissue(
    images: Mapping[str, np.ndarray],
    brain_mask: np.ndarray,
    spacing_mm: np.ndarray,
    levels: Mapping[str, Levels],
) -> Tissue:
    """Soft white-matter and CSF maps from intensities and from the depth below the surface.

    FLAIR hardly separates white from grey matter; there, depth decides alone.

    Args:
        images: modality to voxels ``(X, Y, Z)``, 0 outside the brain.
        brain_mask: bool, same shape.
        spacing_mm: voxel size along each axis.
        levels: of each image.

    Returns:
        Maps of the same shape.
    """
    csf, white = (np.zeros(brain_mask.shape, np.float32) for _ in range(2))
    for name, image in images.items():
        level = levels[name]
        soft = ndimage.gaussian_filter(image, 0.7 / spacing_mm)
        csf += np.clip((_share(soft, level.normal, level.csf) - 0.3) / 0.4, 0, 1) / len(images)
        share = 1.0 if name == "flair" else np.clip(_share(soft, level.grey, level.white), 0, 1)
        white += share / len(images)
    csf *= brain_mask
    # Padding makes the border of the array a surface.
    solid = np.pad(brain_mask & (csf < 0.5), 1)
    depth_mm = ndimage.distance_transform_edt(solid, sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    white *= np.clip((depth_mm.astype(np.float32) - 1.5) / 4.0, 0, 1)
    return Tissue(white * brain_mask, csf)


def _share(values: np.ndarray, zero: float, one: float) -> np.ndarray:
    """Rescale so that ``zero`` becomes 0 and ``one`` becomes 1; all 0 where they are equal."""
    return (values - zero) / (one - zero) if one != zero else np.zeros_like(values)
