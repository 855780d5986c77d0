"""Folders of ``<case>_<modality>``: those of the BraTS challenges, and any other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pipeline.cases.layouts.names import (
    MODALITY_OF,
    ROLE_SUFFIXES,
    UNKNOWN_MASK,
    FileName,
    healthy_by_folder,
    parse_name,
    stem_of,
)
from pipeline.cases.layouts.part import Found, Layout, Part, Role
from pipeline.files.images.formats import is_picture, is_volume

_FOLDER_ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("images", "image", "imgs"), "image"),
    **dict.fromkeys(("imagestr", "imagests"), "image"),
    **dict.fromkeys(("labels", "label", "segmentations", "segmentation"), "label"),
    **dict.fromkeys(("labelstr", "labelsts"), "label"),
    **dict.fromkeys(("masks", "mask"), "label"),
    **dict.fromkeys(("brain_masks", "brain_mask", "brainmasks"), "brain_mask"),
}
_BRATS_UNTIL_2022 = re.compile(r"brats(?:20)?(?:1[2-9]|2[0-2])_.+", re.IGNORECASE)
_BRATS_SINCE_2023 = re.compile(r"(BraTS-([A-Z]+)-.+)-\d{3}", re.IGNORECASE)


# --- one file -----------------------------------------------------------------------------------


class _ByFolder(NamedTuple):
    """What the folder of a file says of it: the case's folder, a role, a modality or ""."""

    folder: Path
    role: Role
    modality: str


def named_part(root: Path, path: Path) -> Part:
    """What a file's own name says, and where it says nothing, its folder's."""
    place = _by_folder(root, path)
    name = parse_name(stem_of(path))
    if name is None:
        rank = 0 if place.role == "image" else len(ROLE_SUFFIXES[place.role])
        part = Part(path, place.role, place.folder, stem_of(path), place.modality, rank=rank)
    else:
        part = _by_suffix(path, name, place)
    return replace(
        part,
        healthy=healthy_by_folder(root, path),
        label_scheme="binary" if is_picture(path) else "auto",
    )


def _by_folder(root: Path, path: Path) -> _ByFolder:
    name = path.parent.name.lower().removeprefix("ixi-")
    is_known = name in _FOLDER_ROLES or name in MODALITY_OF
    if path.parent in (root, root.parent) or not is_known:
        return _ByFolder(path.parent, "image", "")
    role = _FOLDER_ROLES.get(name, "image")
    return _ByFolder(path.parent.parent, role, MODALITY_OF.get(name, ""))


def _by_suffix(path: Path, name: FileName, place: _ByFolder) -> Part:
    if is_picture(path) and name.suffix == "mask":
        return Part(path, "label", place.folder, name.case, rank=len(ROLE_SUFFIXES["label"]))
    if is_picture(path) and name.suffix == "brain":  # a caption, not a mask
        return Part(path, place.role, place.folder, stem_of(path), place.modality)
    if name.role is not None:
        rank = ROLE_SUFFIXES[name.role].index(name.suffix) + 100 * name.in_other_space
        return Part(path, name.role, place.folder, name.case, rank=rank)
    if place.role != "image":  # masks/x_flair.png
        return Part(path, place.role, place.folder, name.case)
    return Part(path, "image", place.folder, name.case, name.modality)


# --- masks named after one modality -------------------------------------------------------------


def with_masks_joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Find the image of masks that are named after one modality (``x_T1w_brain_mask``).

    ``x_T1w_brain`` without an ``x_T1w`` is not a mask but the skull-stripped image itself.
    """
    images = _image_places(parts)
    parts = [_as_skull_stripped_image(part, images) for part in parts]
    images = _image_places(parts)
    return tuple(_joined_to_image(part, images) for part in parts)


def _image_places(parts: Sequence[Part]) -> set[tuple[Path, str]]:
    return {(part.folder, part.case) for part in parts if part.role == "image"}


def _without_modality(part: Part) -> Part | None:
    """A mask with the modality taken from the name of its case; None where that has none."""
    name = parse_name(part.case)
    if part.role == "image" or name is None or not name.modality:
        return None
    return replace(part, case=name.case, modality=name.modality)


def _as_skull_stripped_image(part: Part, images: set[tuple[Path, str]]) -> Part:
    image = _without_modality(part)
    is_brain = stem_of(part.path).lower().endswith(("_brain", "-brain"))
    if image is None or not is_brain or (image.folder, image.case) in images:
        return part
    return replace(image, role="image", rank=1)


def _joined_to_image(part: Part, images: set[tuple[Path, str]]) -> Part:
    joined = _without_modality(part)
    if joined is None or (part.folder, part.case) in images:
        return part
    return replace(joined, modality="") if (joined.folder, joined.case) in images else part


# --- the folder ---------------------------------------------------------------------------------


def _with_brats_year(part: Part) -> Part:
    """Subject and label code, where the case's name is one of the BraTS challenges'."""
    since_2023 = _BRATS_SINCE_2023.fullmatch(part.case)
    if since_2023:
        # The paediatric challenge changed its code between years: its values decide.
        scheme = "auto" if since_2023[2].upper() == "PED" else "brats2023"
        return replace(part, subject=since_2023[1], label_scheme=scheme)
    if _BRATS_UNTIL_2022.fullmatch(part.case):
        return replace(part, subject=part.case, label_scheme="brats2018")
    return part


def _part_or_reason(root: Path, path: Path) -> Part | str:
    if is_picture(path):
        return "a picture in a folder of NIfTI volumes"
    name = parse_name(stem_of(path))
    is_in_masks = path.parent.name.lower() in ("mask", "masks") and path.parent != root
    if is_in_masks and (name is None or name.role is None):
        return UNKNOWN_MASK
    return named_part(root, path)


def _read(root: Path, files: Sequence[Path], section: str | None) -> Found:
    pictures_first = sorted(files, key=is_volume)
    found = Found.sorted_out({path: _part_or_reason(root, path) for path in pictures_first})
    parts = with_masks_joined(found.parts)
    return replace(found, parts=tuple(map(_with_brats_year, parts)))


def _is_brats(root: Path, files: Sequence[Path]) -> bool:
    names = (parse_name(stem_of(path)) for path in files)
    cases = (name.case for name in names if name is not None)
    return any(_BRATS_SINCE_2023.fullmatch(c) or _BRATS_UNTIL_2022.fullmatch(c) for c in cases)


def _is_flat(root: Path, files: Sequence[Path]) -> bool:
    return root.is_dir() or bool(files)


BRATS = Layout("brats", _is_brats, _read)
FLAT = Layout("flat", _is_flat, _read)
