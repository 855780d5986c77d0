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
        entities: what else the name says (``run``, ``acq`` ...): masks go with the image that says
            the same.
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
    entities: Mapping[str, str] = field(default_factory=dict)


def why_of_another(mask: Part, used: Sequence[Part], images: Sequence[Part]) -> str:
    """Why a mask is not of the images that a case uses; "" where it is.

    Each entity that its name says must be theirs. One that it does not say may be any, where there
    is only one.

    Args:
        mask: of the case.
        used: its images, one of each modality.
        images: all there are.
    """
    open_keys = sorted({key for image in used for key in image.entities} - mask.entities.keys())
    reasons = [
        *(_why_other(key, value, used) for key, value in mask.entities.items()),
        *(_why_unclear(key, used, images) for key in open_keys),
    ]
    return next(filter(None, reasons), "")


def _why_other(key: str, value: str, used: Sequence[Part]) -> str:
    """Why what a mask says is not said of the images; "" where it is."""
    differing = [image for image in used if image.entities.get(key) != value]
    # An image that does not say it may stand beside one that says the same as the mask.
    is_theirs = len(differing) < len(used) and all(key not in one.entities for one in differing)
    if not differing or is_theirs:
        return ""
    return f"of another image than {differing[0].path.name}: its {key} is {value}"


def _why_unclear(key: str, used: Sequence[Part], images: Sequence[Part]) -> str:
    """Why an entity must be said: of one modality there are several images; "" where not."""
    modalities = {image.modality for image in used if key in image.entities}
    there = {(image.modality, image.entities.get(key)) for image in images}
    n_there = sum(modality in modalities for modality, _ in there)
    is_open = n_there > len(modalities)
    return f"does not say of which {key} it is, and there are several" if is_open else ""


@dataclass(frozen=True)
class Found:
    """What a layout makes of the files under a path.

    Attributes:
        parts: of any number of cases, in any order.
        left_out: file to the reason why it is no part of any.
        notes: what was assumed, one sentence each.
        incomplete: what would be a case but cannot be read as one, to the reason.
        unnamed_modality: of images whose name says none, where none is asked for; "" refuses them.
    """

    parts: tuple[Part, ...] = ()
    left_out: Mapping[Path, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    incomplete: Mapping[str, str] = field(default_factory=dict)
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
