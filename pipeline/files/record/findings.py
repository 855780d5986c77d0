"""``findings.json``: the parts of a case's mask, in words and numbers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pipeline.files.names import FINDINGS
from pipeline.files.record.base import FileRecord, Record

Point = tuple[float, float, float]
Hemisphere = Literal["left", "right", "both"]


class PlaceShare(Record):
    """How much of a finding lies in a structure."""

    name: str
    """Of the lobe or structure; white matter counts to its lobe."""
    share: float = Field(ge=0, le=1)
    """Of the finding's voxels, in 0..1."""


class Finding(Record):
    """One part of the mask: voxels that touch by a face, an edge or a corner."""

    number: int = Field(ge=1)
    """From 1, the largest first."""
    volume_ml: float
    """In millilitres."""
    diameter_mm: float
    """The largest distance between two points of its surface, in three dimensions."""
    axial_diameter_mm: float
    """The same within one axial slice of the scan."""
    centre_mm: Point
    """Its voxel nearest to its centre of mass, in the scan's millimetres: x to the right, y to the
    front, z up (RAS)."""
    centre_mni_mm: Point | None = None
    """The same in MNI space (ICBM 152); null where the scan could not be placed there."""
    hemisphere: Hemisphere | None = None
    """Where 85 % of it lie by MNI x, or both; null where the scan could not be placed there."""
    left_share: float | None = None
    """Of it on the left, in 0..1."""
    place: str | None = None
    """Lobe or structure that most of it lies in, with the side; null where it is not known."""
    places: tuple[PlaceShare, ...] = ()
    """All that a tenth of it lies in at least, the largest share first."""
    mean: float
    """Of the map over it, in the map's units; higher is more anomalous."""
    peak: float
    """The highest value of the map in it."""
    healthy_share_above_peak: float | None = None
    """Share of the healthy voxels that calibrate the method whose map is higher than the peak, in
    0..1; at most, where that is the rarest rate that is calibrated. Null where it is not known."""


class MniPlacement(Record):
    """How the scan lies in MNI space."""

    affine: tuple[tuple[float, float, float, float], ...]
    """Four rows: a point of the scan (RAS, millimetres) to one of MNI space."""
    image: str
    """What was registered: ``pseudo-healthy``, or ``brain mask`` where that gave nothing better."""
    overlap: float
    """Dice of the brain and that of the atlas, there."""


class Findings(FileRecord):
    """The parts of a case's mask, beside it; made again by `anomap findings` after a correction."""

    FILE: ClassVar[str] = FINDINGS
    WHAT: ClassVar[str] = "the findings of a case"

    schema_version: int = 1
    """Of the layout of the file."""
    case: str = ""
    """Name of the case."""
    total_ml: float = 0.0
    """Volume of the whole mask in millilitres."""
    findings: tuple[Finding, ...] = ()
    """The largest parts, in order; see ``further``."""
    further: int = 0
    """Number of smaller parts that are not listed."""
    further_ml: float = 0.0
    """Their volume together."""
    cut: float | None = None
    """Value above which the map is in the mask."""
    mni: MniPlacement | None = None
    """Null where the brain is a slab, a picture, or fits nowhere."""
    mask_sha256: str | None = None
    """Of the mask that they are of; another mask is beside them where it was corrected since."""
    notes: tuple[str, ...] = ()
    """What a user should know about them."""

    @property
    def count(self) -> int:
        """Number of all parts."""
        return len(self.findings) + self.further
