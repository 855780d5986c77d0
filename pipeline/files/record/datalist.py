"""``datalist.json``: which cases were used for what, as a MONAI datalist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, Field

from pipeline.files.names import DATALIST
from pipeline.files.record.base import FileRecord, Record


class ChannelOf(Record):
    """One channel of a 4-D file."""

    path: str
    """Relative to the folder of the datalist, or absolute."""
    channel: int
    """Index into the fourth axis, from 0."""


class CaseEntry(Record):
    """A case; paths are relative to the folder of the file, or absolute."""

    name: str
    """Of the case; no other one has it."""
    subject: str = ""
    """The person: all cases of one stay on one side of a split; "" where nobody said."""
    image: dict[str, str | ChannelOf]
    """Modality to file."""
    label: str | ChannelOf | None = None
    """Whole numbers, 0 is no lesion; left out where there is none."""
    brain_mask: str | ChannelOf | None = None
    """Above 0 in the brain; left out where there is none."""
    exclude: str | ChannelOf | None = None
    """Above 0 where voxels do not count as healthy; left out where there is none."""
    healthy: bool | None = None
    """Whether the person has no lesion; null where nobody said."""
    label_scheme: str = "auto"
    """What label values mean: ``brats2018``, ``brats2023``, ``msd``, ``binary``, or ``auto`` by
    names and values."""
    sha256: dict[str, str] = Field(default_factory=dict)
    """Modality, ``label``, ``brain_mask`` or ``exclude`` to the SHA-256 that the file had; left out
    where it was not recorded, as in a list of cases that no run has used."""

    def image_paths(self, folder: Path) -> list[Path]:
        """The image files of a datalist in this folder, resolved."""
        names = (f if isinstance(f, str) else f.path for f in self.image.values())
        return [(folder / name).resolve() for name in names]


class Datalist(FileRecord):
    """Which cases were used for what.

    Every further key is a section (``training``, ``validation``, ``test``, ``extra``) with its
    cases. As data, anomap takes any MONAI datalist; this is the kind that it writes.
    """

    FILE: ClassVar[str] = DATALIST
    WHAT: ClassVar[str] = "a datalist of a run"
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, tuple[CaseEntry, ...]]

    schema_version: int = 3
    """Of the layout of the file; 1 where a file does not say it."""

    @classmethod
    def migrate(cls, tree: dict[str, Any], version: int) -> dict[str, Any]:
        """Sections alone: a MONAI datalist may hold a description and more beside them."""
        sections = {key: value for key, value in tree.items() if isinstance(value, list)}
        if not sections:
            raise ValueError("expected lists of cases under keys such as training")
        return sections

    @property
    def sections(self) -> dict[str, tuple[CaseEntry, ...]]:
        """By name, in the order of the file."""
        return dict(self.__pydantic_extra__)

    def __getitem__(self, section: str) -> tuple[CaseEntry, ...]:
        """The cases of a section, none where it is missing."""
        return self.__pydantic_extra__.get(section, ())

    def entries(self, *sections: str) -> Iterator[CaseEntry]:
        """The cases of several sections."""
        for section in sections:
            yield from self[section]

    def to_json(self) -> dict[str, Any]:
        """As `Record.to_json`; what an entry does not have is left out."""
        tree = super().to_json()
        for name in self.sections:
            tree[name] = [_stated(entry) for entry in tree[name]]
        return tree


def _stated(entry: dict[str, Any]) -> dict[str, Any]:
    optional = ("label", "brain_mask", "exclude", "sha256")
    nothing: tuple[object, ...] = (None, {})
    return {k: value for k, value in entry.items() if value not in nothing or k not in optional}
