"""``cohort.json``: what a synthetic cohort was made with, and what was drawn for each case."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipeline.files.names import COHORT
from pipeline.files.record.base import FileRecord, Record


class PhantomArguments(Record):
    """Of a cohort of phantoms."""

    source: Literal["phantom"] = "phantom"
    modalities: tuple[str, ...]
    seed: int
    spacing_mm: float
    contrast: str
    """Of the tumours."""


class InsertedArguments(Record):
    """Of tumours in real brains."""

    source: Literal["inserted"] = "inserted"
    on: tuple[str, ...]
    """Names of the healthy cases, sorted."""
    modalities: tuple[str, ...]
    seed: int
    contrast: str
    """Of the tumours."""


class TumourFacts(Record):
    """A tumour that was drawn."""

    volume_ml: float
    """Of all parts."""
    necrosis_ml: float
    oedema_ml: float
    enhancing_ml: float
    contrast: dict[str, str]
    """Modality to ``bright``, ``dark`` or ``iso``."""
    centre_mm: tuple[float, float, float]
    """Mean over its voxels, in world coordinates (RAS)."""
    push_mm: float
    """Largest displacement of the tissue around."""


class PhantomFacts(Record):
    """A phantom."""

    spacing_mm: float
    age: float
    """From 0, small ventricles and narrow sulci, to 1."""
    ventricles_mm: float
    """Largest displacement of the tissue at the ventricles."""
    scale: tuple[float, float, float]
    """Of the template, along each axis."""
    tumour: TumourFacts | None = None


class InsertedFacts(Record):
    """A real brain, with a tumour or as it was."""

    subject: str
    tumour: TumourFacts | None = None


Arguments = PhantomArguments | InsertedArguments
CaseFacts = PhantomFacts | InsertedFacts


class SyntheticCohort(FileRecord):
    """A folder of synthetic cases, brought up to date after each of them."""

    WHAT: ClassVar[str] = "the record of a synthetic cohort"

    schema_version: int = 2
    arguments: Annotated[Arguments, Field(discriminator="source")]
    cases: dict[str, CaseFacts] = Field(default_factory=dict)
    """Those that are written, by name."""
    failed: dict[str, str] = Field(default_factory=dict)
    """Case to reason, of the last call."""

    @classmethod
    def migrate(cls, tree: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 had the same keys and no version."""
        return tree

    @classmethod
    def of(cls, folder: Path) -> SyntheticCohort | None:
        """That of a folder, None where there is none.

        Raises:
            InputError: there is one that cannot be read.
        """
        return cls.read_if_there(folder / COHORT)

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
