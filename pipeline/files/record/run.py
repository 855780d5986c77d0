"""``run.json``: what made a run, and of how many people."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from pipeline.files.names import RUN_RECORD
from pipeline.files.record.base import FileRecord
from pipeline.files.record.result import Software


class RunRecord(FileRecord):
    """What made a run, and of how many people."""

    FILE: ClassVar[str] = RUN_RECORD
    WHAT: ClassVar[str] = "the record of a run"

    schema_version: int = 2
    """Of the layout of the file; 1 where a file does not say it."""
    software: Software
    """What trained it."""
    command: str | None = None
    """The command that began the training; null in a bundle, since it may name people."""
    people: dict[str, int] = Field(default_factory=dict)
    """Use (``training``, ``validation``, ``test``, ``extra``) to the number of cases."""

    @classmethod
    def migrate(cls, tree: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 held the software alone."""
        if version > 1:
            return tree
        if "anomap" not in tree:
            raise ValueError("anomap: field required")
        return {"software": tree}
