"""Brains that are ellipsoids, and atlases of them."""

from __future__ import annotations

import numpy as np

from pipeline.maps.atlas import Atlas, AtlasBuilder

SHAPE = (30, 40, 36)


def ellipsoid(
    centre: tuple[float, ...] = (15, 20, 18), radii: tuple[float, ...] = (11, 15, 13)
) -> np.ndarray:
    grids = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grids, centre, radii, strict=True)) < 1


def atlas_of(values: list[np.ndarray], brain: np.ndarray, **options: float) -> Atlas:
    builder = AtlasBuilder()
    for value in values:
        builder.add(np.broadcast_to(value, SHAPE)[:, None], brain, brain)
    return builder.build(**{"sigma_mm": 0.0, "min_spread": 0.01, **options})
