"""Parts to cases, under one set of rules for all layouts: duplicates, what is missing, health."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.labels import checked_scheme
from pipeline.cases.layouts.names import UNKNOWN_SUFFIX
from pipeline.cases.layouts.part import Found, Part
from pipeline.errors import InputError

_NO_FILE = "no such file, or a dead link"


@dataclass(frozen=True)
class Request:
    """What a user asks for and says about the cases; see `pipeline.cases.find.find_cases`.

    Attributes:
        modalities: canonical names of what each case must have; none takes all.
        healthy: what the user says of all.
        section: the key of a datalist to read.
        label_scheme: what the label values mean.
    """

    modalities: tuple[str, ...] = ()
    healthy: bool | None = None
    section: str | None = None
    label_scheme: str | None = None


# --- images whose name says no modality ---------------------------------------------------------


def with_modalities(found: Found, asked: Sequence[str], root: Path) -> Found:
    """Images whose name says no modality get the one that is asked for, or are left out.

    Args:
        found: of a layout.
        asked: canonical names of the modalities.
        root: the path searched, for the message.

    Raises:
        InputError: no image's name says one, and not exactly one is asked for.
    """
    unnamed = list(filter(_is_unnamed, found.parts))
    n_images = sum(part.role == "image" for part in found.parts)
    if not unnamed:
        return found
    if len(unnamed) < n_images and not found.unnamed_modality:
        return _without_unnamed(found)
    modality = _only_modality(unnamed[0], asked or [found.unnamed_modality], root)
    note = f"{len(unnamed)} images whose name says no modality are taken as {modality}"
    return replace(
        found,
        parts=tuple(_with_modality(part, modality) for part in found.parts),
        notes=(*found.notes, note) if asked else found.notes,
    )


def _only_modality(image: Part, possible: Sequence[str], root: Path) -> str:
    if len(possible) > 1 or not possible[0]:
        raise InputError(
            f"{root}: no modality in names like {image.path.name}, expected "
            "<case>_<modality>.nii.gz; rename the files, or ask for exactly one modality "
            "(--modality flair) that all of them are"
        )
    return possible[0]


def _without_unnamed(found: Found) -> Found:
    unnamed = {part.path: UNKNOWN_SUFFIX for part in found.parts if _is_unnamed(part)}
    named = tuple(part for part in found.parts if not _is_unnamed(part))
    return replace(found, parts=named, left_out={**found.left_out, **unnamed})


def _is_unnamed(part: Part) -> bool:
    return part.role == "image" and not part.modality


def _with_modality(part: Part, modality: str) -> Part:
    return replace(part, modality=modality) if _is_unnamed(part) else part


# --- a group of parts to a case -----------------------------------------------------------------


@dataclass(frozen=True)
class Assembled:
    """What the parts of one case make.

    Attributes:
        case: without its final name; None where they make none.
        left_out: file to the reason why the case does not use it.
        why_not: the reason why there is no case though there is an image; "" else.
    """

    case: Case | None
    left_out: Mapping[Path, str] = field(default_factory=dict)
    why_not: str = ""


def assemble(parts: Sequence[Part], request: Request, root: Path) -> Assembled:
    """The case that parts with one folder and name are.

    Args:
        parts: at least one, in any order.
        request: what is asked for and said.
        root: the path searched, for the message.

    Raises:
        InputError: a label scheme is unknown.
    """
    chosen = _without_dead_images(_lowest_ranks(parts))
    reason = _why_unusable(chosen.images, chosen.masks, request.modalities)
    if reason:
        return _unusable(parts, {**chosen.left_out, **dict.fromkeys(chosen.paths, reason)})
    asked = request.modalities or sorted(chosen.images)
    other = {
        part.path: f"wrong modality: {modality} is not asked for"
        for modality, part in chosen.images.items()
        if modality not in asked
    }
    masks = {role: _image_file(part) for role, part in chosen.masks.items()}
    case = Case(
        name="",
        subject=_subject(parts),
        images={m: _image_file(chosen.images[m]) for m in asked},
        label=masks.get("label"),
        brain_mask=masks.get("brain_mask"),
        exclude=masks.get("exclude"),
        healthy=_is_healthy(parts, request),
        label_scheme=_label_scheme(parts, request, root),
    )
    return Assembled(case, {**chosen.left_out, **other})


def _unusable(parts: Sequence[Part], left_out: Mapping[Path, str]) -> Assembled:
    first_image = next((part.path for part in parts if part.role == "image"), None)
    return Assembled(None, left_out, left_out[first_image] if first_image else "")


class _Chosen(NamedTuple):
    """Images by modality and masks by role, one each; file to the reason why it is none."""

    images: Mapping[str, Part]
    masks: Mapping[str, Part]
    left_out: Mapping[Path, str]

    @property
    def paths(self) -> list[Path]:
        """Of images and masks."""
        return [part.path for part in (*self.images.values(), *self.masks.values())]


def _lowest_ranks(parts: Sequence[Part]) -> _Chosen:
    """For each role and modality the file of the lowest rank."""
    chosen: dict[tuple[str, str], Part] = {}
    duplicates = {}
    for part in sorted(parts, key=lambda part: (part.rank, part.path)):
        used = chosen.setdefault((part.role, part.modality), part)
        if used is not part:
            what = part.modality or part.role.replace("_", " ")
            duplicates[part.path] = f"duplicate {what}: {used.path.name} is used"
    images = {modality: p for (role, modality), p in chosen.items() if role == "image"}
    masks = {role: p for (role, _), p in chosen.items() if role != "image"}
    return _Chosen(images, masks, duplicates)


def _without_dead_images(chosen: _Chosen) -> _Chosen:
    dead = {m: part for m, part in chosen.images.items() if not part.path.is_file()}
    return chosen._replace(
        images={m: part for m, part in chosen.images.items() if m not in dead},
        left_out={**chosen.left_out, **{part.path: _NO_FILE for part in dead.values()}},
    )


def _why_unusable(
    images: Mapping[str, Part], masks: Mapping[str, Part], asked: Sequence[str]
) -> str:
    """The reason why images and masks make no case; "" where they do."""
    if not images:
        return "no image beside this " + (" and ".join(masks).replace("_", " ") or "file")
    if missing := [modality for modality in asked if modality not in images]:
        return f"has {', '.join(sorted(images))}; {', '.join(missing)} is missing"
    if dead := [role for role, part in masks.items() if not part.path.is_file()]:
        return f"{dead[0].replace('_', ' ')} of the case: {_NO_FILE}"
    return ""


def _subject(parts: Sequence[Part]) -> str:
    """The first by name, "" where no part says one."""
    return min((part.subject for part in parts if part.subject is not None), default="")


def _image_file(part: Part) -> ImageFile:
    return ImageFile(part.path, part.channel)


def _is_healthy(parts: Sequence[Part], request: Request) -> bool | None:
    """What is said: a False wins, a True overrules what a label implies; None for nothing."""
    said = {part.healthy for part in parts} | {request.healthy}
    if False in said:
        return False
    if True in said:
        return True
    is_labelled = any(part.role == "label" for part in parts)
    return False if is_labelled and all(part.infer_healthy for part in parts) else None


def _label_scheme(parts: Sequence[Part], request: Request, root: Path) -> str:
    """The meaning of the label values that the user gives, or names and datalist."""
    schemes = sorted({part.label_scheme for part in parts} - {"auto"})
    scheme = request.label_scheme or (schemes[0] if schemes else "auto")
    if scheme != "auto":
        checked_scheme(scheme, root)
    return scheme
