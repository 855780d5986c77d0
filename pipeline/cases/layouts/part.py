"""What a layout says of a file: the part of a case that it is, or why it is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

Role = Literal["image", "label", "brain_mask", "exclude"]


@dataclass(frozen=True)
class Part:
    """One file (or one channel of it) and its place in a case.

    Attributes:
        path: the file.
        role: what it is to its case.
        folder: with ``case``, what parts are grouped by.
        case: the case's own name, "" where only the folder names it.
        modality: of an image, "" where the name does not say.
        channel: index into the fourth axis of a 4-D file.
        subject: where the layout knows it; None makes every case its own subject.
        healthy: what folder or datalist say, None where they say nothing.
        infer_healthy: whether a label alone may make the case not healthy.
        label_scheme: see `pipeline.cases.labels.LABEL_SCHEMES`.
        rank: among several files for one place the lowest is used.
    """

    path: Path
    role: Role
    folder: Path
    case: str
    modality: str = ""
    channel: int | None = None
    subject: str | None = None
    healthy: bool | None = None
    infer_healthy: bool = True
    label_scheme: str = "auto"
    rank: int = 0


@dataclass(frozen=True)
class Found:
    """What a layout makes of the files under a path.

    Attributes:
        parts: of any number of cases, in any order.
        left_out: file to the reason why it is no part of any.
        notes: what was assumed, one sentence each.
        unnamed_modality: of images whose name says none, where none is asked for; "" refuses them.
    """

    parts: tuple[Part, ...] = ()
    left_out: Mapping[Path, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unnamed_modality: str = ""

    @classmethod
    def sorted_out(cls, files: Mapping[Path, Part | str]) -> Found:
        """Files of which each is a part, or left out for the reason given."""
        return cls(
            parts=tuple(part for part in files.values() if isinstance(part, Part)),
            left_out={path: why for path, why in files.items() if isinstance(why, str)},
        )


class Layout(NamedTuple):
    """A way to arrange files.

    Attributes:
        name: as people read it.
        recognise: says from the root and its image files whether this is it.
        read: gets the root, its image files and the section of a datalist that is asked for.
    """

    name: str
    recognise: Callable[[Path, Sequence[Path]], bool]
    read: Callable[[Path, Sequence[Path], str | None], Found]
