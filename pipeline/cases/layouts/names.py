"""What names say: of files (``<case>_<modality>``) and of folders (healthy, tumour)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline.cases.layouts.part import Role
from pipeline.files.nifti import PICTURE_SUFFIXES, VOLUME_SUFFIXES, is_picture

MODALITIES: Mapping[str, tuple[str, ...]] = {
    "flair": ("flair", "t2f", "t2flair", "t2_flair", "t2-flair"),
    "t1ce": ("t1ce", "t1c", "t1gd", "t1wce", "t1post", "t1_ce", "t1_gd", "t1_post", "ce-t1"),
    "t1": ("t1", "t1w", "t1n", "mprage"),
    "t2": ("t2", "t2w"),
    "pd": ("pd", "pdw"),
    "dwi": ("dwi",),
    "adc": ("adc",),
    "swi": ("swi",),
    "t2star": ("t2star", "t2starw"),
    "mra": ("mra",),
}
"""Canonical modality to the names that files use for it, any case."""

ROLE_SUFFIXES: Mapping[Role, tuple[str, ...]] = {
    "label": (
        *("seg", "segm", "segmentation", "label", "labels", "lesion", "lesion_mask"),
        *("label-lesion_mask", "desc-lesion_mask", "tumor_segmentation", "tumour_segmentation"),
    ),
    "exclude": ("desc-wmh_mask", "wmh_mask", "wmh"),
    "brain_mask": ("brain_mask", "desc-brain_mask", "brainmask", "mask", "dseg", "brain"),
}
"""Endings of names that are no image; among several of one role the first listed is used."""

HEALTHY_FOLDERS = (
    *("healthy", "control", "controls", "healthy_control", "healthy_controls", "normal", "normals"),
    *("no_tumour", "no_tumor", "notumour", "notumor"),
)
TUMOUR_FOLDERS = (
    *("tumour", "tumours", "tumor", "tumors", "patient", "patients", "lesion", "lesions"),
    *("glioma", "gliomas", "hgg", "lgg", "meningioma", "pituitary", "abnormal", "unhealthy"),
)
UNKNOWN_SUFFIX = f"unknown suffix: expected {', '.join(MODALITIES)}, or seg, brain_mask"
"""The reason why an image whose name says no modality is left out."""
UNKNOWN_MASK = "a mask of what? name it _desc-brain_mask, _label-lesion_mask or _desc-wmh_mask"
"""The reason why a mask whose name does not say of what it is is left out."""

MODALITY_OF: Mapping[str, str] = {a: name for name, aliases in MODALITIES.items() for a in aliases}
"""Any spelling, lower case, to the canonical modality."""
_ROLE_OF: Mapping[str, Role] = {s: role for role, names in ROLE_SUFFIXES.items() for s in names}
_NAME = re.compile(
    r"(?:(?P<case>.*?)[_-])??(?P<space>[a-z0-9]+space_)?"
    rf"(?P<suffix>{'|'.join(map(re.escape, [*MODALITY_OF, *_ROLE_OF]))})",
    re.IGNORECASE,
)


class FileName(NamedTuple):
    """The parts of ``<case>_<suffix>``, the suffix one that is known.

    Attributes:
        case: "" where the name is a suffix alone.
        suffix: lower case.
        in_other_space: whether the name says the space of another image (``T1space_dseg``).
    """

    case: str
    suffix: str
    in_other_space: bool = False

    @property
    def modality(self) -> str:
        """The canonical modality of an image; "" for a mask or label."""
        return MODALITY_OF.get(self.suffix, "")

    @property
    def role(self) -> Role | None:
        """What the suffix says of a mask or label; None for an image."""
        return _ROLE_OF.get(self.suffix)


def canonical_modality(name: str) -> str:
    """``flair`` for ``T2F``, ``t1`` for ``T1w``; a name nobody knows stays as it is."""
    return MODALITY_OF.get(name.lower(), name)


def stem_of(path: Path) -> str:
    """The name without its image suffix."""
    for suffix in (*sorted(VOLUME_SUFFIXES, key=len, reverse=True), *PICTURE_SUFFIXES):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def parse_name(stem: str) -> FileName | None:
    """What a name without its image suffix says; None where it ends in no known suffix."""
    match = _NAME.fullmatch(stem)
    if match is None:
        return None
    return FileName(match["case"] or "", match["suffix"].lower(), match["space"] is not None)


def healthy_by_folder(root: Path, path: Path) -> bool | None:
    """What the folder names say, the one nearest to the file first; the root's own name counts."""
    inside = path.relative_to(root).parts[:-1] if path != root else ()
    # The picture collections of Kaggle say it so.
    no, yes = ("no", "yes") if is_picture(path) else (None, None)
    for name in map(str.lower, reversed((root.name, *inside))):
        if name in HEALTHY_FOLDERS or name == no:
            return True
        if name in TUMOUR_FOLDERS or name == yes:
            return False
    return None
