"""Whom runs have seen: which cases trained and calibrated them, and which runs may be compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.cases.case import Case
from pipeline.cases.find import find_cases
from pipeline.cases.listing import file_hashes
from pipeline.errors import InputError
from pipeline.files.images.pairs import image_hash
from pipeline.files.names import DATALIST
from pipeline.files.record.datalist import CaseEntry, Datalist
from pipeline.files.record.run import RunRecord
from pipeline.run.model import Model

SHA256 = re.compile("[0-9a-f]{64}")
SEEN = ("training", "validation", "extra")
"""What images of a run are used for that has an effect on it."""


def models_by_noise(models: Sequence[Model]) -> dict[str, Model]:
    """Runs by the noise that they restore from.

    Raises:
        InputError: two runs have the same noise, or their modalities, grids or people differ.
    """
    result: dict[str, Model] = {}
    for model in models:
        noise = model.noise
        if noise in result:
            raise InputError(
                f"{model.path}: {result[noise].path} restores from {noise} noise too; give one"
            )
        _check_comparable(model, next(iter(result.values()), model))
        result[noise] = model
    return result


def _check_comparable(model: Model, first: Model) -> None:
    """Raise InputError where two runs cannot stand in one table."""
    ours, others = ((one.config.modalities, one.config.grid, one.path) for one in (model, first))
    if ours[:2] != others[:2]:
        raise InputError(
            f"{model.path}: modalities or grid differ from {first.path}; a benchmark compares "
            "methods on one grid"
        )
    if _measured_on(model) != _measured_on(first):
        raise InputError(
            f"{model.path}: its training and validation cases are not those of {first.path}; "
            "a benchmark compares runs on the same people (same DATA, --seed and --hold-out)"
        )


def _measured_on(model: Model) -> dict[str, set[str]]:
    """As `_images_by_use`, without the cases that were only trained on."""
    return {use: images for use, images in images_by_use(model.path).items() if use != "extra"}


def images_by_use(run: Path) -> dict[str, set[str]]:
    """Hashes of the images of a run by what they were used for; empty where nothing is recorded.

    They are those of its datalist, or, in a bundle, of its record.
    """
    datalist = Datalist.of(run)
    if datalist is None:
        record = RunRecord.of(run)
        return {} if record is None else {use: set(found) for use, found in record.images.items()}
    return {
        name: {image for entry in entries for image in _images_of(entry, run)}
        for name, entries in datalist.sections.items()
    }


def seen_images(run: Path) -> dict[str, tuple[str, ...]]:
    """Hashes of the images that a run has seen, by use; one that is gone has none."""
    found = images_by_use(run)
    hashes = {use: tuple(sorted(filter(SHA256.fullmatch, found.get(use, ())))) for use in SEEN}
    return {use: images for use, images in hashes.items() if images}


def _images_of(entry: CaseEntry, folder: Path) -> list[str]:
    paths = zip(entry.image, entry.image_paths(folder), strict=True)
    return [entry.sha256.get(modality) or _image(path) for modality, path in paths]


def _image(path: Path) -> str:
    """What an image is: its content, wherever it lies; the path where there is no file any more."""
    try:
        return image_hash(path)
    except OSError:
        return str(path.resolve())


def seen_before(cases: Sequence[Case], models: Mapping[str, Model]) -> list[str]:
    """Names of the cases whose images a model was trained or calibrated on, under any name."""
    used: set[str] = set()
    for model in models.values():
        images = images_by_use(model.path)
        used = used.union(*(images.get(use, ()) for use in SEEN))
    if not used:
        return []
    return [
        case.name
        for case in cases
        if any(_image(file.path) in used for file in case.images.values())
    ]


def cases_of_run(model: Model, section: str) -> list[Case]:
    """The cases that a run used for something.

    Args:
        section: ``training``, ``validation``, ``test`` or ``extra``.

    Raises:
        InputError: they are not there any more, or others lie in their place.
    """
    path = model.path / DATALIST
    cases = find_cases(path, section=section, modalities=model.config.modalities).cases
    recorded = {entry.name: entry.sha256 for entry in Datalist.read(path)[section]}
    for case in cases:
        before = recorded.get(case.name, {})
        if any(before.get(role, now) != now for role, now in file_hashes(case).items()):
            raise InputError(
                f"{path}: the files of {case.name} are not those that the run was trained with; "
                "put those back, or train anew"
            )
    return list(cases)
