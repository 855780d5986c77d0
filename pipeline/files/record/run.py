"""``run.json``: what made a run, and of how many people."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from pipeline.files.record.base import FileRecord
from pipeline.files.record.result import Software


class RunRecord(FileRecord):
    """What made a run; it goes into a bundle, so it names nobody."""

    WHAT: ClassVar[str] = "the record of a run"

    schema_version: int = 2
    software: Software
    command: str | None = None
    """That began the training."""
    people: dict[str, int] = Field(default_factory=dict)
    """Use (``training``, ``validation``, ``test``, ``extra``) to the number of cases."""

    @classmethod
    def migrate(cls, tree: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 held the software alone."""
        return {"software": tree} if version == 1 else tree
