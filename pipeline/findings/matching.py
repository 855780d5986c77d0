"""Which findings of two scans are the same, by where they lie: arrays in, groups out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.files.record.comparison import Kind

REACH_MM = 2.0
"""By which a part of the first scan is widened: so much may a registration be off."""
MIN_SHARE = 0.1
"""Of the smaller of two parts that must lie on the other for them to be one finding."""
TOLERANCE = 0.1
"""Change of volume, as a share of the larger, up to which a finding is unchanged."""
TOLERANCE_ML = 0.1
"""Likewise in millilitres: small findings change by a layer of voxels."""


@dataclass(frozen=True)
class Group:
    """Parts that lie on each other.

    Attributes:
        before, after: numbers of the parts of the first and of the second scan.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]


def match(before: np.ndarray, after: np.ndarray, spacing_mm: np.ndarray) -> list[Group]:
    """Groups of parts of two scans that lie on each other, through others too.

    Args:
        before: numbers of the parts of the first scan, ``(X, Y, Z)`` int, 0 outside; see
            `pipeline.findings.parts.label_parts`.
        after: those of the second, registered to the same grid, same shape.
        spacing_mm: of the grid, ``(3,)``.

    Returns:
        Every part in one group, in the order of the first part of it.
    """
    n_before, n_after = int(before.max(initial=0)), int(after.max(initial=0))
    away, nearest = ndimage.distance_transform_edt(
        before == 0, sampling=spacing_mm, return_indices=True
    )
    wide = np.where(away <= REACH_MM, before[tuple(nearest)], 0) if n_before else before
    on = (wide > 0) & (after > 0)
    common = np.zeros((n_before + 1, n_after + 1))
    np.add.at(common, (wide[on], after[on]), 1)
    sizes_before = np.bincount(before.ravel(), minlength=n_before + 1)
    sizes_after = np.bincount(after.ravel(), minlength=n_after + 1)
    smaller = np.minimum(sizes_before[:, None], sizes_after[None])
    linked = (common > 0) & (common >= MIN_SHARE * smaller)
    rows, columns = np.nonzero(linked[1:, 1:])
    n = n_before + n_after
    graph = coo_array((np.ones(len(rows)), (rows, n_before + columns)), shape=(n, n))
    _, group_of = connected_components(graph, directed=False)
    groups: dict[int, tuple[list[int], list[int]]] = {}
    for node, group in enumerate(group_of):
        sides = groups.setdefault(int(group), ([], []))
        sides[int(node >= n_before)].append(node + 1 if node < n_before else node - n_before + 1)
    return [Group(tuple(a), tuple(b)) for a, b in groups.values()]


def kind_of(group: Group, before_ml: float, after_ml: float) -> Kind:
    """What became of a group, by numbers of parts and volumes in millilitres."""
    if not group.before:
        return "new"
    if not group.after:
        return "gone"
    if len(group.before) > 1:
        return "merged" if len(group.after) == 1 else "rearranged"
    if len(group.after) > 1:
        return "split"
    change = after_ml - before_ml
    if abs(change) <= max(TOLERANCE * max(before_ml, after_ml), TOLERANCE_ML):
        return "unchanged"
    return "grown" if change > 0 else "shrunk"
