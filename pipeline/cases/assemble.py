"""Parts to cases, under one set of rules for all layouts: duplicates, what is missing, health."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.labels import checked_scheme
from pipeline.cases.layouts.content import LABEL_MAP, looks_like_labels
from pipeline.cases.layouts.names import UNKNOWN_SUFFIX
from pipeline.cases.layouts.part import Found, Part, why_of_another
from pipeline.cases.layouts.search import NO_FILE
from pipeline.errors import InputError, NamelessError
from pipeline.files.case_name import CaseName
from pipeline.files.paths import checked_path, is_file
from pipeline.files.texts import count


@dataclass(frozen=True)
class Request:
    """What a user asks for and says about the cases; see `pipeline.cases.find.find_cases`.

    Attributes:
        modalities: canonical names of what each case must have; none takes all.
        healthy: what the user says of all.
        section: the key of a datalist to read.
        label_scheme: what the label values mean.
        preferred: a file that is meant, before others for the same place.
        overrule: it is of the one modality that is asked for, whatever its name says.
    """

    modalities: tuple[str, ...] = ()
    healthy: bool | None = None
    section: str | None = None
    label_scheme: str | None = None
    preferred: Path | None = None
    overrule: bool = False


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
    if not any(map(_is_unnamed, found.parts)):
        return found
    n_images = sum(part.role == "image" for part in found.parts)
    n_unnamed = sum(map(_is_unnamed, found.parts))
    if n_unnamed < n_images and not found.unnamed_modality:
        return _without_unnamed(found)
    found = _without_label_maps(found)
    unnamed = list(filter(_is_unnamed, found.parts))
    if not unnamed:
        return found
    modality = _only_modality(unnamed, asked or [found.unnamed_modality], root)
    note = f"taken as {modality}: {count(len(unnamed), 'image')} whose name says no modality"
    return replace(
        found,
        parts=tuple(_with_modality(part, modality) for part in found.parts),
        notes=found.notes if modality == found.unnamed_modality else (*found.notes, note),
    )


def overruled(found: Found, request: Request) -> Found:
    """The one file that is meant is of the modality that is asked for, whatever its name says."""
    if not request.overrule or len(request.modalities) != 1:
        return found
    (asked,) = request.modalities
    meant = [part for part in found.parts if _is_the_file(part, request.preferred)]
    others = [part for part in meant if part.modality not in ("", asked)]
    if not others:
        return found
    note = f"{others[0].path.name}: its name says {others[0].modality}; taken as {asked}, as asked"
    parts = (replace(p, modality=asked) if p in others else p for p in found.parts)
    return replace(found, parts=tuple(parts), notes=(*found.notes, note))


def _is_the_file(part: Part, path: Path | None) -> bool:
    return part.path == path and part.role == "image" and part.channel is None


def _only_modality(images: Sequence[Part], possible: Sequence[str], root: Path) -> str:
    if len(possible) > 1 or not possible[0]:
        alone = not possible[0] and all(image.channel is None for image in images)
        raise NamelessError(
            f"{root}: no modality in names like {images[0].path.name}, expected "
            "<case>_<modality>.nii.gz; rename the files, or ask for exactly one modality "
            "(--modality flair) that all of them are",
            [image.path for image in images] if alone else (),
        )
    return possible[0]


def _without_label_maps(found: Found) -> Found:
    """What nothing but its voxels tells from a scan: they are read, of nameless files alone."""
    unnamed = {part.path for part in found.parts if _is_unnamed(part)}
    maps = {path: LABEL_MAP for path in unnamed if looks_like_labels(path)}
    kept = tuple(part for part in found.parts if part.path not in maps)
    return replace(found, parts=kept, left_out={**found.left_out, **maps})


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
        case: None where they make none.
        left_out: file to the reason why the case does not use it.
        why_not: the reason why there is no case though there is an image; "" else.
        doubts: of the files left out, images and masks that might have been meant.
    """

    case: Case | None
    left_out: Mapping[Path, str] = field(default_factory=dict)
    why_not: str = ""
    doubts: tuple[Path, ...] = ()


def assemble(parts: Sequence[Part], name: str, request: Request, root: Path) -> Assembled:
    """The case that parts with one folder and name are.

    Args:
        parts: at least one, in any order.
        name: of the case.
        request: what is asked for and said.
        root: the path searched, for the message.
    """
    chosen = _chosen(parts, request)
    reason = _why_unusable(chosen.images, chosen.masks, request.modalities)
    if not reason:
        try:
            case = _case(parts, chosen, name, request, root)
        except InputError as error:
            reason = str(error)
    if reason:
        return _unusable(parts, {**chosen.left_out, **dict.fromkeys(chosen.paths, reason)})
    other = {
        part.path: f"wrong modality: {modality} is not asked for"
        for modality, part in chosen.images.items()
        if modality not in case.images
    }
    return Assembled(case, {**chosen.left_out, **other}, doubts=chosen.doubts)


def _case(parts: Sequence[Part], chosen: _Chosen, name: str, request: Request, root: Path) -> Case:
    masks = {role: _image_file(part) for role, part in chosen.masks.items()}
    asked = request.modalities or sorted(chosen.images)
    return Case(
        name=CaseName(name),
        subject=_subject(parts),
        images={m: _image_file(chosen.images[m]) for m in asked},
        label=masks.get("label"),
        brain_mask=masks.get("brain_mask"),
        exclude=masks.get("exclude"),
        healthy=_is_healthy(parts, request),
        label_scheme=_label_scheme(parts, request, root),
    )


def _unusable(parts: Sequence[Part], left_out: Mapping[Path, str]) -> Assembled:
    first_image = next((part.path for part in parts if part.role == "image"), None)
    return Assembled(None, left_out, left_out[first_image] if first_image else "")


class _Chosen(NamedTuple):
    """Images by modality and masks by role, one each; file to the reason why it is none."""

    images: Mapping[str, Part]
    masks: Mapping[str, Part]
    left_out: Mapping[Path, str]
    doubts: tuple[Path, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """Of images and masks."""
        return [part.path for part in (*self.images.values(), *self.masks.values())]


def _chosen(parts: Sequence[Part], request: Request) -> _Chosen:
    """One image of each modality, and the masks that belong to those that are asked for."""
    images, dead = _images_there(parts)
    used, doubled = _first_of_each(images, request.preferred)
    asked = [part for m, part in used.items() if m in (request.modalities or used)]
    masks, of_others = _masks_of(parts, asked, images)
    by_role, spare = _first_of_each(masks, request.preferred)
    labels = {part.path for part in masks if part.role == "label"}
    return _Chosen(
        used,
        by_role,
        {**doubled, **dead, **of_others, **spare},
        (*doubled, *of_others, *labels.intersection(spare)),
    )


def _images_there(parts: Sequence[Part]) -> tuple[list[Part], dict[Path, str]]:
    named = [part for part in parts if part.role == "image"]
    dead = {part.path: NO_FILE for part in named if not is_file(part.path)}
    return [part for part in named if part.path not in dead], dead


def _masks_of(
    parts: Sequence[Part], used: Sequence[Part], images: Sequence[Part]
) -> tuple[list[Part], dict[Path, str]]:
    """The masks and labels of the images that are used, and why others are not of them."""
    masks = [part for part in parts if part.role != "image"]
    refused = {part.path: why for part in masks if (why := why_of_another(part, used, images))}
    return [part for part in masks if part.path not in refused], refused


def _first_of_each(
    parts: Sequence[Part], preferred: Path | None
) -> tuple[dict[str, Part], dict[Path, str]]:
    """For each modality, or role of a mask, one file, and the others with the reason.

    It is the preferred one, or that of the lowest rank; of masks one that says more of its image.
    """
    chosen: dict[str, Part] = {}
    duplicates = {}

    def order(part: Part) -> tuple[bool, int, int, Path]:
        n_said = 0 if part.role == "image" else len(part.entities)
        return part.path != preferred, -n_said, part.rank, part.path

    for part in sorted(parts, key=order):
        place = part.modality if part.role == "image" else part.role
        used = chosen.setdefault(place, part)
        if used is not part:
            duplicates[part.path] = f"duplicate {place.replace('_', ' ')}: {used.path.name} is used"
    return chosen, duplicates


def _why_unusable(
    images: Mapping[str, Part], masks: Mapping[str, Part], asked: Sequence[str]
) -> str:
    """The reason why images and masks make no case; "" where they do."""
    if not images:
        return "no image beside this " + (" and ".join(masks).replace("_", " ") or "file")
    if missing := [modality for modality in asked if modality not in images]:
        return f"has {', '.join(sorted(images))}; {', '.join(missing)} is missing"
    if dead := [role for role, part in masks.items() if not is_file(part.path)]:
        return f"{dead[0].replace('_', ' ')} of the case: {NO_FILE}"
    return ""


def _subject(parts: Sequence[Part]) -> str:
    """The first by name, "" where no part says one."""
    return min((part.subject for part in parts if part.subject is not None), default="")


def _image_file(part: Part) -> ImageFile:
    checked_path(Path(os.path.realpath(part.path)))  # as records hold it
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
