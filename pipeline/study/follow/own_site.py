"""``anomap calibrate``: a run fitted to one's own scanner, from healthy scans, without training."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pipeline.cases.case import Case
from pipeline.cases.extraction.choice import make_extractor
from pipeline.cases.listing import write_datalist
from pipeline.cases.loop import Execution, each_case
from pipeline.cases.several import Paths, Selection
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.calibration import Measured, Sampling, calibration_from, measure_healthy
from pipeline.detection.case_work import CaseWork
from pipeline.detection.methods.table import OURS
from pipeline.detection.normative import (
    INTENSITY,
    MIN_SPREAD,
    healthy_prepared,
    masks_of,
    placement_of,
    smoothing_mm,
)
from pipeline.errors import InputError
from pipeline.files.folder.lock import locked
from pipeline.files.folder.ownership import OF_A_RUN, claim
from pipeline.files.identity import content_hash
from pipeline.files.names import ATLASES, CALIBRATION, CONFIG, DATALIST, WEIGHTS
from pipeline.files.provenance import command_line, software
from pipeline.files.record.calibration import MethodCalibration
from pipeline.files.record.run import RunRecord
from pipeline.files.texts import count
from pipeline.files.writing import make_folder, write_atomically
from pipeline.maps.atlas import Atlas, AtlasBuilder, blended
from pipeline.run.atlases import save_atlases
from pipeline.run.finished import calibration_of, record_files
from pipeline.run.model import Model, atlases_made_for, load_model, usable_device
from pipeline.stages import stage
from pipeline.study.completion import own_methods
from pipeline.study.selection import find_said, healthy_of

LEAST, ADVISED = 5, 10
"""Healthy people without whom nothing is fitted, and below whom the result is uncertain."""
PRIOR_CASES = 10.0
"""So many people the atlas that was there counts as."""
FOLDS = 10
SHOWN = (0.01, 0.05)
"""Rates whose measured share is told."""


@dataclass(frozen=True)
class HealthyRates:
    """What thresholds mean on healthy people who are not behind them.

    Attributes:
        stated: share of healthy voxels that should lie above the threshold.
        before, after: mean share that does, by the run as it was and as it is fitted.
    """

    stated: float
    before: float
    after: float


@dataclass(frozen=True)
class FittedRun:
    """A run that was fitted to a scanner.

    Attributes:
        path: its folder.
        cases: names of the healthy people.
        rates: measured on them, each with atlas and thresholds of the others.
        failed: case -> why it was not used.
    """

    path: Path
    cases: tuple[str, ...]
    rates: tuple[HealthyRates, ...]
    failed: dict[str, str] = field(default_factory=dict)


def calibrate_run(
    model: Path | str,
    healthy: Paths,
    out: Path | str,
    *,
    brain_extraction: str | None = None,
    selection: Selection = Selection(),
    execution: Execution = Execution(),
) -> FittedRun:
    """Give a run the atlas and the thresholds of one's own scanner; the network stays.

    The atlas of the intensity is blended with the one that was there, which counts as
    `PRIOR_CASES` people. Each person's values for the thresholds come from an atlas that the others
    made (`FOLDS` parts), so that the thresholds hold for a new one.

    Args:
        model: a run, a bundle, its zip, or a name of weights that come with anomap.
        healthy: scans of people without a lesion; a case with a lesion label is left out.
        out: gets a run, as a training leaves one.
        brain_extraction: a name in `EXTRACTORS`, for heads.
        selection: which cases.
        execution: progress, device, allowed failures.

    Raises:
        InputError: fewer than `LEAST` people can be used, the run has no atlas, or the folder
            cannot be written to.
    """
    run = Path(out)
    claim(run, OF_A_RUN)
    if (run / CONFIG).is_file():
        raise InputError(f"{run}: a run is already there; give another folder")
    before = load_model(model, usable_device(execution.device))
    if INTENSITY not in before.atlases:
        raise InputError(f"{before.path}: has no atlas; `anomap train ... --resume` makes it")
    config = before.config
    meant = replace(selection, modalities=config.modalities, healthy=True)
    cohort = find_said(healthy, meant)
    cases = healthy_of(cohort)
    _check_number(cases)
    transforms = CaseTransforms(config.modalities, config.grid, make_extractor(brain_extraction))
    with stage("atlas"):
        atlases, failed = _atlases(cases, before, transforms, execution)
    cases = [case for case in cases if case.name not in failed]
    _check_number(cases)
    make_folder(run)
    with locked(run):
        after = _written(before, run, atlases.whole)
        with stage("thresholds"):
            rates = _thresholds(cases, before, after, _Fitting(atlases, transforms, execution))
        _describe(run, cases)
    failed = {**cohort.incomplete, **failed}
    return FittedRun(run, tuple(case.name for case in cases), rates, failed)


def _check_number(cases: Sequence[Case]) -> None:
    if len(cases) < LEAST:
        raise InputError(
            f"{count(len(cases), 'healthy case')}; expected {LEAST} at least, better {ADVISED} or "
            "more, of people without a lesion (--healthy says that all of them are)"
        )


@dataclass(frozen=True)
class _Atlases:
    """Of all people, and of all but those of each part."""

    whole: Atlas
    without: tuple[Atlas, ...]


_Kept = dict[str, dict[str, Measured]]


@dataclass(frozen=True)
class _Fitting:
    atlases: _Atlases
    transforms: CaseTransforms
    execution: Execution


def _atlases(
    cases: Sequence[Case], model: Model, transforms: CaseTransforms, execution: Execution
) -> tuple[_Atlases, dict[str, str]]:
    prior = model.atlases[INTENSITY]
    n_parts = min(FOLDS, len(cases))
    parts = [AtlasBuilder(prior.extent) for _ in range(n_parts)]

    def add(numbered: tuple[int, Case]) -> None:
        number, case = numbered
        prepared = healthy_prepared(case, transforms)
        placement = placement_of(CaseWork(prepared), model, prior)
        parts[number % n_parts].add(prepared.slices.numpy(), *masks_of(prepared), placement)

    items = {case.name: (number, case) for number, case in enumerate(cases)}
    failed = each_case(items, add, description="atlas", execution=execution).failed

    def blend(among: Iterable[AtlasBuilder]) -> Atlas:
        builder = sum(among, AtlasBuilder(prior.extent))
        if not builder.n_cases:
            return prior
        own = builder.build(
            sigma_mm=smoothing_mm(builder.n_cases), min_spread=MIN_SPREAD[INTENSITY]
        )
        return blended(prior, own, PRIOR_CASES)

    without = (blend(other for other in parts if other is not part) for part in parts)
    return _Atlases(blend(parts), tuple(without)), failed


def _written(before: Model, run: Path, atlas: Atlas) -> Model:
    """The new run with its configuration, weights and atlases; the thresholds are not there yet."""
    for name in (CONFIG, WEIGHTS):
        write = functools.partial(Path.write_bytes, data=(before.path / name).read_bytes())
        write_atomically(run / name, write)
    atlases = {**before.atlases, INTENSITY: atlas}
    path = run / ATLASES
    save_atlases(path, atlases, atlases_made_for(before.config, before.weights_sha256))
    return replace(before, path=run, atlases=atlases, atlases_sha256=content_hash(path))


def _thresholds(
    cases: Sequence[Case], before: Model, after: Model, fitting: _Fitting
) -> tuple[HealthyRates, ...]:
    """Write the calibration; what it and the one before mean on these people."""
    noise, seed = after.noise, after.config.seed
    names = own_methods(after)

    def measure(people: Sequence[Case], methods: Sequence[str], model: Model) -> _Kept:
        found = measure_healthy(
            *(people, methods, {noise: model}, fitting.transforms),
            sampling=Sampling(seed, len(cases)),
            execution=fitting.execution,
        )
        if found.failed:
            raise InputError(next(iter(found.failed.values())))
        return found.done

    former = measure(cases, [OURS], before)
    measured: _Kept = {}
    n_parts = len(fitting.atlases.without)
    for part, atlas in enumerate(fitting.atlases.without):
        model = replace(after, atlases={**after.atlases, INTENSITY: atlas})
        own = [case for number, case in enumerate(cases) if number % n_parts == part]
        measured |= measure(own, names, model)
    calibration = calibration_from(measured, names, {noise: after})
    calibration.write(after.path / CALIBRATION)
    table = calibration_of(before.path).methods[OURS]
    return tuple(
        _rates(rate, table, calibration.methods[OURS], [one[OURS] for one in former.values()])
        for rate in SHOWN
    )


def _rates(
    rate: float, before: MethodCalibration, after: MethodCalibration, former: Sequence[Measured]
) -> HealthyRates:
    cut = before.threshold(rate)
    shares = [float((one.values > cut).mean()) for one in former]
    return HealthyRates(
        rate,
        float(np.mean(shares)) if shares else float("nan"),
        float(np.mean(after.left_out_rates[f"{rate:g}"])),
    )


def _describe(run: Path, cases: Sequence[Case]) -> None:
    people: Mapping[str, int] = {"validation": len(cases)}
    RunRecord(software=software(), command=command_line(), people=dict(people)).write(
        run / RunRecord.FILE
    )
    write_datalist(run / DATALIST, {"validation": list(cases)})
    record_files(run)
