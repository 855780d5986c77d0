"""BIDS data sets, with masks and labels under ``derivatives/``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.cases.layouts.names import (
    MODALITY_OF,
    UNKNOWN_MASK,
    UNKNOWN_SUFFIX,
    healthy_by_folder,
    stem_of,
)
from pipeline.cases.layouts.part import Found, Layout, Part, Role
from pipeline.files.images.formats import is_volume
from pipeline.files.limits import MAX_CONFIG_BYTES
from pipeline.files.names import BIDS_DESCRIPTION
from pipeline.files.strict_json import parse_json, read_text

_MASK_SUFFIXES = ("mask", "dseg", "roi", "lesion")
_NOT_OF_IMAGE = frozenset(
    ("sub", "ses", "space", "desc", "label", "res", "den", "hemi", "seg", "atlas")
)
"""Entities that the name of the case holds, or that say how a mask was made: all others say of
which image it is."""
OWN_DERIVATIVE = "made by anomap bids"
_NO_MAGNITUDE = ("phase", "real", "imag")
_NATIVE_SPACES = (*MODALITY_OF, "orig", "native", "scanner")


def _dataset_of(root: Path, path: Path) -> Path:
    """The data set that a file belongs to: what lies above ``sub-*`` or ``derivatives``."""
    folders = path.relative_to(root).parts[:-1]
    for i, name in enumerate(folders):
        if name.startswith("sub-") or name == "derivatives":
            return root.joinpath(*folders[:i])
    return root


def _mask_role(suffix: str, rest: str) -> Role | None:
    """What a mask is of, from its suffix and the rest of its name; None where nobody can know."""
    if "wmh" in rest:
        return "exclude"
    if suffix in ("roi", "lesion") or any(word in rest for word in ("lesion", "tumor", "tumour")):
        return "label"
    return "brain_mask" if suffix == "dseg" or "brain" in rest else None


def _role_and_modality(
    suffix: str, entities: Mapping[str, str], rest: str
) -> tuple[Role, str] | None:
    """Role, and the modality of an image, of a BIDS name; None where nobody can know."""
    if suffix in _MASK_SUFFIXES:
        role = _mask_role(suffix, rest)
        return None if role is None else (role, "")
    modality = MODALITY_OF.get(suffix)
    if modality == "t1" and "ce" in entities:
        modality = "t1ce"
    return ("image", modality) if modality else None


def _case_name(entities: Mapping[str, str]) -> str:
    """Subject, session, and a template's space, which is never mixed with native files."""
    session = f"_ses-{entities['ses']}" if "ses" in entities else ""
    space = entities.get("space", "")
    is_template = space and space.lower() not in _NATIVE_SPACES
    return f"sub-{entities['sub']}{session}" + (f"_space-{space}" if is_template else "")


def _why_no_scan(root: Path, path: Path, entities: Mapping[str, str]) -> str:
    """The reason why an image is left out; "" for a raw one of magnitudes."""
    if entities.get("part", "").lower() in _NO_MAGNITUDE:
        return "no image of magnitudes, by its part"
    if "derivatives" in path.relative_to(root).parts[:-1]:
        return "a processed image under derivatives/; the raw one is used"
    return ""


def _without(entities: Mapping[str, str], keys: frozenset[str]) -> dict[str, str]:
    return {key: value for key, value in entities.items() if key not in keys}


def _part_or_reason(root: Path, path: Path) -> Part | str:
    """The part a BIDS name stands for, or the reason why it stands for none."""
    if not is_volume(path):
        return "a picture in a BIDS data set"
    *fields, suffix = stem_of(path).split("_")
    entities = dict(f.split("-", 1) for f in fields if "-" in f)
    if "sub" not in entities:
        return "not a BIDS name (sub-<label>_..._<suffix>)"
    rest = "_".join(fields).lower().replace(f"sub-{entities['sub']}".lower(), "")
    known = _role_and_modality(suffix.lower(), entities, rest)
    if known is None:
        return UNKNOWN_MASK if suffix == "mask" else UNKNOWN_SUFFIX
    role, modality = known
    if role == "image" and (reason := _why_no_scan(root, path, entities)):
        return reason
    return Part(
        path,
        role,
        folder=_dataset_of(root, path),
        case=_case_name(entities),
        modality=modality,
        subject=f"sub-{entities['sub']}",
        healthy=healthy_by_folder(root, path),
        rank=len(fields) + (100 if suffix == "dseg" else 0),
        entities=_without(entities, _NOT_OF_IMAGE),
    )


def _read(root: Path, files: Sequence[Path], section: str | None) -> Found:
    trees = {path: _above_subjects(root, path) for path in files}
    ours = {tree for tree in set(trees.values()) if _is_made_by_us(root, tree)}
    return Found.sorted_out(
        {
            path: OWN_DERIVATIVE if tree in ours else _part_or_reason(root, path)
            for path, tree in trees.items()
        }
    )


def _above_subjects(root: Path, path: Path) -> Path:
    """The folder that holds the ``sub-*`` folder of a file, or the file itself."""
    folders = path.relative_to(root).parts[:-1]
    first = next((i for i, name in enumerate(folders) if name.startswith("sub-")), len(folders))
    return root.joinpath(*folders[:first])


def _is_made_by_us(root: Path, folder: Path) -> bool:
    """Whether a folder is, or lies in, a derivative that `anomap bids` left."""
    within = [folder, *folder.parents]
    return any(_generated_by_us(one) for one in within[: within.index(root) + 1])


def _generated_by_us(folder: Path) -> bool:
    try:
        tree = parse_json(read_text(folder / BIDS_DESCRIPTION, MAX_CONFIG_BYTES))
        return any(one["Name"] == "anomap" for one in tree["GeneratedBy"])
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _is_bids(root: Path, files: Sequence[Path]) -> bool:
    names = [path.name for path in files if is_volume(path)]
    return 2 * sum(bool(re.match(r"sub-[A-Za-z0-9]+_", name)) for name in names) > len(names)


BIDS = Layout("bids", _is_bids, _read)
