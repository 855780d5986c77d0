"""What each file under a path is: one reader a layout, one entry of `LAYOUTS` each.

A reader says what every file is (a `Part`); what follows from that (duplicates, missing
modalities, names, what is healthy) is decided once, for all layouts, in `pipeline.cases.cohort`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pipeline.errors import InputError
from pipeline.files.nifti import PICTURE_SUFFIXES, VOLUME_SUFFIXES, is_picture, is_volume

Role = Literal["image", "label", "brain_mask", "exclude"]

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
UNREADABLE: Mapping[str, str] = {
    ".dcm": "DICOM: convert the series with dcm2niix",
    ".ima": "DICOM: convert the series with dcm2niix",
    ".img": "image and header in two files: save it as .nii.gz (nibabel.load, nibabel.save)",
    ".hdr": "image and header in two files: save it as .nii.gz (nibabel.load, nibabel.save)",
    ".mgz": "FreeSurfer format: convert with mri_convert x.mgz x.nii.gz",
    ".mgh": "FreeSurfer format: convert with mri_convert x.mgh x.nii.gz",
    ".nrrd": "NRRD: save it as .nii.gz (SimpleITK, 3D Slicer)",
    ".mha": "MetaImage: save it as .nii.gz (SimpleITK, 3D Slicer)",
    ".mhd": "MetaImage: save it as .nii.gz (SimpleITK, 3D Slicer)",
    ".tif": "TIFF: save it as PNG",
    ".tiff": "TIFF: save it as PNG",
    ".bmp": "BMP: save it as PNG",
}
"""Image formats that are reported rather than read, with the remedy."""

UNKNOWN_SUFFIX = f"unknown suffix: expected {', '.join(MODALITIES)}, or seg, brain_mask"
_WHICH_MASK = "a mask of what? name it _desc-brain_mask, _label-lesion_mask or _desc-wmh_mask"
_ALIASES = {alias: name for name, aliases in MODALITIES.items() for alias in aliases}
_SUFFIX_ROLES: dict[str, Role] = {s: role for role, names in ROLE_SUFFIXES.items() for s in names}
_NAME = re.compile(
    r"(?:(?P<case>.*?)[_-])??(?P<space>[a-z0-9]+space_)?"
    rf"(?P<suffix>{'|'.join(map(re.escape, [*_ALIASES, *_SUFFIX_ROLES]))})",
    re.IGNORECASE,
)
_FOLDER_ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("images", "image", "imgs"), "image"),
    **dict.fromkeys(("labels", "label", "segmentations", "segmentation"), "label"),
    **dict.fromkeys(("masks", "mask"), "label"),
    **dict.fromkeys(("brain_masks", "brain_mask", "brainmasks"), "brain_mask"),
}
_BRATS_UNTIL_2022 = re.compile(r"brats(?:20)?(?:1[2-9]|2[0-2])_.+", re.IGNORECASE)
_BRATS_SINCE_2023 = re.compile(r"(BraTS-([A-Z]+)-.+)-\d{3}", re.IGNORECASE)
_SLICE = re.compile(r"(.+?)[ _-](?:slice|sl|z)[ _-]?\d+", re.IGNORECASE)


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
        label_scheme: see `pipeline.cases.cohort.LABEL_SCHEMES`.
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


@dataclass
class Found:
    """What a reader makes of a path."""

    parts: list[Part] = field(default_factory=list)
    left_out: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unnamed_modality: str = ""
    """Modality of images whose name says none, where none is asked for; "" refuses them."""


class Layout(NamedTuple):
    """A way to arrange files: ``read`` gets the root, its image files and the section asked for."""

    name: str
    recognise: Callable[[Path, Sequence[Path]], bool]
    read: Callable[[Path, Sequence[Path], str | None], Found]


def canonical_modality(name: str) -> str:
    """``flair`` for ``T2F``, ``t1`` for ``T1w``; a name nobody knows stays as it is."""
    return _ALIASES.get(name.lower(), name)


def read_layout(
    root: Path, section: str | None = None, *, recursive: bool = True
) -> tuple[str, Found]:
    """Recognise the layout of a folder or file, and read it; no voxel is read.

    Args:
        root: absolute path of a folder, an image, or a ``.json`` datalist.
        section: the key of a datalist (or ``dataset.json``) to read; None reads all.
        recursive: whether subfolders are read.

    Returns:
        The layout's name, and every image file either as a part or left out with a reason.

    Raises:
        InputError: the path does not exist, nothing recognises it, its JSON is not what it should
            be, or a section is asked for that is not there.
    """
    if not root.exists():
        raise InputError(f"{root}: no such file or folder")
    files, left_out = _image_files(root, recursive=recursive)
    for layout in LAYOUTS:
        if layout.recognise(root, files):
            if section is not None and layout.name not in ("datalist", "msd"):
                raise InputError(
                    f"{root}: section {section!r} is asked for, but only a datalist has sections "
                    f"and this is the layout {layout.name}; leave the section out"
                )
            found = layout.read(root, files, section)
            found.left_out = {**left_out, **found.left_out}
            return layout.name, found
    raise InputError(
        f"{root}: expected a folder, a NIfTI file, a PNG / JPEG picture or a .json datalist; "
        f"{UNREADABLE.get(root.suffix.lower(), 'give one of these')}"
    )


def enclosing_dataset(path: Path) -> Path | None:
    """The BIDS or MSD data set that a path is or lies in, at most five levels up, or None."""
    if path.suffix.lower() == ".json":
        return None
    for folder in (path, *path.parents)[:6]:
        if (folder / "dataset_description.json").is_file() or (folder / "dataset.json").is_file():
            return folder
        if folder.name.startswith("sub-") and (folder.parent / "derivatives").is_dir():
            return folder.parent
    return None


def _image_files(root: Path, *, recursive: bool) -> tuple[list[Path], dict[Path, str]]:
    """All NIfTI files and pictures of a folder in sorted order, and what cannot be read."""
    if root.is_file():
        return [root] if is_volume(root) or is_picture(root) else [], {}
    files: list[Path] = []
    left_out: dict[Path, str] = {}
    seen: set[Path] = set()

    def report(error: OSError) -> None:
        left_out[Path(error.filename)] = f"folder cannot be listed ({error.strerror})"

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=report):
        real = Path(folder).resolve()
        if real in seen:  # a link to a folder already read, or a loop of links
            subfolders.clear()
            continue
        seen.add(real)
        if not recursive:
            subfolders.clear()
        subfolders[:] = sorted(s for s in subfolders if not s.startswith((".", "__MACOSX")))
        for path in (Path(folder, name) for name in names if not name.startswith(".")):
            if is_volume(path) or is_picture(path):
                files.append(path)
            elif path.suffix.lower() in UNREADABLE:
                left_out[path] = UNREADABLE[path.suffix.lower()]
    return sorted(files), left_out


def _stem(path: Path) -> str:
    """The name without its image suffix."""
    for suffix in (*sorted(VOLUME_SUFFIXES, key=len, reverse=True), *PICTURE_SUFFIXES):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


# --- names: <case>_<modality>, BraTS, pictures --------------------------------------------------


def _healthy_by_folder(root: Path, path: Path) -> bool | None:
    """What the folder names say, the one nearest to the file first; the root's own name counts."""
    is_kaggle = is_picture(path)
    inside = path.relative_to(root).parts[:-1] if path != root else ()
    for name in map(str.lower, reversed((root.name, *inside))):
        if name in HEALTHY_FOLDERS or (is_kaggle and name == "no"):
            return True
        if name in TUMOUR_FOLDERS or (is_kaggle and name == "yes"):
            return False
    return None


def _named_part(root: Path, path: Path) -> Part:
    """What a file's own name says, and where it says nothing, its folder's."""
    stem, folder = _stem(path), path.parent
    folder_role: Role = "image"
    folder_modality = ""
    name = folder.name.lower().removeprefix("ixi-")
    if folder not in (root, root.parent) and (name in _FOLDER_ROLES or name in _ALIASES):
        folder = folder.parent
        folder_role, folder_modality = _FOLDER_ROLES.get(name, "image"), _ALIASES.get(name, "")
    healthy = _healthy_by_folder(root, path)
    scheme = "binary" if is_picture(path) else "auto"
    match = _NAME.fullmatch(stem)
    if match is None:
        rank = 0 if folder_role == "image" else len(ROLE_SUFFIXES[folder_role])
        part = Part(path, folder_role, folder, stem, folder_modality, rank=rank)
    else:
        case, suffix = match["case"] or "", match["suffix"].lower()
        if is_picture(path) and suffix == "mask":
            part = Part(path, "label", folder, case, rank=len(ROLE_SUFFIXES["label"]))
        elif is_picture(path) and suffix == "brain":  # a caption, not a mask
            part = Part(path, folder_role, folder, stem, folder_modality)
        elif suffix in _SUFFIX_ROLES:
            role = _SUFFIX_ROLES[suffix]
            rank = ROLE_SUFFIXES[role].index(suffix) + (100 if match["space"] else 0)
            part = Part(path, role, folder, case, rank=rank)
        elif folder_role != "image":  # masks/x_flair.png
            part = Part(path, folder_role, folder, case)
        else:
            part = Part(path, "image", folder, case, _ALIASES[suffix])
    return replace(part, healthy=healthy, label_scheme=scheme)


def _brats(part: Part) -> Part:
    """Subject and label code, where the case's name is one of the BraTS challenges'."""
    since_2023 = _BRATS_SINCE_2023.fullmatch(part.case)
    if since_2023:
        # The paediatric challenge changed its code between years: its values decide.
        scheme = "auto" if since_2023[2].upper() == "PED" else "brats2023"
        return replace(part, subject=since_2023[1], label_scheme=scheme)
    if _BRATS_UNTIL_2022.fullmatch(part.case):
        return replace(part, subject=part.case, label_scheme="brats2018")
    return part


def _settle(parts: Sequence[Part]) -> list[Part]:
    """Find the image of masks that are named after one modality (``x_T1w_brain_mask``).

    ``x_T1w_brain`` without an ``x_T1w`` is not a mask but the skull-stripped image itself.
    """

    def without_modality(part: Part) -> Part | None:
        match = _NAME.fullmatch(part.case)
        if part.role == "image" or match is None or match["suffix"].lower() not in _ALIASES:
            return None
        return replace(part, case=match["case"] or "", modality=_ALIASES[match["suffix"].lower()])

    images = {(p.folder, p.case) for p in parts if p.role == "image"}
    promoted = []
    for part in parts:
        base = without_modality(part)
        is_brain = _stem(part.path).lower().endswith(("_brain", "-brain"))
        if base and is_brain and (base.folder, base.case) not in images:
            part = replace(base, role="image", rank=1)
        promoted.append(part)
    images = {(p.folder, p.case) for p in promoted if p.role == "image"}
    settled = []
    for part in promoted:
        base = without_modality(part)
        if base and (part.folder, part.case) not in images and (base.folder, base.case) in images:
            part = replace(base, modality="")
        settled.append(part)
    return settled


def _read_named(root: Path, files: Sequence[Path], section: str | None) -> Found:
    volumes = [path for path in files if is_volume(path)]
    found = Found()
    for path in files:
        if volumes and is_picture(path):
            found.left_out[path] = "a picture in a folder of NIfTI volumes"
    parts = []
    for path in volumes:
        part = _named_part(root, path)
        match = _NAME.fullmatch(_stem(path))
        says_role = match is not None and match["suffix"].lower() in _SUFFIX_ROLES
        if path.parent.name.lower() in ("mask", "masks") and path.parent != root and not says_role:
            found.left_out[path] = _WHICH_MASK
        else:
            parts.append(part)
    found.parts = [_brats(part) for part in _settle(parts)]
    return found


def _read_pictures(root: Path, files: Sequence[Path], section: str | None) -> Found:
    parts = []
    for part in (_named_part(root, path) for path in files):
        match = _SLICE.fullmatch(part.case)
        parts.append(replace(part, subject=match[1]) if match else part)
    note = "a picture counts as its own subject, unless its name ends in _slice<number>"
    return Found(_settle(parts), notes=[note], unnamed_modality="image")


# --- BIDS ---------------------------------------------------------------------------------------


def _bids_base(root: Path, path: Path) -> Path:
    """The data set that a file belongs to: what lies above ``sub-*`` or ``derivatives``."""
    folders = path.relative_to(root).parts[:-1]
    for i, name in enumerate(folders):
        if name.startswith("sub-") or name == "derivatives":
            return root.joinpath(*folders[:i])
    return root


def _bids_role(suffix: str, entities: Mapping[str, str], rest: str) -> tuple[Role, str] | None:
    """Role, and the modality of an image, of a BIDS name; None where nobody can know."""
    if suffix in ("mask", "dseg", "roi", "lesion"):
        if "wmh" in rest:
            return "exclude", ""
        if "lesion" in rest or "tumor" in rest or "tumour" in rest or suffix in ("roi", "lesion"):
            return "label", ""
        if suffix == "dseg" or "brain" in rest:
            return "brain_mask", ""
        return None
    modality = _ALIASES.get(suffix)
    if modality == "t1" and "ce" in entities:
        modality = "t1ce"
    return ("image", modality) if modality else None


def _bids_part(root: Path, path: Path) -> Part | str:
    """The part a BIDS name stands for, or the reason why it stands for none."""
    *fields, suffix = _stem(path).split("_")
    entities = dict(f.split("-", 1) for f in fields if "-" in f)
    if "sub" not in entities:
        return "not a BIDS name (sub-<label>_..._<suffix>)"
    rest = "_".join(fields).lower().replace(f"sub-{entities['sub']}".lower(), "")
    known = _bids_role(suffix.lower(), entities, rest)
    if known is None and suffix == "mask":
        return _WHICH_MASK
    if known is None:
        return UNKNOWN_SUFFIX
    role, modality = known
    if role == "image" and "derivatives" in path.relative_to(root).parts[:-1]:
        return "a processed image under derivatives/; the raw one is used"
    case = f"sub-{entities['sub']}" + (f"_ses-{entities['ses']}" if "ses" in entities else "")
    space = entities.get("space", "")
    if space and space.lower() not in (*_ALIASES, "orig", "native", "scanner"):
        case += f"_space-{space}"  # a template's space: never mixed with native files
    return Part(
        path,
        role,
        folder=_bids_base(root, path),
        case=case,
        modality=modality,
        subject=f"sub-{entities['sub']}",
        healthy=_healthy_by_folder(root, path),
        rank=len(fields) + (100 if suffix == "dseg" else 0),
    )


def _read_bids(root: Path, files: Sequence[Path], section: str | None) -> Found:
    found = Found()
    for path in files:
        part = _bids_part(root, path) if is_volume(path) else "a picture in a BIDS data set"
        if isinstance(part, Part):
            found.parts.append(part)
        else:
            found.left_out[path] = part
    return found


# --- JSON: MSD and MONAI datalists --------------------------------------------------------------


def _load_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(data, dict):
        raise InputError(
            f"{path}: expected an object with keys such as training, got a {type(data).__name__}"
        )
    return data


def _sections(path: Path, data: Mapping[str, Any], section: str | None) -> dict[str, list[Any]]:
    """The lists of entries that are asked for."""
    usual = ("training", "validation", "test", "testing")
    there = {
        key: value
        for key, value in data.items()
        if isinstance(value, list) and (key in usual or all(isinstance(e, dict) for e in value))
    }
    if section is not None and section not in there:
        have = ", ".join(there) or "none"
        raise InputError(f"{path}: there is no section {section!r}; the sections are: {have}")
    if not there:
        raise InputError(
            f"{path}: expected lists of entries under keys such as training, validation, test; "
            f"found the keys {', '.join(data) or '(none)'}"
        )
    return there if section is None else {section: there[section]}


def _file(value: Any, base: Path, where: str) -> tuple[Path, int | None]:
    """A path, or ``{"path": ..., "channel": ...}``, relative to the JSON file's folder."""
    channel = None
    if isinstance(value, dict):
        value, channel = value.get("path"), value.get("channel")
    if not isinstance(value, str) or not (channel is None or type(channel) is int):
        raise InputError(f'{where}: expected a path or {{"path": ..., "channel": 0}}')
    return base / value, channel


def _entry_images(entry: Mapping[str, Any], base: Path, where: str) -> dict[str, tuple]:
    """Modality to file and channel of one entry; modality "" where nothing says it."""
    image, said = entry.get("image"), entry.get("modality", [])
    names = [said] if isinstance(said, str) else said
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{where}: modality must be a name or a list of names, got {said!r}")
    if isinstance(image, dict) and "path" not in image:
        return {canonical_modality(m): _file(f, base, where) for m, f in image.items()}
    files = [_file(f, base, where) for f in (image if isinstance(image, list) else [image])]
    if len(files) == 1 and len(names) > 1:
        return {canonical_modality(m): (files[0][0], i) for i, m in enumerate(names)}
    if not names:
        matches = [_NAME.fullmatch(_stem(path)) for path, _ in files]
        names = [_ALIASES.get(m["suffix"].lower(), "") if m else "" for m in matches]
    images = {canonical_modality(m): f for m, f in zip(names, files, strict=False)}
    if len(names) != len(files) or len(images) != len(files):
        raise InputError(
            f"{where}: {len(files)} images with the modalities {names}; give each its own: "
            '"image": {"flair": path, "t1": path}'
        )
    return images


def _entry_parts(entry: Any, root: Path, where: str) -> list[Part]:
    """The parts of one entry of a datalist."""
    if not isinstance(entry, dict) or not entry.get("image"):
        raise InputError(f'{where}: expected {{"image": path, ...}}, got {str(entry)[:60]}')
    for key, kinds in {"healthy": (bool, type(None)), "name": (str,), "subject": (str,)}.items():
        if key in entry and not isinstance(entry[key], kinds):
            raise InputError(f"{where}: {key} cannot be {entry[key]!r}")
    images = _entry_images(entry, root.parent, where)
    first = next(iter(images.values()))[0]
    match = _NAME.fullmatch(_stem(first))
    name = entry.get("name") or ((match["case"] or first.parent.name) if match else _stem(first))
    if name in (".", "..") or "/" in name or "\\" in name:
        raise InputError(f"{where}: the name {name!r} cannot be a folder's; choose another")
    place: dict[str, Any] = {
        "folder": root.parent,
        "case": name,
        "subject": entry.get("subject"),
        "healthy": entry.get("healthy"),
        "infer_healthy": "healthy" not in entry,
        "label_scheme": entry.get("label_scheme", "auto"),
    }
    parts = [
        Part(path, "image", modality=m, channel=channel, **place)
        for m, (path, channel) in images.items()
    ]
    roles: tuple[Role, ...] = ("label", "brain_mask", "exclude")
    for role in roles:
        if entry.get(role) is not None:
            path, channel = _file(entry[role], root.parent, f"{where}: {role}")
            parts.append(Part(path, role, channel=channel, **place))
    return parts


def _read_entries(path: Path, sections: Mapping[str, Iterable[Any]]) -> Found:
    found = Found()
    places: dict[str, str] = {}
    for section, entries in sections.items():
        for i, entry in enumerate(entries):
            where = f"{path}: {section}[{i}]"
            parts = _entry_parts(entry, path, where)
            name = parts[0].case
            if name in places:
                raise InputError(
                    f"{where}: the case {name!r} is there already, in {places[name]}; give one "
                    'another "name", or choose one section'
                )
            places[name] = f"{section}[{i}]"
            found.parts += parts
    return found


def _read_datalist(root: Path, files: Sequence[Path], section: str | None) -> Found:
    return _read_entries(root, _sections(root, _load_json(root), section))


def _msd_file(root: Path) -> Path:
    return root if root.is_file() else root / "dataset.json"


def _is_msd(root: Path, files: Sequence[Path]) -> bool:
    path = _msd_file(root)
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    data = _load_json(path)
    modality = data.get("modality")
    is_indexed = isinstance(modality, dict) and all(key.isdecimal() for key in modality)
    return is_indexed and isinstance(data.get("training"), list)


def _msd_scheme(labels: Any) -> str:
    """The label code that ``dataset.json`` describes; Task01's where it describes none."""
    if not isinstance(labels, dict):
        return "msd"
    names = {str(value): str(name).lower() for value, name in labels.items()}
    if set(names) - {"0"} == {"1"}:
        return "binary"
    if "edema" in names.get("1", ""):  # British oedema ends alike
        return "msd"
    if "necro" in names.get("1", "") and "4" in names and "3" not in names:
        return "brats2018"
    return "auto"


def _read_msd(root: Path, files: Sequence[Path], section: str | None) -> Found:
    path = _msd_file(root)
    data = _load_json(path)
    modalities = [str(data["modality"][key]) for key in sorted(data["modality"], key=int)]
    common = {"modality": modalities, "label_scheme": _msd_scheme(data.get("labels"))}
    sections: dict[str, list[Any]] = {}
    for key, entries in _sections(path, data, section).items():
        full = [{"image": e} if isinstance(e, str) else e for e in entries]
        sections[key] = [
            {**common, **e, "name": _stem(Path(str(e.get("image"))))} if isinstance(e, dict) else e
            for e in full
        ]
    found = _read_entries(path, sections)
    named = {part.path for part in found.parts}
    reason = "not named in dataset.json" + (f" under {section!r}" if section else "")
    found.left_out = {file: reason for file in files if file not in named}
    return found


# --- the registry, first match wins -------------------------------------------------------------


def _is_datalist(root: Path, files: Sequence[Path]) -> bool:
    return root.is_file() and root.suffix.lower() == ".json"


def _is_bids(root: Path, files: Sequence[Path]) -> bool:
    names = [path.name for path in files if is_volume(path)]
    return 2 * sum(bool(re.match(r"sub-[A-Za-z0-9]+_", name)) for name in names) > len(names)


def _is_pictures(root: Path, files: Sequence[Path]) -> bool:
    return bool(files) and all(is_picture(path) for path in files)


def _is_brats(root: Path, files: Sequence[Path]) -> bool:
    cases = (match["case"] or "" for path in files if (match := _NAME.fullmatch(_stem(path))))
    return any(_BRATS_SINCE_2023.fullmatch(c) or _BRATS_UNTIL_2022.fullmatch(c) for c in cases)


def _is_flat(root: Path, files: Sequence[Path]) -> bool:
    return root.is_dir() or bool(files)


LAYOUTS: tuple[Layout, ...] = (
    Layout("msd", _is_msd, _read_msd),
    Layout("datalist", _is_datalist, _read_datalist),
    Layout("bids", _is_bids, _read_bids),
    Layout("pictures", _is_pictures, _read_pictures),
    Layout("brats", _is_brats, _read_named),
    Layout("flat", _is_flat, _read_named),
)
"""A new layout is one reader and one entry here, before those that would take its files too."""
