"""The mask of a case in words and numbers: the record, its table, its one line."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import InputError, reason_of
from pipeline.files.images.volume import voxel_volume_ml
from pipeline.files.limits import MAX_FINDINGS
from pipeline.files.record.findings import Finding, Findings, MniPlacement, PlaceShare, Point
from pipeline.findings.parts import (
    Part,
    axial_diameter_mm,
    centre_of,
    diameter_mm,
    label_parts,
    parts_of,
)
from pipeline.findings.places import Whereabouts, load_places, whereabouts
from pipeline.findings.placing import place_in_mni
from pipeline.maps.rarity import surprise
from pipeline.scores.case_rows import Cell, csv_text

logger = logging.getLogger(__name__)

LISTED_SHARE = 0.1
"""Of a finding, from which a structure is named beside the first."""
UNPLACED = "the brain could not be placed in MNI space: no side and no structure is said"
COLUMNS = (
    *("case", "number", "volume_ml", "diameter_mm", "axial_diameter_mm", "x_mm", "y_mm", "z_mm"),
    *("mni_x_mm", "mni_y_mm", "mni_z_mm", "hemisphere", "left_share", "place", "places"),
    *("mean", "peak", "healthy_share_above_peak"),
)


@dataclass(frozen=True)
class Called:
    """A mask with what it is of, all on one grid.

    Attributes:
        mask: ``(X, Y, Z)`` bool.
        anomaly_map: same shape, higher = more anomalous.
        brain: same shape, bool.
        affine: voxel index to world (RAS, millimetres), ``(4, 4)``.
        image: to place the brain by; see `place_in_mni`.
    """

    mask: np.ndarray
    anomaly_map: np.ndarray
    brain: np.ndarray
    affine: np.ndarray
    image: np.ndarray | None = None


def describe(
    called: Called,
    *,
    case: str = "",
    cut: float | None = None,
    healthy_thresholds: Mapping[str, float] | None = None,
) -> Findings:
    """The parts of a mask, the `MAX_FINDINGS` largest one by one.

    Args:
        called: the mask and its surroundings.
        case: its name.
        cut: value above which the map is in the mask.
        healthy_thresholds: rate (as text) to the value that this share of healthy voxels exceeds.
    """
    numbers = label_parts(called.mask)
    voxel_ml = voxel_volume_ml(called.affine)
    placement = _placement(called) if numbers.any() else None
    found = tuple(
        _finding(number, part, called, placement, healthy_thresholds)
        for number, part in enumerate(parts_of(numbers, MAX_FINDINGS), start=1)
    )
    rest = numbers > MAX_FINDINGS
    return Findings(
        case=case,
        total_ml=round(float(np.count_nonzero(numbers)) * voxel_ml, 4),
        findings=found,
        further=max(int(numbers.max(initial=0)) - MAX_FINDINGS, 0),
        further_ml=round(float(rest.sum()) * voxel_ml, 4),
        cut=cut,
        mni=placement,
        notes=(UNPLACED,) if found and placement is None else (),
    )


def _placement(called: Called) -> MniPlacement | None:
    try:
        return place_in_mni(called.image, called.brain, called.affine, load_places())
    except Exception as error:  # whatever it is, the volumes are right without a place
        logger.warning("note: no place of the findings is said: %s", reason_of(error))
        return None


def _finding(
    number: int,
    part: Part,
    called: Called,
    placement: MniPlacement | None,
    healthy_thresholds: Mapping[str, float] | None,
) -> Finding:
    affine = called.affine
    centre = centre_of(part)
    values = called.anomaly_map[tuple(part.voxels.T)]
    peak = float(values.max())
    described: dict[str, Any] = {}
    if placement is not None:
        to_mni = np.array(placement.affine) @ affine
        where = whereabouts(_moved(part.voxels, to_mni), load_places())
        described = {
            "centre_mni_mm": _point(_moved(centre, to_mni)),
            "hemisphere": where.hemisphere,
            "left_share": round(where.left_share, 4),
            "place": where.place,
            "places": _named(where),
        }
    return Finding(
        number=number,
        volume_ml=round(len(part.voxels) * voxel_volume_ml(affine), 4),
        diameter_mm=round(diameter_mm(part, affine), 2),
        axial_diameter_mm=round(axial_diameter_mm(part, affine), 2),
        centre_mm=_point(_moved(centre, affine)),
        mean=float(values.mean()),
        peak=peak,
        healthy_share_above_peak=_healthy_share(peak, healthy_thresholds),
        **described,
    )


def _named(where: Whereabouts) -> tuple[PlaceShare, ...]:
    return tuple(
        PlaceShare(name=name, share=round(share, 4))
        for i, (name, share) in enumerate(where.shares.items())
        if i == 0 or share >= LISTED_SHARE
    )


def _moved(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return np.asarray(points @ affine[:3, :3].T + affine[:3, 3])


def _point(mm: np.ndarray) -> Point:
    x, y, z = (round(float(v), 2) for v in mm)
    return x, y, z


def _healthy_share(peak: float, thresholds: Mapping[str, float] | None) -> float | None:
    """Share of healthy voxels above a value, no less than the rarest that is tabulated."""
    if not thresholds:
        return None
    try:
        decades = float(surprise(np.array([max(peak, 0.0)]), thresholds)[0])
    except InputError:  # a table of one rate, or a flat one
        return None
    rarest = min(float(rate) for rate in thresholds)
    return max(float(10.0**-decades), rarest)


# --- for people ----------------------------------------------------------------------------------


def sentence(findings: Findings) -> str:
    """A case in one line, without its name."""
    if not findings.count:
        return "nothing above the threshold"
    first = findings.findings[0]
    place = f", {first.place}" if first.place else ""
    if findings.count == 1:
        return f"1 finding, {millilitres(first.volume_ml)}{place}"
    return (
        f"{findings.count} findings, {millilitres(findings.total_ml)}; largest "
        f"{millilitres(first.volume_ml)}{place}"
    )


def millilitres(volume_ml: float) -> str:
    """A volume for people."""
    return f"{volume_ml:.1f} mL" if volume_ml >= 0.095 else f"{volume_ml:.2g} mL"


def percent(share: float | None) -> str:
    """A share for people; empty where it is not known."""
    return "" if share is None else f"{100 * share:.2g} %"


def table(all_findings: Sequence[Findings]) -> str:
    """``findings.csv``: a row for each finding."""
    return csv_text(
        COLUMNS, [_row(each.case, one) for each in all_findings for one in each.findings]
    )


def _row(case: str, one: Finding) -> dict[str, Cell]:
    row: dict[str, Cell] = {"case": case, "number": str(one.number)}
    row |= {key: value for key in COLUMNS[2:] if (value := getattr(one, key, None)) is not None}
    row["places"] = "; ".join(f"{each.name} {100 * each.share:.0f} %" for each in one.places)
    row |= dict(zip(("x_mm", "y_mm", "z_mm"), one.centre_mm, strict=True))
    if one.centre_mni_mm is not None:
        row |= dict(zip(("mni_x_mm", "mni_y_mm", "mni_z_mm"), one.centre_mni_mm, strict=True))
    return row
