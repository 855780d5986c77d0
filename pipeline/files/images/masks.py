"""What is inside, of a file given as a mask: programs mean three different things by one."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

WHOLE_WITHIN = 1e-3
"""How far a label may lie from a whole number: scale factors and resampling leave such rests."""
PLATEAU = 0.9
"""Most of what is above half of the highest value reaches this share of it; not so in a brain."""
SOFT_EDGE = 10
"""Voxels of a soft edge below half of the height to those above: 2 along a plane, more where it is
round. Labels need not have any in between."""
SPARSE = 0.1
"""Share of the whole numbers above half of the height that occur, where they are labels: a soft
edge has nearly all of them, FreeSurfer's cortex 0.05."""
LABELS_END = 100
"""Up to here whole numbers are labels, and all are inside; a mask of 8 bits ends at 255."""
NOTHING = 1e-6
"""As a share of the highest value: what a stored 0 may come back as by scale factors."""


def inside(data: np.ndarray, *, probable: bool) -> tuple[np.ndarray, bool]:
    """Which voxels a mask, parcellation or image of a brain means.

    A mask is cut at half of its height, 0 to 1 or 0 to 255, soft edges or not; a parcellation is
    taken above 0; an image, as ``bet`` leaves one, where it is not 0, sheets of 0 within included.

    Args:
        data: ``(X, Y, Z)`` finite.
        probable: whether values from 0 to 1 are probabilities, where they do not tell.

    Returns:
        ``(X, Y, Z)`` bool, and whether values that are no labels count where they are not 0.
    """
    low, high = float(data.min()), float(data.max())
    whole = low >= -1 and _is_whole(data)
    if whole and _are_labels(data, high):
        return data > 0.5, False
    if _is_even(data, high) or (probable and _is_share(low, high)):
        return data > (0.5 if 0.5 < high <= 1 / PLATEAU else high / 2), False
    if whole:
        return data > 0.5, False
    brain = np.abs(data) > NOTHING * max(abs(low), abs(high))
    return (_closed(brain) if low < 0 else brain), True


def _is_share(low: float, high: float) -> bool:
    return low >= 0 and 0 < high <= 1


def _closed(brain: np.ndarray) -> np.ndarray:
    """Without the sheets of 0 that an image has where its values pass from below 0 to above."""
    grown = ndimage.binary_dilation(brain)
    return np.asarray(ndimage.binary_erosion(grown, border_value=1))


def _is_whole(data: np.ndarray) -> bool:
    return bool((np.abs(data - np.rint(data)) <= WHOLE_WITHIN).all())


def _are_labels(data: np.ndarray, high: float) -> bool:
    """Whether whole numbers are labels: up to `LABELS_END`, or beyond and no mask with soft edges.

    The highest labels of a parcellation lie close together (1001 to 2035 in FreeSurfer's cortex,
    251 to 255 in its corpus callosum) and so look even, but they are few and none has most of the
    voxels; or there is much below, and nothing between (white matter in BrainSuite).
    """
    if high <= LABELS_END:
        return True
    above = data[data > high / 2]
    values, counts = np.unique(np.rint(above), return_counts=True)
    is_top = values >= PLATEAU * high
    n_plateau, n_alike = int(counts[is_top].sum()), int(counts[is_top].max())
    possible = min(high / 2, above.size - n_alike)
    if 2 * n_alike < n_plateau and len(values) < SPARSE * possible:
        return True
    n_low = int(np.count_nonzero(data > 0.5)) - above.size
    return bool(n_low > max(SOFT_EDGE * (above.size - n_plateau), n_plateau / 2))


def _is_even(data: np.ndarray, high: float) -> bool:
    if high <= 0:
        return False
    above = data[data > high / 2]
    return 2 * int(np.count_nonzero(above >= PLATEAU * high)) >= above.size
