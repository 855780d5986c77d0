"""Where the common frame of all brains lies on one brain: on its box, or where it fits best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

FRAME = (48, 56, 48)
"""Voxels of the frame along slices, rows and columns."""
FRAME_VOXEL_MM = 3.5
"""About, in an adult's brain."""
EXTENT, WIDE_EXTENT = 2.1, 2.4
"""Half the frame in standard deviations of the mask; a solid ellipsoid ends at sqrt(5) = 2.24. The
wide one takes in what a brain has beyond an ellipsoid, such as the lower end of the cerebellum."""


@dataclass(frozen=True)
class Placement:
    """A map from voxels of the frame to voxels of the working grid: ``first + step @ voxel``.

    Attributes:
        first: where the first voxel of the frame lies, ``(3,)``.
        step: of one voxel of the frame, ``(3,)`` along the axes or a matrix ``(3, 3)``.
    """

    first: np.ndarray
    step: np.ndarray

    def to_frame(self, volume: np.ndarray) -> np.ndarray:
        """A volume ``(N, H, W)`` of the working grid in the frame, ``FRAME`` float32, same unit."""
        return np.asarray(
            ndimage.affine_transform(
                volume.astype(np.float32),
                self.step,
                self.first,
                output_shape=FRAME,
                order=1,
                mode="nearest",
            )
        )

    def from_frame(self, volume: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """A volume ``FRAME`` on a working grid of that shape ``(N, H, W)``, same unit."""
        if self.step.ndim == 1:
            step, offset = 1 / self.step, -self.first / self.step
        else:
            step = np.linalg.inv(self.step)
            offset = -step @ self.first
        return np.asarray(
            ndimage.affine_transform(
                volume, step, offset, output_shape=shape, order=1, mode="nearest"
            )
        )


def on_box(brain: np.ndarray, extent: float = EXTENT) -> Placement:
    """The frame on the brain's own box: centre and size of the mask along each axis.

    From the first two moments of the mask: it needs no registration, and nothing in the image
    moves it.

    Args:
        brain: ``(N, H, W)`` bool.
        extent: half the frame in standard deviations of the mask.

    Returns:
        From voxels of the frame to those of the brain's grid, along the axes.

    Raises:
        ValueError: it is empty.
    """
    index = np.argwhere(brain)
    if not len(index):
        raise ValueError("there is no brain to place the frame on")
    # Of a flat brain (one slice) an axis has no extent: half a voxel then.
    half = np.maximum(extent * index.std(0), 0.5)
    return Placement(index.mean(0) - half, 2 * half / (np.array(FRAME) - 1))
