"""``datalist.json``: which cases were used for what, as a MONAI datalist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from pipeline.files.names import DATALIST
from pipeline.files.record.base import FileRecord, Record


class ChannelOf(Record):
    """One channel of a 4-D file."""

    path: str
    channel: int


class CaseEntry(Record):
    """A case; paths are relative to the folder of the file, or absolute."""

    name: str
    subject: str = ""
    """What splits are made by."""
    image: dict[str, str | ChannelOf]
    """Modality to file."""
    label: str | ChannelOf | None = None
    brain_mask: str | ChannelOf | None = None
    exclude: str | ChannelOf | None = None
    healthy: bool | None = None
    label_scheme: str = "auto"

    def image_paths(self, folder: Path) -> list[Path]:
        """The image files of a datalist in this folder, resolved."""
        names = (f if isinstance(f, str) else f.path for f in self.image.values())
        return [(folder / name).resolve() for name in names]


class Datalist(FileRecord):
    """Sections (``training``, ``validation``, ``test``, ``extra``) to their cases.

    `pipeline.cases.find` reads any MONAI datalist; this is the kind that is written here.
    """

    WHAT: ClassVar[str] = "a datalist of a run"
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, tuple[CaseEntry, ...]]

    schema_version: int = 2

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

    @classmethod
    def of(cls, folder: Path) -> Datalist | None:
        """That of a run, or beside scores; None where there is none.

        Raises:
            InputError: there is one that cannot be read.
        """
        return cls.read_if_there(folder / DATALIST)

    def to_json(self) -> dict[str, Any]:
        """As `Record.to_json`; what an entry does not have is left out."""
        tree = super().to_json()
        for name in self.sections:
            tree[name] = [_stated(entry) for entry in tree[name]]
        return tree


def _stated(entry: dict[str, Any]) -> dict[str, Any]:
    optional = ("label", "brain_mask", "exclude")
    return {key: value for key, value in entry.items() if value is not None or key not in optional}
