"""Whom runs have seen: which cases trained and calibrated them, and which runs may be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.cases.case import Case
from pipeline.cases.find import find_cases
from pipeline.errors import InputError
from pipeline.files.names import DATALIST
from pipeline.files.record.datalist import Datalist
from pipeline.run.model import Model


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


def _measured_on(model: Model) -> dict[str, set[Path]]:
    """As `_images_by_use`, without the cases that were only trained on."""
    return {use: images for use, images in _images_by_use(model).items() if use != "extra"}


def _images_by_use(model: Model) -> dict[str, set[Path]]:
    """Image files of a run by what they were used for; empty where nothing is recorded."""
    datalist = Datalist.of(model.path)
    if datalist is None:
        return {}
    return {
        name: {path for entry in entries for path in entry.image_paths(model.path)}
        for name, entries in datalist.sections.items()
    }


def seen_before(cases: Sequence[Case], models: Mapping[str, Model]) -> list[str]:
    """Names of the cases whose images a model was trained or calibrated on."""
    used: set[Path] = set()
    for model in models.values():
        images = _images_by_use(model)
        used = used.union(*(images.get(use, ()) for use in ("training", "validation", "extra")))
    return [
        case.name
        for case in cases
        if any(file.path.resolve() in used for file in case.images.values())
    ]


def cases_of_run(model: Model, section: str) -> list[Case]:
    """The cases that a run used for something.

    Args:
        section: ``training``, ``validation``, ``test`` or ``extra``.

    Raises:
        InputError: they are not there any more.
    """
    datalist = model.path / DATALIST
    return list(find_cases(datalist, section=section, modalities=model.config.modalities).cases)
