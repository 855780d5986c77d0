"""``cohort.json``: what a synthetic cohort was made with, and what was drawn for each case."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipeline.files.names import COHORT
from pipeline.files.record.base import FileRecord, Record


class PhantomArguments(Record):
    """What a cohort of phantoms was made with."""

    source: Literal["phantom"] = "phantom"
    """That they are phantoms."""
    modalities: tuple[str, ...]
    """Of the images."""
    seed: int
    """Of all that was drawn."""
    spacing_mm: float
    """Of the voxels."""
    contrast: str
    """Of the tumours: ``bright``, ``dark``, ``iso`` or ``mixed``."""


class InsertedArguments(Record):
    """What tumours in real brains were made with."""

    source: Literal["inserted"] = "inserted"
    """That they were put into real brains."""
    on: tuple[str, ...]
    """Names of the healthy cases, sorted."""
    modalities: tuple[str, ...]
    """Of the images."""
    seed: int
    """Of all that was drawn."""
    contrast: str
    """Of the tumours: ``bright``, ``dark``, ``iso`` or ``mixed``."""


class TumourFacts(Record):
    """A tumour that was drawn."""

    volume_ml: float
    """Millilitres of all parts."""
    necrosis_ml: float
    """Millilitres of its necrosis."""
    oedema_ml: float
    """Millilitres of its oedema."""
    enhancing_ml: float
    """Millilitres of its enhancing part."""
    contrast: dict[str, str]
    """Modality to ``bright``, ``dark`` or ``iso``."""
    centre_mm: tuple[float, float, float]
    """Mean over its voxels, in world coordinates (RAS)."""
    push_mm: float
    """Largest displacement of the tissue around."""


class PhantomFacts(Record):
    """What was drawn for a phantom."""

    spacing_mm: float
    """Of the voxels."""
    age: float
    """From 0, small ventricles and narrow sulci, to 1."""
    ventricles_mm: float
    """Largest displacement of the tissue at the ventricles; below 0 they shrink."""
    scale: tuple[float, float, float]
    """Of the template, along each axis."""
    tumour: TumourFacts | None = None
    """Left out where there is none."""


class InsertedFacts(Record):
    """A real brain, with a tumour or as it was."""

    subject: str
    """Name of the healthy case."""
    tumour: TumourFacts | None = None
    """Left out where there is none."""


Arguments = PhantomArguments | InsertedArguments
CaseFacts = PhantomFacts | InsertedFacts


class SyntheticCohort(FileRecord):
    """A folder of synthetic cases, brought up to date after each of them."""

    FILE: ClassVar[str] = COHORT
    WHAT: ClassVar[str] = "the record of a synthetic cohort"

    schema_version: int = 2
    """Of the layout of the file; 1 where a file does not say it."""
    arguments: Annotated[Arguments, Field(discriminator="source")]
    """What it was made with."""
    cases: dict[str, CaseFacts] = Field(default_factory=dict)
    """Name of a case that is written to what was drawn for it."""
    failed: dict[str, str] = Field(default_factory=dict)
    """Name of a case to the reason, of the last call."""

    def with_case(self, name: str, facts: CaseFacts) -> SyntheticCohort:
        """The same with one more case, or with other facts about it."""
        return self.model_copy(update={"cases": {**self.cases, name: facts}})

    def to_json(self) -> dict[str, Any]:
        """As `Record.to_json`; healthy cases have no tumour, rather than a null one."""
        tree = super().to_json()
        for facts in tree["cases"].values():
            if facts["tumour"] is None:
                del facts["tumour"]
        return tree
