"""What is background in an image: the value that fills the edges of its field of view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.files.images.volume import Volume

JPEG_BLACK = 10
"""Grey values up to this are background in a JPEG."""
MIN_EDGE_SHARE = 0.5
"""A value that fills less of the edges is no background. All of them in every skull-stripped scan
that was looked at, cropped to the brain or not; about six tenths in heads with noise in the air."""
ROUNDING = 1e-6
"""Values that differ by less than this share of an image's range are one: float32 has 1.2e-7."""


@dataclass(frozen=True)
class Background:
    """The background of an image.

    Attributes:
        value: in the image's own units.
        tolerance: voxels that differ by no more are background too.
    """

    value: float
    tolerance: float

    def leaves(self, data: np.ndarray) -> np.ndarray:
        """The voxels that are not background, bool, of the shape of ``data``."""
        inside: np.ndarray = np.abs(data - np.float32(self.value)) > self.tolerance
        return inside


def background_of(volume: Volume) -> Background:
    """The value that fills most of the edges of the field of view; 0 where none does.

    The edges of the box (of a single slice its border) are where a brain does not come, not even
    where an image is cropped to it.
    """
    data = volume.data
    some = data.ravel("K")[:: max(1, data.size // 1_000_000)]
    low, high = (float(q) for q in np.quantile(some, [0.001, 0.999]))
    tolerance = ROUNDING * max(high - low, abs(low), abs(high))
    value = _filling(data[_edges(data.shape)], tolerance)
    if volume.lossy:
        # A JPEG's background is not exactly of one value.
        return Background(0.0 if abs(value) <= JPEG_BLACK else value, JPEG_BLACK)
    return Background(value, tolerance)


def _edges(shape: tuple[int, ...]) -> np.ndarray:
    """The voxels of the edges of a box, bool; of a single slice those of its border."""
    n_ends = np.zeros(shape, np.uint8)
    for axis, n in enumerate(shape):
        if n > 1:
            ends = np.moveaxis(n_ends, axis, 0)
            ends[0] += 1
            ends[-1] += 1
    return np.asarray(n_ends >= max(1, sum(n > 1 for n in shape) - 1))


def _filling(edge: np.ndarray, tolerance: float) -> float:
    """The value about which most of the edge lies; 0 where that is less than `MIN_EDGE_SHARE`."""
    ordered = np.sort(edge.reshape(-1))
    ends = np.searchsorted(ordered, ordered + np.float32(tolerance), side="right")
    first = int(np.argmax(ends - np.arange(len(ordered))))
    alike = ordered[first : ends[first]]
    if len(alike) < MIN_EDGE_SHARE * len(ordered):
        return 0.0
    return float(alike[len(alike) // 2])
