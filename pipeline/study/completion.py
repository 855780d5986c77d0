"""What follows a training: atlases and thresholds; and the thresholds that a benchmark lacks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from pipeline.cases.case import Case
from pipeline.cases.loading import BrainExtractor
from pipeline.cases.loop import Execution
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.calibration import calibrate, made_for
from pipeline.detection.methods.choice import runnable
from pipeline.detection.methods.kinds import ReadyMethod
from pipeline.detection.methods.table import METHODS, NETWORK_METHODS, OURS
from pipeline.detection.normative import make_atlases
from pipeline.errors import InputError, LaterVersionError
from pipeline.files.names import ATLASES, CALIBRATION
from pipeline.files.record.calibration import Calibration, MethodCalibration
from pipeline.run.atlases import save_atlases
from pipeline.run.finished import calibration_of, changed_files, record_files
from pipeline.run.model import (
    Model,
    atlases_made_for,
    load_model,
    needs_residual_atlas,
    usable_device,
)
from pipeline.study.people import cases_of_run

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompletedRun:
    """A run that can detect.

    Attributes:
        model: its network, with atlases.
        failed: case -> reason of those that neither atlas nor thresholds are made of.
    """

    model: Model
    failed: dict[str, str] = field(default_factory=dict)


def complete_run(
    run_dir: Path,
    *,
    extract_brain: BrainExtractor | None = None,
    execution: Execution = Execution(),
) -> CompletedRun:
    """Make the atlases of the training cases and the thresholds of the validation cases.

    Leaves ``atlases.npz`` and ``calibration.json`` (each kept if it is there, for these weights and
    this recipe), for every method that the run can do by itself, and notes in ``run.json`` what the
    files of the finished run are.

    Raises:
        InputError: those cases are not there.
    """
    device = usable_device(execution.device)
    model = load_model(run_dir, device)
    config = model.config
    transforms = CaseTransforms(config.modalities, config.grid, extract_brain)
    failed: dict[str, str] = {}
    if not model.atlases:
        cases = cases_of_run(model, "training")
        ours = model.noise == NETWORK_METHODS[OURS].noise
        residual = ours and needs_residual_atlas(config.detection)
        atlases, failed = make_atlases(
            cases, model, transforms, residual=residual, execution=execution
        )
        made_for = atlases_made_for(config, model.weights_sha256)
        save_atlases(run_dir / ATLASES, atlases, made_for)
        model = load_model(run_dir, device)
    if not _is_calibrated(model):
        calibration, uncalibrated = calibrate(
            cases_of_run(model, "validation"),
            own_methods(model),
            {model.noise: model},
            transforms,
            seed=config.seed,
            execution=execution,
        )
        calibration.write(run_dir / CALIBRATION)
        failed |= uncalibrated
    record_files(run_dir)
    return CompletedRun(model, failed)


def is_complete(run_dir: Path) -> bool:
    """Whether a run has its weights, and atlases and thresholds for them and its recipe.

    Raises:
        LaterVersionError: a file of it is of a later version.
    """
    if changed_files(run_dir):
        return False
    try:
        model = load_model(run_dir, torch.device("cpu"))
    except LaterVersionError:
        raise
    except InputError:
        return False
    return bool(model.atlases) and _is_calibrated(model, former=True)


def own_methods(model: Model) -> list[str]:
    """The methods that a run can do by itself."""
    wanted = [name for name, method in METHODS.items() if method.by_default]
    return runnable(wanted, {model.noise: model})[0]


def _is_calibrated(model: Model, *, former: bool = False) -> bool:
    """Whether the thresholds of a run are there, as they were written, for weights and recipe.

    Args:
        former: so are those of a former version, which do not say what they were made for.
    """
    if CALIBRATION in changed_files(model.path):
        return False
    try:
        calibration = Calibration.of(model.path)
    except LaterVersionError:
        raise
    except InputError:  # torn
        return False
    models = {model.noise: model}
    tables = calibration.methods
    names = [name for name in own_methods(model) if name in tables or not former]
    return bool(names) and all(
        name in tables and _stands(tables[name], METHODS[name].ready(models), models, former=former)
        for name in names
    )


def _stands(
    table: MethodCalibration, ready: ReadyMethod, models: Mapping[str, Model], *, former: bool
) -> bool:
    if table.made_for is None:
        return former
    return not table.made_for.differences(made_for(ready, models))


def complete_calibration(
    models: Mapping[str, Model],
    names: Sequence[str],
    transforms: CaseTransforms,
    *,
    healthy: Sequence[Case] | None = None,
    seed: int = 0,
    execution: Execution = Execution(),
) -> Calibration:
    """Thresholds of all methods from one set of healthy cases.

    Those of the runs are used as they are; a method that they lack is calibrated now, on the first
    run's own calibration cases where their files are still there.

    Args:
        healthy: calibrate everything on these instead.
    """
    if healthy is not None:
        calibration, failed = calibrate(
            healthy, names, models, transforms, seed=seed, execution=execution
        )
        _say_uncalibrated(failed)
        return calibration
    first = next(iter(models.values()))
    merged, calibrated_on = _stored(models)
    missing = [name for name in names if name not in merged]
    cases = _calibration_cases(first) if missing else []
    if cases:
        further, failed = calibrate(
            cases, missing, models, transforms, seed=seed, execution=execution
        )
        _say_uncalibrated(failed)
        merged |= further.methods
    return Calibration(methods=merged, cases=calibrated_on)


def _stored(
    models: Mapping[str, Model],
) -> tuple[dict[str, MethodCalibration], tuple[str, ...]]:
    """What the runs have calibrated on the cases of the first one, and the names of these.

    Of a method that several runs can do, the thresholds of the run that does it here are taken.
    """
    first, *others = models.values()
    stored = calibration_of(first.path)
    merged = dict(stored.methods)
    for model in others:
        other = calibration_of(model.path)
        if other.cases != stored.cases:
            logger.warning("note: %s: calibrated on others, so not used", model.path)
            continue
        for name, table in other.methods.items():
            if name not in merged and _fits(name, table, models):
                merged[name] = table
    return merged, stored.cases


def _fits(name: str, table: MethodCalibration, models: Mapping[str, Model]) -> bool:
    """Whether the thresholds of a run are those of the method as these runs do it."""
    method = METHODS.get(name)
    if method is None or method.missing(models) is not None:
        return False
    return _stands(table, method.ready(models), models, former=True)


def _say_uncalibrated(failed: Mapping[str, str]) -> None:
    for name, reason in failed.items():
        logger.warning("not calibrated on: %s: %s", name, reason)


def _calibration_cases(model: Model) -> list[Case]:
    """The validation cases of a run, none if they are gone."""
    try:
        return cases_of_run(model, "validation")
    except InputError as error:
        logger.warning(
            "note: methods that the run did not calibrate get no mask (--calibrate-on HEALTHY "
            "gives them one): %s",
            error,
        )
        return []
