"""A file that a record speaks of: known again by its content, whatever its name and its times."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict

from pipeline.files.identity import CHUNK, FileState, content_hash, file_state
from pipeline.files.record.base import Record


class StoredFile(Record):
    """A file as it was when the record was written.

    Its hash is what it is; size, times and inode only save reading it again while they are as they
    were.
    """

    model_config = ConfigDict(extra="ignore")

    sha256: str | None = None
    """SHA-256 of its content; null where it was not there, or in records before version 3."""
    bytes: int | None = None
    """Its size; null where it was not there."""
    modified_ns: int | None = None
    """When its content was last changed, in nanoseconds since 1970; null where it was not there."""
    changed_ns: int | None = None
    """The same of its entry in the file system, which a program cannot set back."""
    inode: int | None = None
    """Its number in the file system."""

    @classmethod
    def of(cls, path: Path, /, **further: Any) -> Self:
        """A file as it is now.

        Raises:
            OSError: it cannot be read.
        """
        state = file_state(path)
        return cls(sha256=content_hash(path), **state._asdict(), **further)

    def was(self, state: FileState) -> bool:
        """Whether the file system says the same of it as then."""
        return state == (self.bytes, self.modified_ns, self.changed_ns, self.inode)

    def holds(self, path: Path) -> bool:
        """Whether a file is the one that is recorded, by its content."""
        try:
            state = file_state(path)
            if self.sha256 is None:  # of a former version: all that can be asked is to be whole
                return self.bytes in (None, state.bytes) and is_whole(path)
            if self.was(state):
                return True
            return self.bytes in (None, state.bytes) and content_hash(path) == self.sha256
        except OSError:
            return False


def is_whole(path: Path) -> bool:
    """Whether a file can be read to its end, a compressed one with the right check sum."""
    if not path.name.lower().endswith(".gz"):
        return path.is_file()
    try:
        with gzip.open(path, "rb") as file:
            while file.read(CHUNK):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    return True
