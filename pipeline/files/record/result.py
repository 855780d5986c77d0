"""``result.json``: what a method found in a case, and what that depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, Field

from pipeline.files.names import RESULT
from pipeline.files.record.base import FileRecord, Record


class Threshold(Record):
    """Where a map is cut (``map > value``), and how that value was found."""

    value: float | None = None
    """In units of the map; null where the method has none."""
    rule: str | None = None
    """How it was found, for people."""


class Software(Record):
    """Versions of what made a result; null where a package is not installed."""

    anomap: str
    commit: str | None = None
    """Of the source, where it is a git checkout; "+" where that was changed."""
    python: str | None = None
    torch: str | None = None
    monai: str | None = None
    numpy: str | None = None
    scipy: str | None = None


class InputFile(Record):
    """What tells a file from another one, or from itself before it was changed."""

    path: str
    """Resolved."""
    channel: int | None = None
    """Index into the fourth axis of a 4-D file."""
    bytes: int | None = None
    modified_ns: int | None = None


class Provenance(Record):
    """All that a result depends on: a case is done where it is the same."""

    anomap: str = ""
    """Version of the software."""
    method: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of the method: a detection recipe, or a few numbers; of a fusion its rule and rate."""
    seed: int | None = None
    """Of the noise."""
    inputs: tuple[InputFile, ...] = ()
    modalities: tuple[str, ...] = ()
    """Channels, in this order."""
    grid: dict[str, int | float] | None = None
    """The working grid: pixels a side, pixel size and slice distance in mm."""
    brain_extraction: bool | None = None
    """Whether raw heads are skull-stripped."""
    threshold: Threshold | None = None
    min_component_ml: float = 0.0
    """Smaller parts of the mask are dropped."""
    half_height: float = 0.0
    """Share of the height at which a mask is cut; 0 is off."""
    weights_sha256: str | None = None
    atlases_sha256: str | None = None
    fused: tuple[Provenance, ...] | None = None
    """Of a fusion: what its parts depend on."""

    def changes(self, now: Provenance) -> list[str]:
        """Names of what differs in another one, sorted."""
        names = type(self).model_fields
        return sorted(name for name in names if getattr(self, name) != getattr(now, name))


class CaseResult(FileRecord):
    """What a method found in a case.

    A method of somebody else may state any part of it, or nothing, and further keys that are kept
    by nobody: `anomap evaluate` needs none of them.
    """

    WHAT: ClassVar[str] = "the result of a case"
    model_config = ConfigDict(extra="ignore")

    schema_version: int = 2
    case: str = ""
    """Name of the case, and of its folder."""
    method: str = ""
    """That made the map; "" where it does not say."""
    score: float | None = None
    """Mean of the highest 1 % of the map in the brain; higher is more anomalous."""
    p_value: float | None = Field(default=None, ge=0, le=1)
    """How often a healthy case scores as high, by those that calibrate; null without any."""
    healthy_cases: int = 0
    """So many cases calibrate it."""
    brain_ml: float | None = None
    """Volume of the brain mask in millilitres."""
    anomalous_ml: float | None = None
    """Volume of the anomaly mask in millilitres; null without a threshold."""
    threshold: Threshold | None = None
    cut: float | None = None
    """Value above which the map is in the mask: the threshold, or half height above it."""
    evaluations_per_slice: int | float | None = None
    """Of the network."""
    seconds: float | None = None
    """From the prepared case to maps on the source grid."""
    slices: int = 0
    """Of the working grid."""
    notes: tuple[str, ...] = ()
    """What a user should know about this case."""
    healthy_thresholds: dict[str, float] | None = None
    """Rate (as text) to the value of the map that this share of healthy voxels exceeds."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Modality to the path of the image."""
    provenance: Provenance | None = None
    software: Software | None = None
    command: str | None = None
    """That made it, as a shell takes it."""
    files: tuple[str, ...] = ()
    """Beside it."""

    @classmethod
    def migrate(cls, tree: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 had the same keys and no version; some numbers could be NaN."""
        return tree

    @classmethod
    def of(cls, folder: Path) -> CaseResult | None:
        """The result in a case's folder, None where there is none.

        Raises:
            InputError: there is one that cannot be read.
        """
        return cls.read_if_there(folder / RESULT)

    @property
    def mask_cut(self) -> float | None:
        """Value above which the map is in the mask, as far as the record says."""
        if self.cut is not None or self.threshold is None:
            return self.cut
        return self.threshold.value
