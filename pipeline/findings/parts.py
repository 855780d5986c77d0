"""Parts of a mask, and how large they are: arrays in, numbers out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

TOUCHING = np.ones((3, 3, 3), dtype=bool)
"""By a face, an edge or a corner."""


@dataclass(frozen=True)
class Part:
    """Voxels of a mask that touch.

    Attributes:
        voxels: indices, ``(n, 3)``.
    """

    voxels: np.ndarray


def label_parts(mask: np.ndarray) -> np.ndarray:
    """The parts (26-connected) of a mask by number, the largest is 1.

    Args:
        mask: ``(X, Y, Z)`` bool.

    Returns:
        Same shape, int32; 0 outside.
    """
    numbers = np.zeros(mask.shape, dtype=np.int32)
    if not mask.any():
        return numbers
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    found, n = ndimage.label(mask[box], structure=TOUCHING)
    sizes = np.bincount(found.reshape(-1), minlength=n + 1)[1:]
    rank = np.zeros(n + 1, dtype=np.int32)
    rank[1 + np.argsort(-sizes, kind="stable")] = np.arange(1, n + 1)
    numbers[box] = rank[found]
    return numbers


def parts_of(numbers: np.ndarray, limit: int | None = None) -> Iterator[Part]:
    """The parts ``(X, Y, Z)`` of `label_parts` in order, so many at most."""
    for number, box in enumerate(ndimage.find_objects(numbers, limit or 0), start=1):
        if box is not None:
            first = np.array([side.start for side in box])
            yield Part(np.argwhere(numbers[box] == number) + first)


def centre_of(part: Part) -> np.ndarray:
    """Its voxel ``(3,)`` nearest to its centre of mass, which lies outside of a ring."""
    middle = part.voxels.mean(0)
    return np.asarray(part.voxels[((part.voxels - middle) ** 2).sum(1).argmin()])


def diameter_mm(part: Part, affine: np.ndarray) -> float:
    """The largest distance between two points of a part's surface.

    Points of the surface are the middles of the outer faces of its voxels, as in pyradiomics'
    ``Maximum3DDiameter``: a single voxel is as large as its longest side.

    Args:
        affine: voxel index to world in millimetres, ``(4, 4)``.
    """
    return _widest(_faces(part.voxels) @ affine[:3, :3].T)


def axial_diameter_mm(part: Part, affine: np.ndarray) -> float:
    """As `diameter_mm` within one slice of the scan, of those nearest to axial.

    Args:
        affine: voxel index to world in millimetres, ``(4, 4)``.
    """
    axis = int(np.abs(affine[2, :3] / np.linalg.norm(affine[:3, :3], axis=0)).argmax())
    order = np.argsort(part.voxels[:, axis], kind="stable")
    voxels = part.voxels[order]
    starts = np.flatnonzero(np.diff(voxels[:, axis])) + 1
    others = [a for a in range(3) if a != axis]
    matrix = affine[:3, others].T
    return max(_widest(_faces(one[:, others]) @ matrix) for one in np.split(voxels, starts))


def _faces(voxels: np.ndarray) -> np.ndarray:
    """Middles of the outermost faces of voxels ``(n, d)``, in indices: their hull is the part's.

    Along each axis only the first and the last voxel of a line count; no other can lie on it.
    """
    n_axes = voxels.shape[1]
    found = []
    for axis in range(n_axes):
        others = [a for a in range(n_axes) if a != axis]
        order = np.lexsort((voxels[:, axis], *(voxels[:, a] for a in others)))
        lines = voxels[order]
        new = np.any(np.diff(lines[:, others], axis=0) != 0, axis=1)
        half = np.eye(n_axes)[axis] / 2
        found += [lines[np.append(True, new)] - half, lines[np.append(new, True)] + half]
    return np.concatenate(found)


def _widest(points: np.ndarray) -> float:
    """The largest distance between two of the points ``(n, 2 or 3)``, in their unit."""
    if len(points) > 20:
        # In a plane of the world, and in a volume that is nearly flat there may be no hull.
        with contextlib.suppress(QhullError):
            points = points[ConvexHull(_in_own_axes(points)).vertices]
    return float(pdist(points).max())


def _in_own_axes(points: np.ndarray) -> np.ndarray:
    """Points without the axes of the world that they do not extend along."""
    centred = points - points.mean(0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(centred @ axes[sizes > 1e-9 * sizes[0]].T)
