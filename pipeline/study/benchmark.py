"""Methods x cohort to one table: every method on the same cases, grid and brain mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from pipeline.cases.cohort import Case, find_cases
from pipeline.cases.loading import BrainExtractor, check_same_grid
from pipeline.cases.loop import Execution
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.calibration import calibrate
from pipeline.detection.detect import Detector, detect_cases, make_detector
from pipeline.detection.methods import METHODS, OURS, model_for, runnable
from pipeline.detection.normative import make_atlases
from pipeline.errors import InputError
from pipeline.files.names import CALIBRATION, DATALIST, MAPS
from pipeline.files.record.calibration import Calibration
from pipeline.files.record.people import Datalist
from pipeline.files.record.summary import Summary
from pipeline.maps.atlas import save_atlases
from pipeline.run.config import RunConfig
from pipeline.run.model import ATLASES, Model, atlases_made_for, load_model, needs_residual_atlas
from pipeline.scores.evaluation import evaluate_folder, write_results


def models_by_noise(models: Sequence[Model]) -> dict[str, Model]:
    """Runs by the noise that they restore from.

    Raises:
        InputError: two runs have the same noise, or their modalities or grids differ.
    """
    result: dict[str, Model] = {}
    for model in models:
        noise = model.noise
        first = next(iter(result.values()), model)
        if noise in result:
            raise InputError(
                f"{model.path}: {result[noise].path} restores from {noise} noise too; give one"
            )
        if (model.config.modalities, model.config.grid) != (
            first.config.modalities,
            first.config.grid,
        ):
            raise InputError(
                f"{model.path}: modalities or grid differ from {first.path}; a benchmark compares "
                "methods on one grid"
            )
        if _measured_on(model) != _measured_on(first):
            raise InputError(
                f"{model.path}: its training and validation cases are not those of {first.path}; "
                "a benchmark compares runs on the same people (same DATA, --seed and --hold-out)"
            )
        result[noise] = model
    return result


def _measured_on(model: Model) -> dict[str, set[Path]]:
    """As `_split`, without the cases that were only trained on."""
    return {name: images for name, images in _split(model).items() if name != "extra"}


def _split(model: Model) -> dict[str, set[Path]]:
    """Image files of a run by what they were used for; empty where nothing is recorded."""
    datalist = None if model.path is None else Datalist.of(model.path)
    if model.path is None or datalist is None:
        return {}
    folder = model.path
    return {
        name: {path for entry in entries for path in entry.image_paths(folder)}
        for name, entries in datalist.sections.items()
    }


def seen_before(cases: Sequence[Case], models: Mapping[str, Model]) -> list[str]:
    """Names of the cases whose images a model was trained or calibrated on."""
    used: set[Path] = set()
    for model in models.values():
        split = _split(model)
        used |= set().union(*(split.get(name, ()) for name in ("training", "validation", "extra")))
    return [
        case.name
        for case in cases
        if any(file.path.resolve() in used for file in case.images.values())
    ]


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
        return calibrate(healthy, names, models, transforms, seed=seed, execution=execution)[0]
    stored = [_stored_calibration(model) for model in models.values()]
    merged = stored[0].methods
    for other in stored[1:]:
        if other.cases == stored[0].cases:
            merged = other.methods | merged
    missing = [name for name in names if name not in merged]
    cases = _calibration_cases(next(iter(models.values()))) if missing else []
    if cases:
        extra, _ = calibrate(cases, missing, models, transforms, seed=seed, execution=execution)
        merged |= extra.methods
    return Calibration(methods=merged, cases=stored[0].cases)


def _stored_calibration(model: Model) -> Calibration:
    assert model.path is not None
    return Calibration.of(model.path)


def _calibration_cases(model: Model) -> list[Case]:
    """The validation cases of a run, none if they are gone."""
    try:
        return _cases_of_run(model, "validation")
    except InputError:
        return []


def complete_run(
    run_dir: Path,
    *,
    device: torch.device | None = None,
    extract_brain: BrainExtractor | None = None,
    execution: Execution = Execution(),
) -> Model:
    """What follows the training: atlases of the training cases, thresholds of the validation cases.

    Leaves ``atlases.npz`` (kept if it is there, for these weights and this recipe) and
    ``calibration.json``, for every method that the run can do by itself.

    Raises:
        InputError: those cases are not there.
    """
    model = load_model(run_dir, device)
    config = model.config
    transforms = CaseTransforms(config.modalities, config.grid, extract_brain)
    if not model.atlases:
        cases = _cases_of_run(model, "training")
        residual = needs_residual_atlas(config.detection) and model.noise == METHODS[OURS].noise
        atlases, _ = make_atlases(cases, model, transforms, residual=residual, execution=execution)
        made_for = atlases_made_for(config, str(model.weights_sha256))
        save_atlases(run_dir / ATLASES, atlases, made_for)
        model = load_model(run_dir, device)
    cases = _cases_of_run(model, "validation")
    models = {model.noise: model}
    wanted = [name for name, method in METHODS.items() if method.by_default]
    names, _ = runnable(wanted, models)
    calibration, _ = calibrate(
        cases, names, models, transforms, seed=config.seed, execution=execution
    )
    calibration.write(run_dir / CALIBRATION)
    return model


def _cases_of_run(model: Model, section: str) -> list[Case]:
    """The cases that a run used for something.

    Raises:
        InputError: they are not there any more.
    """
    assert model.path is not None
    datalist = model.path / DATALIST
    return list(find_cases(datalist, section=section, modalities=model.config.modalities).cases)


def _bad_labels(cases: Sequence[Case], modality: str) -> dict[str, str]:
    """Case name -> reason where label and image do not fit; found before any network runs."""
    bad: dict[str, str] = {}
    for case in cases:
        try:
            if case.label is not None and modality in case.images:
                check_same_grid(case.label, case.images[modality])
        except InputError as error:
            bad[case.name] = str(error)
    return bad


def benchmark(
    cases: Sequence[Case],
    names: Sequence[str],
    models: Mapping[str, Model],
    calibration: Calibration,
    config: RunConfig,
    out_dir: Path,
    *,
    cohort_name: str,
    false_positive_rate: float | None = None,
    extract_brain: BrainExtractor | None = None,
    seed: int = 0,
    execution: Execution = Execution(),
) -> tuple[Summary, dict[str, str]]:
    """Run methods on cases and score them.

    Leaves ``maps/<method>/<case>/`` (see `detection.write_result`), ``table.csv``, ``table.md``
    and the files of `evaluation.write_results`. Cases that are done are not run again.

    Returns:
        The summary, and case name -> reason for those that failed.
    """
    transforms = CaseTransforms(config.modalities, config.grid, extract_brain)
    unusable = _bad_labels(cases, config.modalities[0])
    cases = [case for case in cases if case.name not in unusable]
    rate = false_positive_rate
    if rate is None:
        rate = config.detection.false_positive_rate
    detectors: dict[str, Detector] = {
        name: make_detector(
            name, model_for(name, models), calibration, false_positive_rate=rate, seed=seed
        )
        for name in names
    }
    folders = {name: out_dir / MAPS / name for name in names}
    failed = detect_cases(
        cases,
        detectors,
        transforms,
        folders,
        description="benchmark",
        execution=execution,
    )
    good = [case for case in cases if case.name not in failed]
    failed |= unusable
    if not good:
        raise InputError(f"no case could be processed; the first: {next(iter(failed.values()))}")
    scores = {
        name: evaluate_folder(folders[name], good, method=name, seed=seed, execution=execution)
        for name in names
    }
    for method_scores in scores.values():
        failed |= method_scores.failures
    summary = write_results(out_dir, scores, cohort_name, good)
    return summary, failed
