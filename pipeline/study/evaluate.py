"""``anomap evaluate``: the maps of any method and labels to a table."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.cases.brain.find import find_brain
from pipeline.cases.case import Case
from pipeline.cases.extraction.choice import make_extractor
from pipeline.cases.loading import read_modalities
from pipeline.cases.loop import Execution, say_notes
from pipeline.cases.several import Paths, Selection, as_paths
from pipeline.detection.detect import notes_of_results
from pipeline.errors import InputError
from pipeline.files.case_name import case_folder
from pipeline.files.folder.lock import locked
from pipeline.files.folder.ownership import OF_SCORES, claim
from pipeline.files.images.volume import Volume
from pipeline.files.names import ANOMALY_MAP, RESULT
from pipeline.files.record.result import CaseResult, Threshold
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
        labels: cases with labels, or said to be healthy or not; one that is said not to be and has
            no label counts in the image AUROC alone.
        options: name, threshold, brain extraction.
        selection: which cases.
        execution: progress, allowed failures.

    Raises:
        InputError: ``out`` is no folder, another command is at work there, a table there is not
            ours, or no case could be scored.
    """
    folder = Path(out)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; it should hold <case>/{ANOMALY_MAP}")
    claim(folder, OF_SCORES)
    with locked(folder):
        return _evaluate(folder, labels, options, selection, execution)


def _evaluate(
    folder: Path,
    labels: Paths,
    options: EvaluateOptions,
    selection: Selection,
    execution: Execution,
) -> ScoredCohort:
    extract_brain = make_extractor(options.brain_extraction)
    cohort = find_said(labels, selection)
    method = options.method or method_of(folder)
    threshold = None
    if options.threshold is not None:
        threshold = Threshold(value=options.threshold, rule="given on the command line")

    notes: dict[str, list[str]] = {}

    def brain_mask_of(case: Case) -> Volume:
        volumes = read_modalities(case, tuple(case.images)[:1])
        brain = find_brain(case, volumes, extract_brain)
        notes[case.name] = [*volumes[0].notes, *brain.notes]
        return replace(volumes[0], data=brain.mask)

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
    for case, said in notes_of_results([folder], [row.name for row in scores.cases]).items():
        notes[case] = [*said, *notes.get(case, [])]
    by_name = {case.name: case for case in cohort.cases}
    for row in scores.cases:
        if other := _note_of_other_image(folder, by_name[row.name]):
            notes.setdefault(row.name, []).append(other)
    say_notes(notes, RESULT)
    summary = write_results(folder, {method: scores}, name, cohort.cases)
    return ScoredCohort(summary, {**cohort.incomplete, **scores.failures})


def _note_of_other_image(folder: Path, case: Case) -> str:
    """That a map was made from another image than the labels go with; "" where it was not."""
    result = CaseResult.of(case_folder(folder, case.name))
    made = result.provenance if result is not None else None
    for file in made.inputs if made is not None else ():
        image = case.images.get(file.role)
        if image is not None and file.sha256 is not None and not file.holds(image.path):
            return (
                f"its map was made from another file than {image.path.name} of the labels' folder, "
                "by the content: is it of the same person?"
            )
    return ""
