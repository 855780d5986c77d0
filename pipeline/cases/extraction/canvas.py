"""A head of any orientation and spacing on the canvas that the network sees, and a mask back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

CANVAS, SPACING_MM = (64, 64, 64), 4.0
"""Voxels and their edge; x to the right, y to the front, z up."""
TOP_MM, MARGIN_MM = 180.0, 12.0
"""Below the top of a head its width is measured, and so much air is left above."""
AIR = 0.12
"""Of the 99 % quantile of an image: below it is air, after a blur."""


@dataclass(frozen=True)
class Canvas:
    """Where the canvas lies.

    Attributes:
        affine: index on the canvas to world (RAS, mm), ``(4, 4)``.
    """

    affine: np.ndarray

    def draw(self, image: np.ndarray, affine: np.ndarray, *, order: int = 1) -> np.ndarray:
        """Voxels ``(X, Y, Z)`` with their affine ``(4, 4)`` on the canvas, 0 beyond; any unit.

        Finer voxels are blurred first, so that none of them is passed over.
        """
        values = image.astype(np.float32)
        if order:
            edges = np.linalg.norm(affine[:3, :3], axis=0)
            sigma = np.sqrt(np.maximum(SPACING_MM**2 - edges**2, 0)) / edges / 2.355
            values = ndimage.gaussian_filter(values, sigma)
        to_index = np.linalg.solve(affine, self.affine)
        return np.asarray(
            ndimage.affine_transform(
                values, to_index[:3, :3], to_index[:3, 3], CANVAS, order=order, cval=0.0
            )
        )

    def bring_back(
        self, values: np.ndarray, shape: tuple[int, ...], affine: np.ndarray
    ) -> np.ndarray:
        """Values on the canvas on the grid of the image, ``shape``, 0 beyond; any unit."""
        to_canvas = np.linalg.solve(self.affine, affine)
        return np.asarray(
            ndimage.affine_transform(
                values.astype(np.float32), to_canvas[:3, :3], to_canvas[:3, 3], shape, order=1
            )
        )


def canvas_for(image: np.ndarray, affine: np.ndarray) -> Canvas:
    """The canvas over a head: below its top, in the middle of its upper part.

    Args:
        image: ``(X, Y, Z)``, air darker than the head; any unit.
        affine: voxel index to world (RAS, mm), ``(4, 4)``.
    """
    points = _of_the_head(image, affine)
    top = points[:, 2].max()
    upper = points[points[:, 2] > top - TOP_MM]
    middle = (upper.max(0) + upper.min(0)) / 2
    corner = np.array([*middle[:2], top + MARGIN_MM]) - SPACING_MM * (np.array(CANVAS) - 1) * (
        0.5,
        0.5,
        1.0,
    )
    placed = np.diag([*[SPACING_MM] * 3, 1.0])
    placed[:3, 3] = corner
    return Canvas(placed)


def _of_the_head(image: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """World coordinates ``(n, 3)`` of voxels of the head, on a grid of some 6 mm."""
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    steps = np.maximum(1, np.round(6.0 / edges)).astype(int)
    blurred = ndimage.uniform_filter(image.astype(np.float32), steps)
    coarse = blurred[tuple(slice(None, None, step) for step in steps)]
    low = float(np.quantile(coarse, 0.01))
    bright = coarse > low + AIR * (float(np.quantile(coarse, 0.99)) - low)
    parts, n_parts = ndimage.label(bright)
    if n_parts:
        sizes = np.bincount(parts.ravel())[1:]
        bright = parts == 1 + int(sizes.argmax())
    index = np.argwhere(bright if bright.any() else np.ones_like(bright)) * steps
    return np.asarray(index @ affine[:3, :3].T + affine[:3, 3])


def normalised(values: np.ndarray) -> np.ndarray:
    """An image ``CANVAS`` in [0, 1], from its 0.5 % and 99.5 % quantiles where it is not 0.

    Args:
        values: ``(X, Y, Z)``, any unit; 0 is outside the field of view.
    """
    inside = values[values != 0]
    if not inside.size:
        return np.zeros_like(values, dtype=np.float32)
    low, high = np.quantile(inside, (0.005, 0.995))
    stretched = (values - low) / max(float(high - low), 1e-6)
    return np.asarray(np.clip(stretched, 0, 1), np.float32)
