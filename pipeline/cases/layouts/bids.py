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
from pipeline.files.nifti import is_volume

_MASK_SUFFIXES = ("mask", "dseg", "roi", "lesion")
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
    if role == "image" and "derivatives" in path.relative_to(root).parts[:-1]:
        return "a processed image under derivatives/; the raw one is used"
    return Part(
        path,
        role,
        folder=_dataset_of(root, path),
        case=_case_name(entities),
        modality=modality,
        subject=f"sub-{entities['sub']}",
        healthy=healthy_by_folder(root, path),
        rank=len(fields) + (100 if suffix == "dseg" else 0),
    )


def _read(root: Path, files: Sequence[Path], section: str | None) -> Found:
    return Found.sorted_out({path: _part_or_reason(root, path) for path in files})


def _is_bids(root: Path, files: Sequence[Path]) -> bool:
    names = [path.name for path in files if is_volume(path)]
    return 2 * sum(bool(re.match(r"sub-[A-Za-z0-9]+_", name)) for name in names) > len(names)


BIDS = Layout("bids", _is_bids, _read)
