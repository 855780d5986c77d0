"""Smooth random fields: cubic B-splines with random coefficients, whatever the thread count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spline_at(values: np.ndarray, positions: Sequence[np.ndarray]) -> np.ndarray:
    """Cubic B-spline with the coefficients ``values`` on a product grid of knot positions.

    Args:
        values: ``(A, B, C)`` coefficients.
        positions: for each axis, where to evaluate, in units of knots; clamped to the grid.

    Returns:
        float32 ``(len(positions[0]), len(positions[1]), len(positions[2]))``. Twice continuously
        differentiable, and a weighted mean of ``values`` everywhere.
    """
    out = values.astype(np.float32)
    for axis, position in enumerate(positions):
        last = out.shape[axis] - 1
        clamped = np.clip(position, 0, last)
        knot = np.floor(clamped).astype(int)
        t = (clamped - knot).astype(np.float32)
        weights = (
            (1 - t) ** 3 / 6,
            (3 * t**3 - 6 * t**2 + 4) / 6,
            (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
            t**3 / 6,
        )
        shape = [-1 if a == axis else 1 for a in range(3)]
        parts = (
            _scaled(np.take(out, np.clip(knot + step, 0, last), axis=axis), weight.reshape(shape))
            for step, weight in zip((-1, 0, 1, 2), weights, strict=True)
        )
        total = next(parts)
        for part in parts:
            total += part
        out = total
    return out


def _scaled(part: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """In place: the arrays are large."""
    part *= weight
    return part


SPLINE_STD = float(
    ((2 * (1 / 6) ** 2 + (2 / 3) ** 2 + 2 * (23 / 48) ** 2 + 2 * (1 / 48) ** 2) / 2) ** 1.5
)
"""Typical standard deviation of `spline_at` for unit white coefficients, over three axes."""


def smooth_field(
    rng: np.random.Generator, shape: Sequence[int], spacing_mm: np.ndarray, scale_mm: float
) -> np.ndarray:
    """A smooth Gaussian random field, ``shape``, float32, mean 0, standard deviation about 1.

    Args:
        rng: drawn from.
        shape: X, Y, Z of the grid.
        spacing_mm: of the grid, one value an axis.
        scale_mm: distance of the knots of the random B-spline; blobs are about twice as wide.
    """
    # Never finer than the voxels: there the field is white noise already.
    steps = np.maximum(np.broadcast_to(scale_mm, 3) / spacing_mm, 1.0)
    offsets = rng.uniform(1.0, 2.0, 3)
    counts = [int(np.ceil(n / step)) + 5 for n, step in zip(shape, steps, strict=True)]
    values = rng.standard_normal(counts, dtype=np.float32)
    positions = [np.arange(n) / step + o for n, step, o in zip(shape, steps, offsets, strict=True)]
    return spline_at(values, positions) / np.float32(SPLINE_STD)
