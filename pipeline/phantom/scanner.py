"""Images of an anatomy: the contrast of a modality, and what a random scanner makes of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from pipeline.phantom.anatomy import Anatomy
from pipeline.phantom.splines import smooth_field

MODALITIES = ("t1", "t2", "flair")

MEANS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "t1": ((0.58, 0.72), (0.12, 0.28)),
    "t2": ((1.30, 1.60), (2.6, 4.2)),
    "flair": ((1.08, 1.28), (0.03, 0.20)),
}
"""Ranges of the grey-matter and CSF intensities, with white matter at 1."""
TEXTURE = {"t1": 0.9, "t2": -0.5, "flair": -0.35}
"""How much of the T1 template's fine texture a modality shows, and with which sign."""


def synthesise(
    rng: np.random.Generator, modality: str, anatomy: Anatomy, spacing: float
) -> np.ndarray:
    """A clean image of an anatomy.

    Args:
        rng: drawn from.
        modality: one of `MODALITIES`.
        anatomy: on its box.
        spacing: voxel size in mm.

    Returns:
        ``(X, Y, Z)`` float32, the box: white matter at about 1, CSF all around.
    """
    grey, csf = (float(rng.uniform(*limits)) for limits in MEANS[modality])
    tissues, steps = anatomy.tissues, np.full(3, spacing)
    shape = tissues.csf.shape
    image = tissues.white + grey * tissues.grey
    image += TEXTURE[modality] * float(rng.uniform(0.7, 1.2)) * tissues.texture
    slow = sum(
        size * smooth_field(rng, shape, steps, scale_mm)
        for scale_mm, size in ((18.0, 0.025), (5.0, 0.020), (2.2, 0.018))
    )
    image *= 1 + slow
    if modality == "flair":
        image += float(rng.uniform(0.0, 0.25)) * tissues.rim
    image += csf * (1 + 2 * slow) * tissues.csf
    return image.astype(np.float32)


def acquire(
    rng: np.random.Generator, image: np.ndarray, brain_mask: np.ndarray, spacing: float
) -> np.ndarray:
    """What a scanner makes of an image: blur, bias field, Rician noise, arbitrary units.

    Args:
        rng: drawn from.
        image: ``(X, Y, Z)``, white matter at about 1.
        brain_mask: bool, same shape.
        spacing: voxel size in mm.

    Returns:
        float32, same shape, arbitrary units, >= 1 in the brain, 0 outside.
    """
    steps = np.full(3, spacing)
    fwhm_mm = np.full(3, float(rng.uniform(0.5, 1.2)))
    fwhm_mm[int(rng.choice(3, p=[0.15, 0.1, 0.75]))] = float(rng.uniform(0.8, 4.0))
    extra_mm = np.sqrt(np.maximum(fwhm_mm**2 - (0.6 * spacing) ** 2, 0.0)) / 2.355
    bias = np.exp(float(rng.uniform(0.02, 0.10)) * smooth_field(rng, image.shape, steps, 60.0))
    units = float(np.exp(rng.uniform(np.log(150), np.log(1500))))
    sigma = float(rng.uniform(0.006, 0.028)) / np.sqrt(spacing)
    grain_voxels = float(rng.uniform(0.35, 0.6)) / spacing
    real, imaginary = (_grain(rng, image.shape, grain_voxels) for _ in range(2))
    signal = ndimage.gaussian_filter(image, extra_mm / spacing) * bias
    noisy = np.sqrt((signal + sigma * real) ** 2 + (sigma * imaginary) ** 2) * units
    return np.where(brain_mask, np.maximum(noisy, 1.0), 0).astype(np.float32)


def _grain(rng: np.random.Generator, shape: Sequence[int], sigma_voxels: float) -> np.ndarray:
    """Unit-variance noise, correlated over about a voxel as interpolation to a grid leaves it."""
    grain = rng.standard_normal(shape, dtype=np.float32)
    if sigma_voxels < 0.25:
        return grain
    kernel = np.exp(-0.5 * (np.arange(-2, 3) / sigma_voxels) ** 2)
    kernel /= kernel.sum()
    for axis in range(3):
        grain = ndimage.correlate1d(grain, kernel, axis=axis, mode="wrap")
    return np.asarray(grain / np.float32((kernel**2).sum() ** 1.5))
