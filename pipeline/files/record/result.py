"""``result.json``: what a method found in a case, and what that depends on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from pipeline.errors import InputError
from pipeline.files.names import RESULT
from pipeline.files.record.base import FileRecord, Record, checked_rates
from pipeline.files.record.stored import StoredFile


class Threshold(Record):
    """Where a map is cut (``map > value``), and how that value was found."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"required": ["value"]})

    value: float | None = None
    """In units of the map; null where the method has none. A file must say it."""
    rule: str | None = None
    """How it was found, for people."""

    @model_validator(mode="before")
    @classmethod
    def _says_its_value(cls, stated: Any, info: ValidationInfo) -> Any:
        """A file with another key in its place would otherwise read as one without a threshold."""
        if info.mode == "json" and isinstance(stated, dict) and "value" not in stated:
            raise ValueError('should be {"value": number or null, "rule": text}')
        return stated


class Software(Record):
    """Versions of what made something; null where a package is not installed.

    Every further key is another package with its version.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any] = Field(init=False)

    anomap: str | None = None
    """Version of anomap."""
    commit: str | None = None
    """Of the source, where it is a git checkout; "+" at its end where that was changed."""
    python: str | None = None
    """Version of Python."""
    torch: str | None = None
    """Version of PyTorch."""
    monai: str | None = None
    """Version of MONAI."""
    numpy: str | None = None
    """Version of NumPy."""
    scipy: str | None = None
    """Version of SciPy."""


class InputFile(StoredFile):
    """A file that a result depends on; it is the same where role, channel and content are."""

    path: str
    """Absolute, links followed; for people."""
    channel: int | None = None
    """Index into the fourth axis of a 4-D file; null where it is 3-D."""
    role: str = ""
    """Modality of an image, or ``label``, ``brain_mask``, ``exclude``, followed by `` voxels`` for
    the second file of an image in two; "" before version 3."""

    @property
    def identity(self) -> tuple[str, int, str]:
        """What makes it another input; the path does not."""
        return self.role, -1 if self.channel is None else self.channel, self.sha256 or ""

    def seems(self, other: InputFile) -> bool:
        """Whether it looks like the same file, by all that was recorded before hashes were."""
        mine, others = (
            (file.path, file.channel, file.bytes, file.modified_ns) for file in (self, other)
        )
        return mine == others


def same_inputs(then: Sequence[InputFile], now: Sequence[InputFile]) -> bool:
    """Whether two results depend on the same files, wherever they lie."""
    if all(file.role for file in (*then, *now)):
        return sorted(f.identity for f in then) == sorted(f.identity for f in now)
    return len(then) == len(now) and all(a.seems(b) for a, b in zip(then, now, strict=True))


class OutputFile(StoredFile):
    """A file of a result."""

    name: str
    """In the folder of the result."""

    @model_validator(mode="before")
    @classmethod
    def _may_be_a_name(cls, stated: Any) -> Any:
        """Before version 3 the name was all that was said; a foreign result may still do so."""
        return {"name": stated} if isinstance(stated, str) else stated

    @field_validator("name")
    @classmethod
    def _lies_in_the_folder(cls, name: str) -> str:
        if name in ("", ".", "..") or "/" in name or "\\" in name:
            raise ValueError("expected the name of a file in the same folder")
        return name


class Provenance(Record):
    """All that a result depends on: a case is done where it is the same."""

    model_config = ConfigDict(extra="ignore")

    anomap: str = ""
    """Version of anomap."""
    method: str = ""
    """Name of the method."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of the method: a detection recipe, or a few numbers; of a fusion its rule and rate."""
    seed: int | None = None
    """Of the noise; null where there is none."""
    inputs: tuple[InputFile, ...] = ()
    """Files of the case: images, masks, and its label where there is one."""
    modalities: tuple[str, ...] = ()
    """Channels, in this order."""
    grid: dict[str, int | float] | None = None
    """The working grid: ``size`` (pixels a side), ``spacing_mm`` (of a pixel) and
    ``slice_spacing_mm``."""
    brain_extraction: bool | None = None
    """Whether raw heads are skull-stripped."""
    threshold: Threshold | None = None
    """Of the mask."""
    min_component_ml: float = 0.0
    """Parts of the mask below so many millilitres are dropped."""
    half_height: float = 0.0
    """Share of the height at which a mask is cut, in 0..1; 0 is off."""
    weights_sha256: str | None = None
    """SHA-256 of the weights; null where the method has none."""
    atlases_sha256: str | None = None
    """SHA-256 of the atlases; null where the method uses none."""
    fused: tuple[Provenance, ...] | None = None
    """Of a fusion: what its parts depend on."""

    def changes(self, now: Provenance) -> list[str]:
        """Names of what differs in another one, sorted; files differ by content, not by name."""
        names = set(type(self).model_fields) - {"inputs", "fused"}
        changed = {name for name in names if getattr(self, name) != getattr(now, name)}
        if not same_inputs(self.inputs, now.inputs):
            changed.add("inputs")
        if not _same_parts(self.fused, now.fused):
            changed.add("fused")
        return sorted(changed)


def _same_parts(then: Sequence[Provenance] | None, now: Sequence[Provenance] | None) -> bool:
    if then is None or now is None:
        return then is now
    return len(then) == len(now) and not any(a.changes(b) for a, b in zip(then, now, strict=True))


class CaseResult(FileRecord):
    """What a method found in a case.

    A method of somebody else may state any part of it, or nothing, and further keys, which are not
    read: `anomap evaluate OUT --labels DATA` needs none of them.
    """

    FILE: ClassVar[str] = RESULT
    WHAT: ClassVar[str] = "the result of a case"
    model_config = ConfigDict(extra="ignore")

    schema_version: int = 3
    """Of the layout of the file; 1 where a file does not say it."""
    case: str = ""
    """Name of the case, and of its folder."""
    method: str = ""
    """Name of the method that made the map; "" where it does not say."""
    score: float | None = None
    """Mean of the highest 1 % of the map in the brain, in its units; higher is more anomalous."""
    p_value: float | None = Field(default=None, ge=0, le=1)
    """How often a healthy case scores as high, by those that calibrate; null of fewer than 19."""
    healthy_cases: int = 0
    """Number of cases that calibrate it."""
    brain_ml: float | None = None
    """Volume of the brain mask in millilitres; null for a picture, which has no size."""
    anomalous_ml: float | None = None
    """Volume of the anomaly mask in millilitres; null without a threshold, and for a picture."""
    brain_pixels: int | None = Field(default=None, ge=0)
    """Of a picture: pixels of the head, or of the brain where it is skull-stripped; else null."""
    anomalous_pixels: int | None = Field(default=None, ge=0)
    """Of a picture: pixels of the anomaly mask; null without a threshold, and for a volume."""
    threshold: Threshold | None = None
    """Of healthy brains; null where it is not known."""
    cut: float | None = None
    """Value above which the map is in the mask: the threshold, or half height above it."""
    evaluations_per_slice: int | float | None = None
    """How often the network is called for a slice."""
    seconds: float | None = None
    """From the prepared case to maps on the source grid."""
    slices: int = 0
    """Number of slices of the working grid."""
    notes: tuple[str, ...] = ()
    """What a user should know about this case."""
    healthy_thresholds: dict[str, float] | None = None
    """Rate (as text, ``"0.01"``) to the value of the map that this share of the healthy voxels
    exceeds; null where it is not calibrated."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Modality to the path of the image."""
    provenance: Provenance | None = None
    """What it depends on; null where it does not say."""
    software: Software | None = None
    """What made it; null where it does not say."""
    command: str | None = None
    """The command that made it, as a shell takes it."""
    files: tuple[OutputFile, ...] = ()
    """The files beside it, which belong to it, as they were written."""

    @field_validator("healthy_thresholds")
    @classmethod
    def _check_rates(cls, values: dict[str, float] | None) -> dict[str, float] | None:
        return None if values is None else checked_rates(values)

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names of the files beside it."""
        return tuple(file.name for file in self.files)

    def check_files(self, folder: Path, names: Iterable[str]) -> None:
        """See that files of the result are as they were written, as far as they are there.

        Args:
            folder: of the result.
            names: of the files that are about to be read.

        Raises:
            InputError: one is another: what the record says is not of it.
        """
        asked = set(names)
        for file in self.files:
            path = folder / file.name
            if file.name in asked and path.exists() and not file.holds(path):
                raise InputError(
                    f"{path}: not the file that {RESULT} beside it speaks of, by its content; "
                    f"detect again, or remove {RESULT} if the maps are another method's"
                )

    @property
    def mask_cut(self) -> float | None:
        """Value above which the map is in the mask, as far as the record says."""
        if self.cut is not None or self.threshold is None:
            return self.cut
        return self.threshold.value
