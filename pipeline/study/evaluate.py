"""``anomap evaluate``: the maps of any method and labels to a table."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.cases.brain_extraction import make_extractor
from pipeline.cases.case import Case
from pipeline.cases.loading import load_brain
from pipeline.cases.loop import Execution
from pipeline.cases.several import Paths, Selection, as_paths
from pipeline.errors import InputError
from pipeline.files.names import ANOMALY_MAP
from pipeline.files.nifti import make_folder
from pipeline.files.record.result import Threshold
from pipeline.files.record.summary import Summary
from pipeline.scores.evaluate import Scoring, evaluate_folder, method_of
from pipeline.scores.tables import write_results
from pipeline.study.selection import find_said


@dataclass(frozen=True)
class EvaluateOptions:
    """How maps are scored.

    Attributes:
        method: its name in the table; None takes what the maps say.
        threshold: that the maps are cut at; None takes that of each ``result.json``.
        brain_extraction: a name in `EXTRACTORS`, for cases without a brain mask beside the map.
        seed: of the bootstrap.
    """

    method: str | None = None
    threshold: float | None = None
    brain_extraction: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise InputError(f"--threshold {self.threshold}: expected a finite number")


@dataclass(frozen=True)
class ScoredCohort:
    """Scores, and what could not be scored.

    Attributes:
        summary: as in ``summary.json``.
        failed: case -> reason.
    """

    summary: Summary
    failed: dict[str, str] = field(default_factory=dict)


def evaluate(
    out: Path | str,
    labels: Paths,
    *,
    options: EvaluateOptions = EvaluateOptions(),
    selection: Selection = Selection(),
    execution: Execution = Execution(),
) -> ScoredCohort:
    """Score the maps of one method, whoever made them, against labels.

    Args:
        out: holds ``<case>/anomaly.nii.gz`` on the grid of the case's image; gets ``table.md``,
            ``table.csv``, ``cases.csv``, ``summary.json``, ``curves.json``, ``datalist.json``.
        labels: cases with labels, or marked healthy.
        options: name, threshold, brain extraction.
        selection: which cases.
        execution: progress, allowed failures.

    Raises:
        InputError: ``out`` is no folder, or no case could be scored.
    """
    folder = Path(out)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; it should hold <case>/{ANOMALY_MAP}")
    extract_brain = make_extractor(options.brain_extraction)
    make_folder(folder)
    cohort = find_said(labels, selection)
    method = options.method or method_of(folder)
    threshold = None
    if options.threshold is not None:
        threshold = Threshold(value=options.threshold, rule="given on the command line")

    def brain_mask_of(case: Case) -> np.ndarray:
        return load_brain(case, tuple(case.images)[:1], extract_brain)[1]

    scores = evaluate_folder(
        folder,
        cohort.cases,
        method=method,
        scoring=Scoring(threshold, brain_mask_of, options.seed),
        execution=execution,
    )
    name = ", ".join(str(path) for path in as_paths(labels))
    if not scores.cases:
        first = next(iter(scores.failures.values()))
        raise InputError(f"no case of {name} could be scored; the first: {first}")
    summary = write_results(folder, {method: scores}, name, cohort.cases)
    return ScoredCohort(summary, dict(scores.failures))
