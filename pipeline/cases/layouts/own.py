"""Which files anomap wrote itself: they are never scans, in whatever folder they lie."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pipeline.cases.layouts.names import stem_of
from pipeline.errors import InputError
from pipeline.files.images.formats import is_picture
from pipeline.files.names import (
    ANOMALY_MAP,
    ANOMALY_MASK,
    BRAIN_MASK,
    CAPTIONS,
    CASE_PICTURES,
    CONFIG,
    CURVES,
    LOSS_CHART,
    LOSSES,
    MAPS,
    RESULT,
    SUMMARY,
    pseudo_healthy_modality,
)
from pipeline.files.paths import is_file
from pipeline.files.record.result import CaseResult

OWN_RESULT = "a result of anomap, no scan"
"""The reason why such a file is left out."""

_NAMED_LIKE_A_MAP = re.compile(r"(.+[_-])?(anomaly([_-]map)?|pseudo[_-]healthy([_-].+)?)", re.I)
_PICTURES = {LOSS_CHART: (LOSSES, CONFIG), CASE_PICTURES: (SUMMARY, CURVES, MAPS)}
"""Picture to what lies beside it where it is ours."""


def own_results(files: Sequence[Path]) -> set[Path]:
    """Those of some image files that are results: maps, masks, restored images, pictures.

    What tells them is their name, with ``result.json``, a map, or a folder's record beside them.
    """
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in files:
        by_folder[path.parent].append(path)
    return {path for folder, there in by_folder.items() for path in _own_of(folder, there)}


def _own_of(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Results among the image files of one folder."""
    volumes = [path for path in files if not is_picture(path)]
    maps = [path for path in volumes if _NAMED_LIKE_A_MAP.fullmatch(stem_of(path))]
    is_result = any(map(_is_map, maps)) or is_file(folder / RESULT)
    written = _written(folder) if is_result else frozenset()
    masks = [path for path in volumes if path.name in written and path not in maps]
    return [*maps, *masks, *_own_pictures(folder, set(files).difference(volumes))]


def _own_pictures(folder: Path, pictures: set[Path]) -> list[Path]:
    captions = _captioned(folder) if pictures else ""
    return [path for path in pictures if _is_own_picture(path, captions)]


def _is_map(path: Path) -> bool:
    return path.name == ANOMALY_MAP or pseudo_healthy_modality(path.name) is not None


def _written(folder: Path) -> frozenset[str]:
    """Names of masks that belong to the result in a folder."""
    masks = frozenset((ANOMALY_MASK, BRAIN_MASK))
    try:
        result = CaseResult.of(folder)
    except InputError:  # torn, or of another version
        return masks
    return masks if result is None or not result.files else masks.intersection(result.file_names)


def _captioned(folder: Path) -> str:
    """What stands beside figures that we drew; "" where there are none."""
    try:
        return (folder / CAPTIONS).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _is_own_picture(path: Path, captions: str) -> bool:
    if f"]({path.name})" in captions:
        return True
    beside = _PICTURES.get(path.name, ())
    return any((path.parent / name).exists() for name in beside)
