"""``comparison.json``: what became of the findings of a person between two scans."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pipeline.files.names import COMPARISON
from pipeline.files.record.base import FileRecord, Record
from pipeline.files.record.findings import Point
from pipeline.files.record.result import Software

Kind = Literal["grown", "shrunk", "unchanged", "new", "gone", "merged", "split", "rearranged"]


class Change(Record):
    """Findings of the two scans that lie on each other, or one that stands alone."""

    number: int = Field(ge=1)
    """From 1, the largest of either scan first."""
    kind: Kind
    """``merged`` of several into one, ``split`` of one into several, ``rearranged`` of several into
    several; the others are of one finding. ``unchanged`` is within the tolerance."""
    before: tuple[int, ...] = ()
    """Numbers of the findings of the first scan; none where it is new."""
    after: tuple[int, ...] = ()
    """Numbers of the findings of the second scan; none where it is gone."""
    before_ml: float
    """Their volume in the first scan, in millilitres."""
    after_ml: float
    """Their volume in the second scan."""
    change_ml: float
    """After less before."""
    change_share: float | None = None
    """Of the volume before: 0.5 is half as much again; null where it is new."""
    before_mm: float = 0.0
    """The largest diameter of them in the first scan, in millimetres."""
    after_mm: float = 0.0
    """The same in the second scan."""
    centre_mm: Point
    """Of the largest of them, in millimetres of the first scan (RAS)."""
    place: str | None = None
    """Lobe or structure of the largest of them; null where it is not known."""
    seen: float = Field(default=1.0, ge=0, le=1)
    """Of a finding that is new or gone: the share of it that lies in the brain of the other scan.
    Where that is low, the other scan does not show the place."""


class RigidRegistration(Record):
    """How the second scan lies on the first."""

    affine: tuple[tuple[float, float, float, float], ...]
    """Four rows: a point of the second scan (RAS, millimetres) to one of the first."""
    rotation_deg: float
    """Angle of the rotation."""
    shift_mm: float
    """How far the middle of the brain moves."""
    overlap: float
    """Dice of the two brains after it."""
    agreement: float
    """Mutual information of the two images in the brains, in shares of the lower entropy, 0..1;
    see ``least``."""
    least: float
    """The agreement below which the scans are not taken for one brain."""
    images: tuple[str, str]
    """What was registered: ``scan`` or ``pseudo-healthy``, of each."""


class ComparedResult(Record):
    """One of the two results."""

    path: str
    """Folder of the case."""
    case: str = ""
    """Name of the case."""
    total_ml: float
    """Volume of its mask in millilitres."""
    findings: int
    """Number of parts of its mask."""


class Comparison(FileRecord):
    """Two results of one person: the first is before, the second after."""

    FILE: ClassVar[str] = COMPARISON
    WHAT: ClassVar[str] = "a comparison of two results"

    schema_version: int = 1
    """Of the layout of the file."""
    before: ComparedResult
    """The first date."""
    after: ComparedResult
    """The second date."""
    registration: RigidRegistration
    """Of the second scan to the first."""
    changes: tuple[Change, ...] = ()
    """What became of the findings."""
    tolerance: float = 0.0
    """Change of volume, as a share of the larger, up to which it counts as unchanged."""
    notes: tuple[str, ...] = ()
    """What a user should know."""
    software: Software | None = None
    """What made it."""
    command: str | None = None
    """The command that made it, as a shell takes it."""
