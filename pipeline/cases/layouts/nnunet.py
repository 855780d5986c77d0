"""Data sets as nnU-Net has them, and those of the Decathlon without their list of cases.

``imagesTr/<case>_<channel>.nii.gz`` (the channel of four digits, or none), and
``labelsTr/<case>.nii.gz``; ``dataset.json``, where there is one, names the channels.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.cases.labels import LABEL_SCHEMES
from pipeline.cases.layouts.datalist import load_json
from pipeline.cases.layouts.msd import label_scheme
from pipeline.cases.layouts.names import (
    MODALITIES,
    canonical_modality,
    healthy_by_folder,
    stem_of,
)
from pipeline.cases.layouts.part import Found, Layout, Part
from pipeline.cases.layouts.search import IMAGE_FOLDER, image_files
from pipeline.errors import InputError
from pipeline.files.names import MSD_DESCRIPTION
from pipeline.files.paths import is_file

_LABEL_FOLDER = re.compile(r"labels(tr|ts|val|test)", re.IGNORECASE)
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
_ELSEWHERE = "not in imagesTr, imagesTs or labelsTr of an nnU-Net data set"


# --- what dataset.json says ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Description:
    """What is said of all cases: modality by channel, none where nothing says it."""

    channels: tuple[str, ...] = ()
    label_scheme: str = "auto"
    lists_cases: bool = False


def _description(dataset: Path) -> _Description:
    """Errors as `load_json`, and where channels are not numbered from 0."""
    path = dataset / MSD_DESCRIPTION
    if not is_file(path):
        return _Description()
    data = load_json(path)
    names = data.get("channel_names", data.get("modality", {}))
    expected = [str(i) for i in range(len(names) if isinstance(names, dict) else 0)]
    if not isinstance(names, dict) or sorted(names) != sorted(expected):
        raise InputError(f'{path}: expected "channel_names": {{"0": "FLAIR", "1": "T1w"}}')
    modalities = tuple(canonical_modality(str(names[key])) for key in expected)
    is_unknown = len(modalities) == 1 and modalities[0] not in MODALITIES
    return _Description(
        channels=() if is_unknown else modalities,
        label_scheme=_scheme(data.get("labels")),
        lists_cases=isinstance(data.get("training"), list),
    )


def _scheme(labels: object) -> str:
    """The label code of ``{"background": 0, "tumour": 1}``, of regions, or of the older form."""
    if not isinstance(labels, dict) or not labels:
        return "auto"
    if all(str(key).isdecimal() for key in labels):
        return label_scheme(labels)
    regions = {tuple(sorted(v)) for v in labels.values() if _is_region(v)}
    if not regions:
        return label_scheme({str(value): name for name, value in labels.items()})
    return _scheme_of_regions(regions)


def _scheme_of_regions(regions: set[tuple[int, ...]]) -> str:
    """The one code that has them all, ``auto`` where several have or none."""
    fitting = [n for n, scheme in LABEL_SCHEMES.items() if regions <= {*scheme.regions.values()}]
    return fitting[0] if len(fitting) == 1 else "auto"


def _is_region(value: object) -> bool:
    return isinstance(value, list) and all(type(v) is int for v in value)


# --- the files ----------------------------------------------------------------------------------


def _by_dataset(files: Iterable[Path]) -> dict[Path, list[Path]]:
    """Data set to its files under ``images..`` and ``labels..``."""
    found: dict[Path, list[Path]] = defaultdict(list)
    for path in files:
        name = path.parent.name
        if IMAGE_FOLDER.fullmatch(name) or _LABEL_FOLDER.fullmatch(name):
            found[path.parent.parent].append(path)
    return dict(found)


def _is_of_labels(path: Path) -> bool:
    return _LABEL_FOLDER.fullmatch(path.parent.name) is not None


def _have_channels(files: Sequence[Path]) -> bool:
    """Whether the names of images end in their channel, rather than in a number of the case."""
    labels = {stem_of(path) for path in files if _is_of_labels(path)}
    images = {stem_of(path) for path in files if not _is_of_labels(path)}
    if labels & images:
        return False
    numbered = [match for match in map(_CHANNEL.fullmatch, images) if match is not None]
    return any(match["case"] in labels or match["channel"] == "0000" for match in numbered)


def _around(root: Path, dataset: Path, files: Sequence[Path]) -> Sequence[Path]:
    """All files of a data set, of which one file or folder may be what is asked for."""
    if dataset.is_relative_to(root):
        return files
    return _by_dataset(image_files(dataset, recursive=True)[0]).get(dataset, [])


def _parts_of(
    root: Path, dataset: Path, files: Sequence[Path]
) -> Iterator[Part | tuple[Path, str]]:
    """The part that each file is, or the file and why it is none."""
    described = _description(dataset)
    around = _around(root, dataset, files)
    have_channels = _have_channels(around)
    channels = {_channel_of(path) for path in around if not _is_of_labels(path)}
    are_unknown = have_channels and len(channels) > 1 and not described.channels
    for path in files:
        if are_unknown and not _is_of_labels(path):
            yield path, _which_is_which(sorted(channels - {""}))
        elif have_channels and not _is_of_labels(path):
            yield _one_channel(root, path, described)
        else:
            yield from _whole_file(root, path, described)


def _which_is_which(channels: Sequence[str]) -> str:
    names = ", ".join(f'"{int(channel)}": "..."' for channel in channels[:8])
    return (
        f"one of the channels {', '.join(channels[:8])}, and nothing says which is which: write "
        f'{{"channel_names": {{{names}}}}} into {MSD_DESCRIPTION} beside its folder'
    )


def _channel_of(path: Path) -> str:
    match = _CHANNEL.fullmatch(stem_of(path))
    return match["channel"] if match else ""


def _one_channel(root: Path, path: Path, described: _Description) -> Part | tuple[Path, str]:
    match = _CHANNEL.fullmatch(stem_of(path))
    if match is None:
        return path, "no channel at the end of its name (<case>_0000)"
    index = int(match["channel"])
    if described.channels and index >= len(described.channels):
        return path, f"channel {match['channel']} is not named in {MSD_DESCRIPTION}"
    modality = described.channels[index] if described.channels else ""
    return _part(root, path, match["case"], described, modality=modality)


def _whole_file(root: Path, path: Path, described: _Description) -> Iterator[Part]:
    """A label, or an image with all its channels."""
    channels = () if _is_of_labels(path) else described.channels
    if len(channels) < 2:
        modality = channels[0] if channels else ""
        yield _part(root, path, stem_of(path), described, modality=modality)
    for index, modality in enumerate(channels if len(channels) > 1 else ()):
        yield _part(root, path, stem_of(path), described, modality=modality, channel=index)


def _part(
    root: Path,
    path: Path,
    case: str,
    described: _Description,
    *,
    modality: str = "",
    channel: int | None = None,
) -> Part:
    return Part(
        path,
        "label" if _is_of_labels(path) else "image",
        folder=path.parent.parent / re.sub("(?i)^labels", "images", path.parent.name),
        case=case,
        modality=modality,
        channel=channel,
        healthy=healthy_by_folder(root, path),
        label_scheme=described.label_scheme,
    )


def _read(root: Path, files: Sequence[Path], section: str | None) -> Found:
    files = _files_of(root, files)
    datasets = _by_dataset(files)
    left_out = {path: _ELSEWHERE for path in files}
    parts: list[Part] = []
    for dataset, of_dataset in datasets.items():
        for found in _parts_of(root, dataset, of_dataset):
            if isinstance(found, Part):
                parts.append(found)
            else:
                left_out[found[0]] = found[1]
    used = {part.path for part in parts}
    return Found(tuple(parts), {path: why for path, why in left_out.items() if path not in used})


def _files_of(root: Path, files: Sequence[Path]) -> Sequence[Path]:
    """Those given, or those beside the ``dataset.json`` that is."""
    is_description = root.name == MSD_DESCRIPTION and is_file(root)
    return image_files(root.parent, recursive=True)[0] if is_description else files


def _is_nnunet(root: Path, files: Sequence[Path]) -> bool:
    return any(
        not all(map(_is_of_labels, there := _around(root, dataset, of_dataset)))
        and (_have_channels(there) or not _description(dataset).lists_cases)
        for dataset, of_dataset in _by_dataset(_files_of(root, files)).items()
    )


NNUNET = Layout("nnunet", _is_nnunet, _read)
