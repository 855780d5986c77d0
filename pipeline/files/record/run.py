"""``run.json``: what made a run, and of how many people."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from pipeline.files.names import RUN_RECORD
from pipeline.files.record.base import FileRecord
from pipeline.files.record.result import Software
from pipeline.files.record.stored import StoredFile


class RunRecord(FileRecord):
    """What made a run, and of how many people."""

    FILE: ClassVar[str] = RUN_RECORD
    WHAT: ClassVar[str] = "the record of a run"

    schema_version: int = 4
    """Of the layout of the file; 1 where a file does not say it."""
    software: Software
    """What trained it."""
    command: str | None = None
    """The command that began the training; null in a bundle, since it may name people."""
    people: dict[str, int] = Field(default_factory=dict)
    """Use (``training``, ``validation``, ``test``, ``extra``) to the number of cases."""
    files: dict[str, StoredFile] = Field(default_factory=dict)
    """Name of a file of the finished run (weights, atlases, calibration) to what it was when it was
    finished; none before version 3. A bundle states size and hash alone."""
    images: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Use to the hashes of the images (SHA-256 of a file, sorted), by which a benchmark knows
    people that weights have seen. In a bundle, which has no ``datalist.json``; none before
    version 4."""

    @classmethod
    def migrate(cls, tree: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 held the software alone."""
        if version > 1:
            return tree
        if "anomap" not in tree:
            raise ValueError("anomap: field required")
        return {"software": tree}
