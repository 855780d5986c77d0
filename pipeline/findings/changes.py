"""What became of the findings of one person between two scans: arrays in, changes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from pipeline.files.images.volume import voxel_volume_ml
from pipeline.files.record.comparison import Change, Comparison, RigidRegistration
from pipeline.files.record.findings import Finding, Findings
from pipeline.findings.describe import Called, millilitres
from pipeline.findings.matching import Group, kind_of, match
from pipeline.findings.parts import Part, centre_of, diameter_mm, label_parts, parts_of
from pipeline.findings.registration import (
    Lattice,
    agreement,
    is_whole,
    moved_to,
    on_lattice,
    overlap,
    register_rigid,
)
from pipeline.scores.case_rows import csv_text

LATTICE_MM = 2.0
"""On which two scans are registered."""
MIN_AGREEMENT = 0.1
"""Of the fine structure of two scans, of which less is none of one person. One person in one
contrast, turned, shifted, with other noise and shading, had 0.39 to 0.46; other people had 0.005 to
0.046 (IXI T1w, BraTS FLAIR)."""
MIN_OVERLAP = 0.85
"""Dice of the two brains after it: less is another part of the head."""
COLUMNS = (
    *("number", "kind", "before", "after", "before_ml", "after_ml", "change_ml", "change_share"),
    *("before_mm", "after_mm", "x_mm", "y_mm", "z_mm", "place", "seen"),
)


@dataclass(frozen=True)
class DatedScan:
    """One of the two results.

    Attributes:
        called: its mask and brain, with the image to register by.
        findings: of that mask.
        image_name: what the image is.
    """

    called: Called
    findings: Findings
    image_name: str

    @property
    def lattice(self) -> Lattice:
        """Its brain, to be registered."""
        brain, image = self.called.brain, self.called.image
        shown = brain.astype(np.float32) if image is None else image
        return on_lattice(shown, brain, self.called.affine, LATTICE_MM)


def register(before: DatedScan, after: DatedScan) -> RigidRegistration | None:
    """The second scan on the first; None where a brain is a slab, or nothing was found."""
    if not all(is_whole(one.called.brain, one.called.affine) for one in (before, after)):
        return None
    fixed, moving = before.lattice, after.lattice
    if (found := register_rigid(moving, fixed)) is None:
        return None
    angle = float(np.rad2deg(Rotation.from_matrix(found[:3, :3]).magnitude()))
    middle = np.argwhere(moving.brain).mean(0) @ moving.affine[:3, :3].T + moving.affine[:3, 3]
    shift = found[:3, :3] @ middle + found[:3, 3] - middle
    a, b, c, d = np.round(found, 6).T.tolist()
    return RigidRegistration(
        affine=tuple(zip(a, b, c, d, strict=True)),
        rotation_deg=round(angle, 3),
        shift_mm=round(float(np.linalg.norm(shift)), 3),
        overlap=round(overlap(moving, fixed, found), 4),
        agreement=round(agreement(moving, fixed, found), 4),
        least=MIN_AGREEMENT,
        images=(before.image_name, after.image_name),
    )


def looks_like_one_brain(registration: RigidRegistration) -> bool:
    """Whether two scans that were registered may be of one person."""
    return registration.agreement >= MIN_AGREEMENT and registration.overlap >= MIN_OVERLAP


@dataclass(frozen=True)
class _Sides:
    """Parts of both scans by number, on their own grids, and the way between them."""

    before: DatedScan
    after: DatedScan
    parts: tuple[Mapping[int, Part], Mapping[int, Part]]
    affine: np.ndarray


def changes_of(
    before: DatedScan, after: DatedScan, registration: RigidRegistration
) -> tuple[Change, ...]:
    """What became of each finding, the largest of either scan first.

    Volumes are those on each scan's own grid; only the matching looks at the registered masks.
    """
    affine = np.array(registration.affine)
    numbers = label_parts(before.called.mask), label_parts(after.called.mask)
    first, second = (dict(enumerate(parts_of(one), start=1)) for one in numbers)
    sides = _Sides(before, after, (first, second), affine)
    moved = _moved_numbers(numbers[1], after.called, before.called, affine)
    spacing_mm = np.linalg.norm(before.called.affine[:3, :3], axis=0)
    groups = match(numbers[0], moved, spacing_mm)
    volumes = [_volumes(group, sides) for group in groups]
    order = sorted(range(len(groups)), key=lambda i: -max(volumes[i]))
    return tuple(_change(n, groups[i], sides) for n, i in enumerate(order, start=1))


def _moved_numbers(
    numbers: np.ndarray, moving: Called, fixed: Called, affine: np.ndarray
) -> np.ndarray:
    """Numbers of parts on the grid of the other scan, each voxel that of the nearest one."""
    way = np.linalg.inv(moving.affine) @ np.linalg.inv(affine) @ fixed.affine
    return np.asarray(
        ndimage.affine_transform(
            numbers, way[:3, :3], way[:3, 3], output_shape=fixed.mask.shape, order=0
        )
    )


def _volumes(group: Group, sides: _Sides) -> tuple[float, float]:
    sizes = (
        sum(len(parts[n].voxels) for n in numbers) * voxel_volume_ml(one.called.affine)
        for one, parts, numbers in (
            (sides.before, sides.parts[0], group.before),
            (sides.after, sides.parts[1], group.after),
        )
    )
    before_ml, after_ml = map(float, sizes)
    return before_ml, after_ml


def _change(number: int, group: Group, sides: _Sides) -> Change:
    before_ml, after_ml = _volumes(group, sides)
    own = [sides.before.findings.findings, sides.after.findings.findings]
    listed = [
        [one for one in found if one.number in numbers]
        for found, numbers in zip(own, (group.before, group.after), strict=True)
    ]
    return Change(
        number=number,
        kind=kind_of(group, before_ml, after_ml),
        before=group.before,
        after=group.after,
        before_ml=round(before_ml, 4),
        after_ml=round(after_ml, 4),
        change_ml=round(after_ml - before_ml, 4),
        change_share=round(after_ml / before_ml - 1, 4) if before_ml else None,
        before_mm=_widest(group.before, sides.parts[0], sides.before.called),
        after_mm=_widest(group.after, sides.parts[1], sides.after.called),
        centre_mm=_centre(group, sides),
        place=_place(listed),
        seen=_seen(group, sides),
    )


def _widest(numbers: Sequence[int], parts: Mapping[int, Part], called: Called) -> float:
    """The largest diameter of parts; 0 where there is none."""
    found = (diameter_mm(parts[number], called.affine) for number in numbers)
    return round(max(found, default=0.0), 2)


def _place(listed: Sequence[Sequence[Finding]]) -> str | None:
    """Of the largest of them, by the first scan where it is there."""
    return next((found[0].place for found in listed if found), None)


def _centre(group: Group, sides: _Sides) -> tuple[float, float, float]:
    """Of the largest part, in the first scan."""
    first = bool(group.before)
    called = (sides.before if first else sides.after).called
    middle = centre_of(sides.parts[0 if first else 1][min(group.before or group.after)])
    to_world = called.affine if first else sides.affine @ called.affine
    x, y, z = (round(float(v), 2) for v in to_world[:3, :3] @ middle + to_world[:3, 3])
    return x, y, z


def _seen(group: Group, sides: _Sides) -> float:
    """Share of what is new or gone that lies in the brain of the other scan; 1 of the others."""
    if group.before and group.after:
        return 1.0
    gone = bool(group.before)
    own, other = (sides.before, sides.after) if gone else (sides.after, sides.before)
    parts = sides.parts[0 if gone else 1]
    voxels = np.concatenate([parts[n].voxels for n in group.before or group.after])
    way = np.linalg.inv(sides.affine) if gone else sides.affine
    to_other = np.linalg.inv(other.called.affine) @ way @ own.called.affine
    index = np.rint(voxels @ to_other[:3, :3].T + to_other[:3, 3]).astype(int)
    inside = ((index >= 0) & (index < other.called.brain.shape)).all(1)
    in_brain = other.called.brain[tuple(index[inside].T)]
    return round(float(in_brain.sum()) / len(voxels), 4)


def on_first(volume: np.ndarray, own: Called, first: Called, affine: np.ndarray) -> np.ndarray:
    """A volume of the second scan on the grid of the first.

    Args:
        volume: ``(X, Y, Z)``, of the second scan.
        own: gives its grid.
        first: the first scan.
        affine: of the registration, ``(4, 4)``.
    """
    return moved_to(volume, own.affine, Lattice(first.brain, first.brain, first.affine), affine)


# --- for people ----------------------------------------------------------------------------------


def sentence_of(comparison: Comparison) -> str:
    """A comparison in one line."""
    before, after = comparison.before, comparison.after
    if not comparison.changes:
        return "nothing above the threshold at either date"
    kinds = [change.kind for change in comparison.changes]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    share = ""
    if before.total_ml > 0:
        share = f" ({100 * (after.total_ml / before.total_ml - 1):+.0f} %)"
    return f"{millilitres(before.total_ml)} -> {millilitres(after.total_ml)}{share}; {counts}"


def change_table(changes: Sequence[Change]) -> str:
    """``comparison.csv``: a row for each change."""
    rows = []
    for one in changes:
        row = {key: value for key in COLUMNS if (value := getattr(one, key, None)) is not None}
        row["number"] = str(one.number)
        row |= {key: " ".join(map(str, getattr(one, key))) for key in ("before", "after")}
        row |= dict(zip(("x_mm", "y_mm", "z_mm"), one.centre_mm, strict=True))
        rows.append(row)
    return csv_text(COLUMNS, rows)
