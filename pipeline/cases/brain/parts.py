"""Connected parts of a mask: which are kept, and what is dropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

MIN_PART = 0.02
"""Parts of less than this share of the largest are no brain. Eyes have about 0.006 of a brain, a
cerebellum alone 0.1; no skull-stripped scan that was looked at has a second part above 0.0001."""


@dataclass(frozen=True)
class Parts:
    """The large parts of a mask.

    Attributes:
        mask: all of them, bool, of any shape.
        sizes: voxels of each, the largest first.
        dropped: number of the smaller parts.
        dropped_size: voxels of those.
    """

    mask: np.ndarray
    sizes: tuple[int, ...]
    dropped: int
    dropped_size: int


def large_parts(mask: np.ndarray) -> Parts:
    """The parts, connected by faces, that are not below `MIN_PART` of the largest.

    Empty slices may split a brain, and half of one may be missing, so that the largest part alone
    would not do.

    Args:
        mask: bool, any shape.
    """
    labels, n_parts = ndimage.label(mask)
    sizes = np.bincount(labels.reshape(-1), minlength=1)[1:]
    if n_parts <= 1:
        return Parts(mask, tuple(int(size) for size in sizes), 0, 0)
    large = sizes >= MIN_PART * sizes.max()
    kept = mask if large.all() else np.concatenate([[False], large])[labels]
    return Parts(
        kept,
        tuple(sorted((int(size) for size in sizes[large]), reverse=True)),
        int((~large).sum()),
        int(sizes[~large].sum()),
    )


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest part of a mask whose voxels touch by a face; the mask itself where it is one.

    Args:
        mask: bool, any shape.

    Returns:
        bool, the same shape.
    """
    parts, n_parts = ndimage.label(mask)
    if n_parts <= 1:
        return mask
    sizes = np.bincount(parts.reshape(-1))[1:]
    largest: np.ndarray = parts == 1 + int(sizes.argmax())
    return largest


def without_holes(brain: np.ndarray) -> np.ndarray:
    """A mask ``(X, Y, Z)`` with its holes filled: in 3-D, or in 2-D where it is a single slice.

    A hole is background that does not reach the outside by faces.
    """
    found = ndimage.find_objects(brain.astype(np.uint8))
    if not found:
        return brain
    (box,) = found
    outside = np.pad(~brain[box].squeeze(), 1, constant_values=True)
    labels, _ = ndimage.label(outside)
    inner = (slice(1, -1),) * outside.ndim
    filled = brain.copy()
    filled[box] = (labels != labels[(0,) * outside.ndim])[inner].reshape(brain[box].shape)
    return filled
