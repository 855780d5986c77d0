"""MONAI datalists: JSON files that list the images of each case."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

from pipeline.cases.case import ImageFile
from pipeline.cases.layouts.names import canonical_modality, parse_name, stem_of
from pipeline.cases.layouts.part import Found, Layout, Part, Role
from pipeline.errors import InputError
from pipeline.files.case_name import CaseName, checked_subject
from pipeline.files.limits import MAX_RECORD_BYTES
from pipeline.files.paths import is_file, located
from pipeline.files.record.datalist import Datalist
from pipeline.files.strict_json import parse_json
from pipeline.files.texts import brief

_USUAL_SECTIONS = ("training", "validation", "test", "testing")
_MASK_ROLES: tuple[Role, ...] = ("label", "brain_mask", "exclude")


# --- the JSON file ------------------------------------------------------------------------------


def load_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        content = _bounded(path)
        # As `json` tells UTF-8, 16 and 32 apart, with a byte-order mark and without.
        data = parse_json(content.decode(json.detect_encoding(content)))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({brief(error)})") from error
    if not isinstance(data, dict):
        raise InputError(
            f"{path}: expected an object with keys such as training, got a {type(data).__name__}"
        )
    version = data.get("schema_version", 1)
    if version not in range(1, Datalist.version() + 1):
        raise InputError(
            f"{path}: a datalist of version {version}; this anomap reads up to version "
            f"{Datalist.version()}: use a later one"
        )
    return data


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_RECORD_BYTES + 1)
    if len(content) > MAX_RECORD_BYTES:
        raise ValueError(f"more than {MAX_RECORD_BYTES:,} bytes")
    return content


def sections_of(
    path: Path, data: Mapping[str, object], section: str | None
) -> dict[str, list[object]]:
    """The lists of entries that are asked for.

    Args:
        path: the file, for messages.
        data: what it holds.
        section: the key of one of its lists; None takes all.

    Raises:
        InputError: there is no such list, or none at all.
    """
    there = {key: value for key, value in data.items() if _is_section(value, key)}
    if section is not None and section not in there:
        have = ", ".join(there) or "none"
        raise InputError(f"{path}: there is no section {section!r}; the sections are: {have}")
    if not there:
        raise InputError(
            f"{path}: expected lists of entries under keys such as training, validation, test; "
            f"found the keys {', '.join(data) or '(none)'}"
        )
    return there if section is None else {section: there[section]}


def _is_section(value: object, key: str) -> TypeGuard[list[object]]:
    if not isinstance(value, list):
        return False
    return key in _USUAL_SECTIONS or not value or any(isinstance(e, dict) for e in value)


# --- one entry ----------------------------------------------------------------------------------


def _image_file(value: object, base: Path, where: str) -> ImageFile:
    """A path, or ``{"path": ..., "channel": ...}``, relative to the JSON file's folder."""
    path, channel = value, None
    if isinstance(value, dict):
        path, channel = value.get("path"), value.get("channel")
    if not isinstance(path, str) or not (channel is None or type(channel) is int):
        raise InputError(f'{where}: expected a path or {{"path": ..., "channel": 0}}')
    try:
        found = located(path, base)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if "\\" in path and not is_file(found):  # as Windows writes it
        found = located(path.replace("\\", "/"), base)
    return ImageFile(found, channel)


def _said_modalities(entry: Mapping[str, Any], where: str) -> list[str]:
    """The names under ``modality``, none where there is no such key."""
    said = entry.get("modality", [])
    names = [said] if isinstance(said, str) else said
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{where}: modality must be a name or a list of names, got {said!r}")
    return names


def _modality_by_name(path: Path) -> str:
    """What the name of an image says, "" for nothing."""
    name = parse_name(stem_of(path))
    return name.modality if name else ""


def _images(entry: Mapping[str, Any], base: Path, where: str) -> dict[str, ImageFile]:
    """Modality to file of one entry; modality "" where nothing says it."""
    image, names = entry.get("image"), _said_modalities(entry, where)
    if isinstance(image, dict) and "path" not in image:
        names = _that_differ(list(image), where)
        return {m: _image_file(f, base, where) for m, f in zip(names, image.values(), strict=True)}
    listed = image if isinstance(image, list) else [image]
    files = [_image_file(file, base, where) for file in listed]
    if len(files) == 1 < len(names) and files[0].channel is None:
        return _channels(files[0].path, _that_differ(names, where))
    return _paired(files, names or [_modality_by_name(file.path) for file in files], where)


def _that_differ(names: Sequence[str], where: str) -> list[str]:
    """The modalities of names; two names of one are refused: one image would be dropped."""
    spelt: dict[str, str] = {}
    for name in names:
        if (other := spelt.setdefault(canonical_modality(name), name)) is not name:
            raise InputError(f"{where}: {other!r} and {name!r} are one modality; leave one out")
    return list(spelt)


def _channels(path: Path, names: Sequence[str]) -> dict[str, ImageFile]:
    """The channels of a 4-D image, in order."""
    return {name: ImageFile(path, channel) for channel, name in enumerate(names)}


def _paired(files: Sequence[ImageFile], names: Sequence[str], where: str) -> dict[str, ImageFile]:
    images = {canonical_modality(m): f for m, f in zip(names, files, strict=False)}
    if len(names) != len(files) or len(images) != len(files):
        raise InputError(
            f"{where}: {len(files)} images with the modalities {names}; give each its own: "
            '"image": {"flair": path, "t1": path}'
        )
    return images


def _case_name(entry: Mapping[str, Any], first_image: Path, where: str) -> CaseName:
    """The name that the entry gives, or its first image's."""
    parsed = parse_name(stem_of(first_image))
    by_image = (parsed.case or first_image.parent.name) if parsed else ""
    try:
        checked_subject(entry.get("subject", ""))
        return CaseName(entry.get("name") or by_image or stem_of(first_image))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


_KINDS: Mapping[str, tuple[type, ...]] = {
    "healthy": (bool, type(None)),
    **dict.fromkeys(("name", "subject", "label_scheme"), (str,)),
}


def _checked_entry(entry: object, where: str) -> dict[str, Any]:
    if not isinstance(entry, dict) or not entry.get("image"):
        raise InputError(f'{where}: expected {{"image": path, ...}}, got {str(entry)[:60]}')
    for key, kinds in _KINDS.items():
        if key in entry and not isinstance(entry[key], kinds):
            raise InputError(f"{where}: {key} cannot be {str(entry[key])[:60]!r}")
    return entry


def _parts_of_entry(raw: object, source: Path, where: str) -> list[Part]:
    """The parts of one entry of the datalist ``source``; ``where`` says which in messages."""
    entry = _checked_entry(raw, where)
    base = source.parent
    images = _images(entry, base, where)
    first = next(iter(images.values())).path
    template = Part(
        first,
        "image",
        folder=base,
        case=_case_name(entry, first, where),
        subject=entry.get("subject"),
        healthy=entry.get("healthy"),
        infer_healthy="healthy" not in entry,
        label_scheme=entry.get("label_scheme", "auto"),
    )
    masks = {
        role: _image_file(entry[role], base, f"{where}: {role}")
        for role in _MASK_ROLES
        if entry.get(role) is not None
    }
    return [
        *(replace(template, path=f.path, channel=f.channel, modality=m) for m, f in images.items()),
        *(replace(template, path=f.path, channel=f.channel, role=r) for r, f in masks.items()),
    ]


# --- all entries --------------------------------------------------------------------------------


def read_entries(source: Path, sections: Mapping[str, Iterable[object]]) -> Found:
    """The parts that the entries of a datalist describe.

    Args:
        source: the JSON file; paths are relative to its folder.
        sections: its lists by their keys.

    Returns:
        The parts; an entry that is not what it should be, or whose name is taken, is in
        ``incomplete`` under its place.
    """
    parts: list[Part] = []
    incomplete: dict[str, str] = {}
    places: dict[str, str] = {}
    for section, entries in sections.items():
        for i, entry in enumerate(entries):
            place = f"{section}[{i}]"
            try:
                described = _parts_of_entry(entry, source, f"{source}: {place}")
                _check_is_free(described[0].case, places, f"{source}: {place}")
            except InputError as error:
                incomplete[place] = str(error)
            else:
                places[described[0].case] = place
                parts += described
    return Found(tuple(parts), incomplete=incomplete)


def _check_is_free(name: str, places: Mapping[str, str], where: str) -> None:
    if name in places:
        raise InputError(
            f"{where}: the case {name!r} is there already, in {places[name]}; give one another "
            '"name", or choose one section'
        )


def _read(root: Path, files: Sequence[Path], section: str | None) -> Found:
    return read_entries(root, sections_of(root, load_json(root), section))


def _is_datalist(root: Path, files: Sequence[Path]) -> bool:
    return is_file(root) and root.suffix.lower() == ".json"


DATALIST = Layout("datalist", _is_datalist, _read)
