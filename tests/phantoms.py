"""Phantoms for the tests: brains of 3 mm, and what is measured on them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pipeline.phantom.scanner import MODALITIES
from pipeline.phantom.subject import Phantom, make_phantom

SPACING_MM = 3.0


def phantom(seed: int, *, tumour: bool = False, contrast: str = "mixed") -> Phantom:
    rng = np.random.default_rng([7, seed])
    return make_phantom(rng, MODALITIES, tumour=tumour, spacing_mm=SPACING_MM, contrast=contrast)


def jacobian_determinant(displacement: np.ndarray, spacing: float) -> np.ndarray:
    """Of position + displacement, ``(3, A, B, C)`` in the unit of ``spacing``."""
    gradients = [np.gradient(component, spacing) for component in displacement]
    matrix = np.moveaxis(np.array(gradients), (0, 1), (-2, -1)) + np.eye(3)
    return np.linalg.det(matrix)


def around(label: np.ndarray, brain_mask: np.ndarray) -> np.ndarray:
    """Healthy brain within a few voxels of the tumour."""
    near = ndimage.binary_dilation(label > 0, iterations=4)
    return near & ~ndimage.binary_dilation(label > 0) & brain_mask
