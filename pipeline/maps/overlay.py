"""A map and its mask over the picture that they are of, in colours."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

HEAT, OUTLINE = (255, 96, 0), (0, 230, 255)
"""Red, green and blue of the map where it is highest, and of the border of the mask."""
MOST = 0.65
"""Share of the map's colour where the map is highest."""


def overlay(
    grey: np.ndarray,
    anomaly_map: np.ndarray,
    mask: np.ndarray | None,
    window: tuple[float, float],
) -> np.ndarray:
    """A picture with its map over it, and the border of the mask.

    Args:
        grey: ``(X, Y)``, in any unit; black is 0 or its lowest value.
        anomaly_map: ``(X, Y)``, >= 0, higher = more anomalous.
        mask: ``(X, Y)`` bool, or None.
        window: values of the map up to which there is no colour, and from which there is the full
            one; the second is higher.

    Returns:
        ``(Y, X, 3)`` uint8: rows downwards, as pictures are stored.
    """
    low, high = min(0.0, float(grey.min())), float(grey.max())
    base = 255 * (grey - low) / max(high - low, 1e-6)
    start, full = window
    share = MOST * np.clip((anomaly_map - start) / (full - start), 0, 1)[..., None]
    coloured = (1 - share) * base[..., None] + share * np.array(HEAT)
    if mask is not None:
        coloured[mask & ~ndimage.binary_erosion(mask, iterations=_width(grey.shape))] = OUTLINE
    rows: np.ndarray = coloured.round().astype(np.uint8).transpose(1, 0, 2)[::-1]
    return rows


def _width(shape: tuple[int, ...]) -> int:
    """Of the border, in pixels, so that it is seen in a large picture too."""
    return max(1, max(shape) // 256)
