"""``anomap benchmark``: methods x cohort to one table, on the same cases, grid and brain mask."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.cases.case import Case
from pipeline.cases.extraction.choice import make_extractor
from pipeline.cases.loading import check_same_grid
from pipeline.cases.loop import Execution, Failures, say_notes
from pipeline.cases.several import Paths, Selection, as_paths
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.detect import detect_cases, notes_of_results
from pipeline.detection.detector import Detector, make_detector
from pipeline.detection.methods.choice import runnable, select_methods
from pipeline.errors import InputError
from pipeline.figures.cases import benchmark_figures
from pipeline.files.case_name import case_folder
from pipeline.files.folder.lock import locked
from pipeline.files.folder.ownership import OF_PICTURES, OF_SCORES, claim
from pipeline.files.names import MAPS, RESULT
from pipeline.files.record.calibration import Calibration
from pipeline.files.record.summary import Summary
from pipeline.run.config import RunConfig
from pipeline.run.locate import run_folder, shipped_run
from pipeline.run.model import Model, load_model, usable_device
from pipeline.scores.evaluate import MethodScores, Scoring, evaluate_folder
from pipeline.scores.tables import write_results
from pipeline.study.completion import complete_calibration
from pipeline.study.people import models_by_noise, seen_before
from pipeline.study.selection import (
    check_modalities,
    find_beside,
    find_said,
    healthy_of,
    with_modality,
)

logger = logging.getLogger(__name__)

WHICH_MODALITY = "say which modality to compare on: --modality flair, t1, t1ce, t2 or image"


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is compared.

    Attributes:
        models: runs or bundles, of noises that differ; none takes weights that come with anomap.
        methods: names, ``all``, ``ladder``, or None for the default ones.
        calibrate_on: healthy cases for all thresholds, instead of those that the run kept for it.
        false_positive_rate: share of healthy voxels above the threshold; None takes the run's.
        brain_extraction: a name in `EXTRACTORS`, for heads that are not skull-stripped.
        seed: of noise and bootstrap.
        cohort: its name in tables; None takes the paths.
    """

    models: Paths = ()
    methods: str | Sequence[str] | None = None
    calibrate_on: Path | None = None
    false_positive_rate: float | None = None
    brain_extraction: str | None = None
    seed: int = 0
    cohort: str | None = None


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark found.

    Attributes:
        summary: as in ``summary.json``.
        pictures: a page of cases, None where no case could be drawn.
        failed: case, or path without one -> reason.
    """

    summary: Summary
    pictures: Path | None
    failed: dict[str, str] = field(default_factory=dict)


def benchmark(
    data: Paths,
    out: Path | str,
    *,
    options: BenchmarkOptions = BenchmarkOptions(),
    selection: Selection = Selection(),
    execution: Execution = Execution(),
) -> Benchmark:
    """Run methods on cases, score them against the labels, and draw some cases.

    Leaves ``maps/<method>/<case>/`` (see `detect`), and the tables and pictures beside. Cases that
    are done are not run again.

    Args:
        data: cohorts, case folders or datalists. A case that is said not to be healthy and has no
            label counts in the image AUROC alone.
        out: a folder.
        options: models, methods, thresholds.
        selection: which cases; its modalities are needed, but of pictures.
        execution: progress, device, allowed failures, finished cases again or not.

    Raises:
        InputError: no modality, no method or case left, models that cannot be compared, or a folder
            where another command is at work or that holds tables that are not ours.
    """
    claim(Path(out), (*OF_SCORES, *OF_PICTURES))
    selection = with_modality(data, selection, WHICH_MODALITY)
    contest = _contest(options, selection, execution.device)
    meant = replace(selection, modalities=contest.config.modalities)
    cohort = find_said(data, meant)
    _warn_of_leaks(cohort.cases, contest.models)
    healthy = None
    if options.calibrate_on is not None:
        healthy = healthy_of(find_beside(options.calibrate_on, replace(meant, healthy=True)))
    name = options.cohort or ", ".join(str(path) for path in as_paths(data))
    with locked(Path(out)):
        calibration = complete_calibration(
            contest.models,
            contest.names,
            contest.transforms,
            healthy=healthy,
            seed=options.seed,
            execution=execution,
        )
        scored = compare(cohort.cases, contest, calibration, Path(out), name, execution=execution)
    return replace(scored, failed={**cohort.incomplete, **scored.failed})


@dataclass(frozen=True)
class Contest:
    """Methods that are compared, and how.

    Attributes:
        models: by the noise that they restore from.
        names: of the methods.
        transforms: from a case to the working grid.
        false_positive_rate: of the thresholds.
        seed: of noise and bootstrap.
    """

    models: Mapping[str, Model]
    names: Sequence[str]
    transforms: CaseTransforms
    false_positive_rate: float
    seed: int = 0

    @property
    def config(self) -> RunConfig:
        """Of the first run."""
        return next(iter(self.models.values())).config


def _contest(options: BenchmarkOptions, selection: Selection, device: str | None) -> Contest:
    """Load the models, and keep the methods that they can do; why others cannot is logged."""
    names = select_methods(options.methods)
    folders = [run_folder(path) for path in as_paths(options.models)]
    folders = folders or [shipped_run(selection.modalities or ())]
    models = models_by_noise([load_model(path, usable_device(device)) for path in folders])
    names, left_out = runnable(names, models)
    for name, reason in left_out.items():
        logger.warning("left out: %s: %s", name, reason)
    if not names:
        raise InputError("no method is left to run")
    config = next(iter(models.values())).config
    check_modalities(selection, config.modalities, folders[0])
    extract_brain = make_extractor(options.brain_extraction)
    transforms = CaseTransforms(config.modalities, config.grid, extract_brain)
    rate = options.false_positive_rate
    if rate is None:
        rate = config.detection.false_positive_rate
    return Contest(models, names, transforms, rate, options.seed)


def _warn_of_leaks(cases: Sequence[Case], models: Mapping[str, Model]) -> None:
    if seen := seen_before(cases, models):
        logger.warning(
            "warning: %d of %d cases were used to train or calibrate a model (%s, ...): their "
            "numbers say nothing about new people",
            len(seen),
            len(cases),
            ", ".join(seen[:3]),
        )


def compare(
    cases: Sequence[Case],
    contest: Contest,
    calibration: Calibration,
    out: Path,
    cohort_name: str,
    *,
    execution: Execution = Execution(),
) -> Benchmark:
    """Run the methods of a contest on cases, score and draw them; see `benchmark`.

    Raises:
        InputError: no case could be processed.
    """
    unusable = _bad_labels(cases, contest.config.modalities[0], execution.max_failures)
    usable = _not_failed(cases, unusable)
    folders = {name: case_folder(out / MAPS, name) for name in contest.names}
    failed = detect_cases(
        usable,
        _detectors(contest, calibration),
        contest.transforms,
        folders,
        description="benchmark",
        execution=execution,
    )
    good = _not_failed(usable, failed)
    failed |= unusable
    if not good:
        raise InputError(f"no case could be processed; the first: {next(iter(failed.values()))}")
    scoring = Scoring(seed=contest.seed)
    scores: dict[str, MethodScores] = {}
    for name, folder in folders.items():
        scores[name] = evaluate_folder(
            folder, good, method=name, scoring=scoring, execution=execution
        )
        failed |= scores[name].failures
    say_notes(notes_of_results(folders.values(), [case.name for case in good]), RESULT)
    summary = write_results(out, scores, cohort_name, good)
    pictures, not_drawn = benchmark_figures(out, _not_failed(good, failed))
    return Benchmark(summary, pictures, failed | not_drawn)


def _not_failed(cases: Sequence[Case], failed: Mapping[str, str]) -> list[Case]:
    """The cases that did not fail."""
    return [case for case in cases if case.name not in failed]


def _detectors(contest: Contest, calibration: Calibration) -> dict[str, Detector]:
    """Every method of a contest with its threshold."""
    return {
        name: make_detector(
            name,
            contest.models,
            calibration,
            false_positive_rate=contest.false_positive_rate,
            seed=contest.seed,
        )
        for name in contest.names
    }


def _bad_labels(cases: Sequence[Case], modality: str, max_failures: int | None) -> dict[str, str]:
    """Case name -> reason where label and image do not fit; found before any network runs."""
    failures = Failures(max_failures)
    for case in cases:
        if case.label is not None and modality in case.images:
            with failures.catching(case.name):
                check_same_grid(case.label, case.images[modality])
    return failures.reasons
