"""``anomap detect``: scans to maps, masks and pseudo-healthy images, with weights that fit."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.cases.extraction.choice import AUTO, make_extractor
from pipeline.cases.loop import Execution, of_part, say_notes
from pipeline.cases.several import Paths, Selection, find_all
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.detect import DetectedCases, detect_cases, notes_of_results
from pipeline.detection.detector import make_network_detector
from pipeline.detection.fitness import check_for_shipped
from pipeline.detection.methods.table import OURS
from pipeline.errors import InputError, NamelessError
from pipeline.files.folder.ownership import claim
from pipeline.files.names import DICOM_CASES, RESULT, RESULTS_TABLE
from pipeline.run.finished import calibration_of
from pipeline.run.locate import is_shipped, run_folder, shipped_run
from pipeline.run.model import Model, load_model, usable_device
from pipeline.run.words import SHIPPED
from pipeline.stages import stage
from pipeline.study.contrast import told_contrast
from pipeline.study.follow.table import write_results_table
from pipeline.study.intake import take_in
from pipeline.study.selection import check_modalities, find_said

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DetectOptions:
    """With what is detected.

    Attributes:
        model: a run, a bundle, its zip, or a name of weights that come with anomap; None takes
            those for the modality of the scans.
        false_positive_rate: share of healthy voxels above the threshold; None takes the run's.
        any_scan: do not refuse scans that look unlike what shipped weights were made for.
        any_scan_hint: end of the message of such a refusal: how to detect all the same.
        brain_extraction: a name in `EXTRACTORS`, for heads that are not skull-stripped.
        seed: of the noise.
    """

    model: Path | str | None = None
    false_positive_rate: float | None = None
    any_scan: bool = False
    any_scan_hint: str = "--any-scan detects all the same"
    brain_extraction: str | None = AUTO
    seed: int = 0


def detect(
    data: Paths,
    out: Path | str,
    *,
    options: DetectOptions = DetectOptions(),
    selection: Selection = Selection(),
    execution: Execution = Execution(),
) -> DetectedCases:
    """Make anomaly map, mask and pseudo-healthy image of each case, on its own grid.

    Args:
        data: scans, case folders, cohorts or datalists; and DICOM studies (folders, zips, files),
            which are converted into ``dicom/<case>/`` of ``out`` first.
        out: gets ``<case>/`` with ``anomaly.nii.gz`` (>= 0, higher = more anomalous),
            ``mask.nii.gz``, ``pseudo_healthy.nii.gz``, ``brain_mask.nii.gz``, ``result.json``,
            ``findings.csv``; and ``results.csv``, a row for each case (not by one part of several:
            repeat the command without parts, which finds all done).
        options: weights and threshold.
        selection: which cases.
        execution: progress, device, allowed failures, finished cases again or not.

    Raises:
        InputError: no case, no weights that fit, or a folder that cannot be written to.
    """
    claim(Path(out))
    taken = take_in(data, Path(out) / DICOM_CASES, selection=selection, execution=execution)
    try:
        run = _run_of(taken.paths, options, selection)
    except NamelessError as error:
        told = told_contrast(error, make_extractor(options.brain_extraction))
        selection = replace(selection, modalities=(told,))
        run = shipped_run(selection.modalities or ())
    with stage("weights"):
        model = load_model(run, usable_device(execution.device))
    detected = detect_with(
        model, taken.paths, out, options=options, selection=selection, execution=execution
    )
    return replace(detected, failed={**taken.failed, **detected.failed})


def detect_with(
    model: Model,
    data: Paths,
    out: Path | str,
    *,
    options: DetectOptions = DetectOptions(),
    selection: Selection = Selection(),
    execution: Execution = Execution(),
) -> DetectedCases:
    """As `detect`, with a network that is loaded already; ``options.model`` is not looked at."""
    claim(Path(out), (RESULTS_TABLE,))
    config = model.config
    check_modalities(selection, config.modalities, model.path)
    cohort = find_said(data, replace(selection, modalities=config.modalities))
    detector = make_network_detector(
        OURS,
        model,
        calibration_of(model.path),
        false_positive_rate=options.false_positive_rate,
        seed=options.seed,
    )
    if is_shipped(model.path) and not options.any_scan:
        detector = replace(detector, check=check_for_shipped(model, options.any_scan_hint))
    extract_brain = make_extractor(options.brain_extraction)
    cases = of_part(sorted(cohort.cases, key=lambda case: case.name), execution)
    failed = detect_cases(
        cases,
        {OURS: detector},
        CaseTransforms(config.modalities, config.grid, extract_brain),
        {OURS: Path(out)},
        execution=execution,
    )
    if execution.part[1] == 1:
        write_results_table(Path(out))
    done = tuple(case.name for case in cases if case.name not in failed)
    say_notes(notes_of_results([Path(out)], done), RESULT)
    return DetectedCases(Path(out), done, {**cohort.incomplete, **failed})


def _run_of(data: Paths, options: DetectOptions, selection: Selection) -> Path:
    """The run folder of the weights that are named, or that fit the scans.

    Raises:
        InputError: there are none, or the cases have no modality in common.
    """
    if options.model is not None:
        return run_folder(Path(options.model))
    if selection.modalities:
        return shipped_run(selection.modalities)
    common = [set(case.images) for case in find_all(data, selection).cases]
    at_hand = set.intersection(*common)
    if not at_hand:
        raise InputError(
            "the cases have no modality in common: say which with --modality, or give them in "
            "separate commands"
        )
    run = shipped_run(sorted(at_hand))
    if len(at_hand) > 1:
        used = next(modality for modality in SHIPPED if modality in at_hand)
        names = ", ".join(sorted(at_hand))
        logger.warning("note: of %s %s is used; --modality takes another", names, used)
    return run
