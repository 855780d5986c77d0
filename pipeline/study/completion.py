"""What follows a training: atlases and thresholds; and the thresholds that a benchmark lacks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.cases.case import Case
from pipeline.cases.loading import BrainExtractor
from pipeline.cases.loop import Execution
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.calibration import calibrate
from pipeline.detection.choice import runnable
from pipeline.detection.methods import METHODS, NETWORK_METHODS, OURS
from pipeline.detection.normative import make_atlases
from pipeline.errors import InputError
from pipeline.files.names import ATLASES, CALIBRATION
from pipeline.files.record.calibration import Calibration
from pipeline.run.atlases import save_atlases
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

    Leaves ``atlases.npz`` (kept if it is there, for these weights and this recipe) and
    ``calibration.json``, for every method that the run can do by itself.

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
    models = {model.noise: model}
    wanted = [name for name, method in METHODS.items() if method.by_default]
    names, _ = runnable(wanted, models)
    healthy = cases_of_run(model, "validation")
    calibration, uncalibrated = calibrate(
        healthy, names, models, transforms, seed=config.seed, execution=execution
    )
    calibration.write(run_dir / CALIBRATION)
    return CompletedRun(model, failed | uncalibrated)


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
    stored = [Calibration.of(model.path) for model in models.values()]
    merged = dict(stored[0].methods)
    for model, other in zip(list(models.values())[1:], stored[1:], strict=True):
        if other.cases == stored[0].cases:
            merged = other.methods | merged
        else:
            logger.warning("note: %s: calibrated on others, so not used", model.path)
    missing = [name for name in names if name not in merged]
    cases = _calibration_cases(next(iter(models.values()))) if missing else []
    if cases:
        further, failed = calibrate(
            cases, missing, models, transforms, seed=seed, execution=execution
        )
        _say_uncalibrated(failed)
        merged |= further.methods
    return Calibration(methods=merged, cases=stored[0].cases)


def _say_uncalibrated(failed: Mapping[str, str]) -> None:
    for name, reason in failed.items():
        logger.warning("not calibrated on: %s: %s", name, reason)


def _calibration_cases(model: Model) -> list[Case]:
    """The validation cases of a run, none if they are gone."""
    try:
        return cases_of_run(model, "validation")
    except InputError as error:
        logger.warning("note: methods that the run did not calibrate get no mask: %s", error)
        return []
