"""What names say: of files (``<case>_<modality>``) and of folders (healthy, tumour)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pipeline.cases.layouts.part import Role
from pipeline.files.images.formats import is_picture, without_suffix

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
PICTURE = "image"
"""Modality of pictures whose names say none; no name says this one."""

ROLE_SUFFIXES: Mapping[Role, tuple[str, ...]] = {
    "label": (
        *("seg", "segm", "segmentation", "label", "labels", "lesion", "lesion_mask"),
        *("label-lesion_mask", "desc-lesion_mask", "tumor_segmentation", "tumour_segmentation"),
    ),
    "exclude": ("desc-wmh_mask", "wmh_mask", "wmh"),
    "brain_mask": ("brain_mask", "desc-brain_mask", "brainmask", "mask", "dseg", "brain"),
}
"""Endings of names that are no image; among several of one role the first listed is used."""

_HEALTHY_WORDS = frozenset(("healthy", "control", "controls", "normal", "normals"))
_ILL_WORDS = frozenset(
    (
        *("tumour", "tumours", "tumor", "tumors", "lesion", "lesions", "patient", "patients"),
        *("glioma", "gliomas", "hgg", "lgg", "glioblastoma", "gbm", "meningioma", "meningiomas"),
        *("pituitary", "metastasis", "metastases", "cancer", "abnormal", "unhealthy"),
    )
)
_NO = frozenset(("no", "non", "not", "without"))
_NEUTRAL = frozenset(
    (
        *("brain", "brains", "mri", "mr", "scan", "scans", "image", "images", "slice", "slices"),
        *("case", "cases", "subject", "subjects", "people", "volunteer", "volunteers", "group"),
        *("data", "dataset", "set", "cohort", "train", "training", "test", "testing", "val"),
        *("validation", "ixi", "adult", "adults", "young", "old", "all", "only", "the", "of"),
        *("flair", "t", "w", "ce"),
    )
)
"""Words beside ``healthy`` that leave its meaning."""
_OF_MASKS = frozenset(
    ("mask", "masks", "label", "labels", "seg", "segs", "segmentation", "segmentations")
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_FREE_OF = re.compile(r"(tumou?rs?|lesions?|gliomas?|cancer)[ _-]*free", re.IGNORECASE)
_NEGATED = re.compile(r"(no|non|un|without)(tumou?rs?|lesions?|gliomas?|cancer)")

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
    re.IGNORECASE | re.DOTALL,
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
    return PICTURE if name.lower() == PICTURE else MODALITY_OF.get(name.lower(), name)


def stem_of(path: Path) -> str:
    """The name without its image suffix."""
    return without_suffix(path.name)


def parse_name(stem: str) -> FileName | None:
    """What a name without its image suffix says; None where it ends in no known suffix."""
    match = _NAME.fullmatch(stem)
    if match is None:
        return None
    return FileName(match["case"] or "", match["suffix"].lower(), match["space"] is not None)


_Said = Literal["healthy", "ill", "unclear"]
_OF_KAGGLE: Mapping[str, _Said] = {"yes": "ill", "no": "healthy"}
_OPPOSITE: Mapping[_Said, _Said] = {"healthy": "ill", "ill": "healthy"}


def healthy_by_folder(root: Path, path: Path) -> bool | None:
    """What the folder names say, the one nearest to the file first; the root's own name counts.

    None where they say nothing, or not clearly.
    """
    _, said = _nearest(root, path)
    return None if said in (None, "unclear") else said == "healthy"


def unclear_folder(root: Path, path: Path) -> str | None:
    """The folder that says something of health, but not clearly; None where there is none."""
    name, said = _nearest(root, path)
    return name if said == "unclear" else None


def _nearest(root: Path, path: Path) -> tuple[str, _Said | None]:
    """The folder nearest to a file whose name says something, and what."""
    is_inside = path != root and path.is_relative_to(root)
    inside = path.relative_to(root).parts[:-1] if is_inside else ()
    for name in reversed(inside):
        if (said := _health_in(name, of_pictures=is_picture(path))) is not None:
            return name, said
    return root.name, _health_in(root.name, of_pictures=is_picture(path), is_root=True)


def _health_in(name: str, *, of_pictures: bool, is_root: bool = False) -> _Said | None:
    """What the words of a folder's name say of those in it; None where they say nothing.

    The name of the root may be that of a project: with any further word it says nothing.
    """
    if of_pictures and name.lower() in _OF_KAGGLE:
        return _OF_KAGGLE[name.lower()]
    words = [word.lower() for word in _WORD.findall(_FREE_OF.sub("healthy", name))]
    if _OF_MASKS.intersection(words):
        return None
    says = _said_by_words(words)
    if len(says) > 1:
        return "unclear"
    is_clear = all(map(_is_known, words))
    if is_root and not is_clear:
        return None
    return "unclear" if says == {"healthy"} and not is_clear else next(iter(says), None)


def _said_by_words(words: Sequence[str]) -> set[_Said]:
    """What each word says, or its opposite where a no stands before it."""
    says: set[_Said] = set()
    is_negated = False
    for word in words:
        said = _said_by(word)
        if said is not None:
            says.add(_OPPOSITE[said] if is_negated else said)
        is_negated = word in _NO or (is_negated and said is None)
    return says


def _is_known(word: str) -> bool:
    return word in _NO or word in _NEUTRAL or word.isdigit() or _said_by(word) is not None


def _said_by(word: str) -> _Said | None:
    if word in _HEALTHY_WORDS or _NEGATED.fullmatch(word):
        return "healthy"
    return "ill" if word in _ILL_WORDS else None
