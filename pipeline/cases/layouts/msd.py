"""Data sets of the Medical Segmentation Decathlon, described by their ``dataset.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.cases.layouts.datalist import load_json, read_entries, sections_of
from pipeline.cases.layouts.names import stem_of
from pipeline.cases.layouts.part import Found, Layout
from pipeline.files.names import MSD_DESCRIPTION
from pipeline.files.paths import is_file


def _description(root: Path) -> Path:
    return root if is_file(root) else root / MSD_DESCRIPTION


def _is_msd(root: Path, files: Sequence[Path]) -> bool:
    path = _description(root)
    if path.suffix.lower() != ".json" or not is_file(path):
        return False
    data = load_json(path)
    modality = data.get("modality")
    is_indexed = isinstance(modality, dict) and all(key.isdecimal() for key in modality)
    return is_indexed and isinstance(data.get("training"), list)


def label_scheme(labels: object) -> str:
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


def _as_datalist_entry(entry: object, modalities: list[str], label_scheme: str) -> object:
    """An entry with what ``dataset.json`` says of all; cases are named after their image."""
    if isinstance(entry, str):
        entry = {"image": entry}
    if not isinstance(entry, dict):
        return entry
    described = {"modality": modalities, "label_scheme": label_scheme, **entry}
    image = entry.get("image")
    if isinstance(image, str):
        described["name"] = stem_of(Path(image.replace("\\", "/")))
    return described


def _read(root: Path, files: Sequence[Path], section: str | None) -> Found:
    path = _description(root)
    data = load_json(path)
    modalities = [str(data["modality"][key]) for key in sorted(data["modality"], key=int)]
    scheme = label_scheme(data.get("labels"))
    found = read_entries(
        path,
        {
            key: [_as_datalist_entry(entry, modalities, scheme) for entry in entries]
            for key, entries in sections_of(path, data, section).items()
        },
    )
    named = {part.path for part in found.parts}
    reason = f"not named in {MSD_DESCRIPTION}" + (f" under {section!r}" if section else "")
    return replace(found, left_out={file: reason for file in files if file not in named})


MSD = Layout("msd", _is_msd, _read)
