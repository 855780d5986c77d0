"""A folder of maps, from any method, and the labels to scores of every case."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pipeline.cases.case import Case
from pipeline.cases.labels import label_regions
from pipeline.cases.loop import Apart, Execution, each_case
from pipeline.errors import InputError, printable
from pipeline.files.case_name import case_folder
from pipeline.files.images.formats import is_picture
from pipeline.files.images.reading import read_labels, read_mask, read_volume_or_zeros
from pipeline.files.images.volume import Volume, grid_difference
from pipeline.files.names import ANOMALY_MAP, ANOMALY_MASK, BRAIN_MASK, RESULT
from pipeline.files.record.result import CaseResult, Threshold
from pipeline.scores.case_metrics import METRICS, ScoredCase, slice_scores, top_mean
from pipeline.scores.histogram import ScoreHistogram

NO_THRESHOLD = Threshold()


@dataclass(frozen=True)
class CaseScores:
    """Everything about one case that a summary needs.

    Attributes:
        name, subject: as in its `Case`.
        healthy: True where it has no lesion.
        is_marked: whether its voxels are known to be lesion or not; else it is known to be ill, and
            its score alone counts.
        score: `top_mean` of the map in the brain; the higher, the more anomalous the case.
        lesion_ml: whole tumour, brain mask or not; ``lesion_outside_ml``: the part that the brain
            mask leaves out, and which no metric therefore sees. NaN where it is not marked.
        brain_ml: volume of the brain mask; volumes of a picture are NaN.
        values: every entry of `METRICS`, NaN where undefined.
        slice_scores, slice_lesion: ``(n,)`` float64 and bool, of `case_metrics.slice_scores`.
        p_value: of the case against healthy ones, NaN where the method does not say.
        evaluations_per_slice, seconds: what the method spent, NaN likewise.
    """

    name: str
    subject: str
    healthy: bool
    score: float
    lesion_ml: float
    lesion_outside_ml: float
    brain_ml: float
    values: Mapping[str, float]
    slice_scores: np.ndarray
    slice_lesion: np.ndarray
    p_value: float = math.nan
    evaluations_per_slice: float = math.nan
    seconds: float = math.nan
    is_marked: bool = True


@dataclass(frozen=True)
class MethodScores:
    """One method on a cohort.

    Attributes:
        method: its name.
        cases: those that could be scored, in order; ``failures``: name to reason of the others.
        pooled: brain voxels of all scored cases that are marked or healthy.
        threshold: of the masks; value None where cases differ or nothing is said.
        seed: of the bootstrap.
    """

    method: str
    cases: tuple[CaseScores, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    pooled: ScoreHistogram = field(default_factory=ScoreHistogram.empty)
    threshold: Threshold = NO_THRESHOLD
    seed: int = 0


@dataclass(frozen=True)
class Scoring:
    """How maps are scored.

    Attributes:
        threshold: cuts the maps; None takes that of each ``result.json``. A ``mask.nii.gz`` stands
            for the cut map unless ``result.json`` names another threshold than this one.
        brain_mask_of: bool, on the grid of the case's image, for cases without a mask file.
        seed: of the bootstrap.
    """

    threshold: Threshold | None = None
    brain_mask_of: Callable[[Case], Volume] | None = None
    seed: int = 0


def score_case(scored: ScoredCase, case: Case, result: CaseResult) -> CaseScores:
    """Apply every entry of `METRICS` to a case; all are undefined where it is not marked.

    Args:
        scored: its volumes.
        case: says who it is.
        result: what the method states of it.
    """
    image_level = CaseScores(
        name=case.name,
        subject=case.subject,
        healthy=scored.healthy,
        score=top_mean(scored.scores),
        lesion_ml=math.nan,
        lesion_outside_ml=math.nan,
        brain_ml=scored.scores.size * scored.voxel_ml,
        values=dict.fromkeys(METRICS, math.nan),
        slice_scores=np.zeros(0),
        slice_lesion=np.zeros(0, dtype=bool),
        p_value=_number(result.p_value),
        evaluations_per_slice=_number(result.evaluations_per_slice),
        seconds=_number(result.seconds),
        is_marked=False,
    )
    scores = _with_voxels(image_level, scored) if scored.is_marked else image_level
    is_flat = any(is_picture(file.path) for file in case.images.values())
    return _without_volumes(scores) if is_flat else scores


def _without_volumes(scores: CaseScores) -> CaseScores:
    """Of a picture, of which nobody says how many millimetres a pixel has."""
    values = {k: math.nan if k.endswith("_ml") else v for k, v in scores.values.items()}
    nan = math.nan
    return replace(scores, values=values, lesion_ml=nan, lesion_outside_ml=nan, brain_ml=nan)


def _with_voxels(image_level: CaseScores, scored: ScoredCase) -> CaseScores:
    """The scores of a case with all that its marked voxels tell."""
    lesion = scored.regions["whole_tumour"]
    outside = np.count_nonzero(lesion & ~scored.brain_mask)
    scores, labels = slice_scores(scored.anomaly_map, lesion, scored.brain_mask, scored.affine)
    return replace(
        image_level,
        lesion_ml=float(np.count_nonzero(lesion) * scored.voxel_ml),
        lesion_outside_ml=float(outside * scored.voxel_ml),
        values={key: float(metric(scored)) for key, metric in METRICS.items()},
        slice_scores=scores,
        slice_lesion=labels,
        is_marked=True,
    )


_Scored = tuple[CaseScores, Threshold, ScoreHistogram]


def evaluate_folder(
    out_dir: Path,
    cases: Sequence[Case],
    *,
    method: str = "anomap",
    scoring: Scoring = Scoring(),
    execution: Execution = Execution(),
) -> MethodScores:
    """Score the maps of one method; a case that cannot be scored is a failure, the others go on.

    Args:
        out_dir: holds ``<case>/anomaly.nii.gz`` on the label's grid and, where the method writes
            them, ``mask.nii.gz`` (what it calls lesion), ``brain_mask.nii.gz``, ``result.json``.
        cases: with a label, or said to be healthy or not; one that is said not to be and has no
            label counts by its score alone.
        method: its name.

    Raises:
        InputError: ``out_dir`` is no folder.
    """
    if not out_dir.is_dir():
        raise InputError(f"{out_dir}: no such folder; it should hold <case>/anomaly.nii.gz")
    pooled = empty = ScoreHistogram.empty()

    def score(case: Case) -> _Scored:
        folder = case_folder(out_dir, case.name)
        result = CaseResult.of(folder) or CaseResult()
        scored, used = _load(folder, case, result, scoring)
        scores = score_case(scored, case, result)
        if scored.is_marked:
            return scores, used, ScoreHistogram.of(scored.scores, scored.lesion)
        return scores, used, empty

    def pool(name: str, found: _Scored) -> _Scored:
        nonlocal pooled
        scores, used, of_voxels = found
        pooled += of_voxels
        return scores, used, empty  # of many cases one histogram is kept

    by_name = {case.name: case for case in cases}
    description = f"score {method}"
    work = Apart(score, then=pool)
    outcomes = each_case(by_name, work, description=description, execution=execution)
    done = outcomes.done.values()
    return MethodScores(
        method,
        tuple(scores for scores, _, _ in done),
        outcomes.failed,
        pooled,
        _common(scoring.threshold, [used for _, used, _ in done]),
        scoring.seed,
    )


def _load(
    folder: Path, case: Case, result: CaseResult, scoring: Scoring
) -> tuple[ScoredCase, Threshold]:
    result.check_files(folder, (ANOMALY_MAP, ANOMALY_MASK, BRAIN_MASK))
    anomaly_map = _read_map(folder / ANOMALY_MAP)
    regions, uncounted = _read_regions(case, anomaly_map)
    brain_mask = _read_brain(folder, case, anomaly_map, scoring.brain_mask_of) & ~uncounted
    mask, used = _read_mask(folder, anomaly_map, scoring.threshold, _stored_threshold(result))
    return ScoredCase(anomaly_map.data, brain_mask, regions, anomaly_map.affine, mask), used


def _read_map(path: Path) -> Volume:
    if not path.is_file():
        raise InputError(f"{path}: no such map; run the method on this case first")
    return read_volume_or_zeros(path)


def _read_regions(case: Case, anomaly_map: Volume) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The regions, and labelled voxels that are no tumour (a resection cavity): left out.

    None are known of a case that is said not to be healthy and has no label.
    """
    nothing = np.zeros(anomaly_map.data.shape, dtype=bool)
    if case.label is not None:
        label = read_labels(case.label.path, case.label.channel)
        _check_grid(anomaly_map, label)
        regions = label_regions(label.data, case.label_scheme, case.label.path)
        uncounted = (label.data != 0) & ~regions["whole_tumour"]
        if uncounted.any() and not regions["whole_tumour"].any():
            raise InputError(f"{label.path}: labelled, but no tumour; the case counts as neither")
        return regions, nothing if is_picture(label.path) else uncounted
    if case.healthy:
        return {"whole_tumour": nothing}, nothing
    if case.healthy is False:
        return {}, nothing
    raise InputError(
        f"{case.name}: no lesion label, and nothing says whether the case is healthy; put it into "
        "a folder healthy/ or tumour/, or say it in a datalist"
    )


def _read_brain(
    folder: Path,
    case: Case,
    anomaly_map: Volume,
    brain_mask_of: Callable[[Case], Volume] | None,
) -> np.ndarray:
    path = folder / BRAIN_MASK
    if path.is_file():
        volume = read_mask(path)
    elif brain_mask_of is not None:
        volume = brain_mask_of(case)
    else:
        raise InputError(f"{path}: no brain mask; write one beside the map")
    _check_grid(anomaly_map, volume)
    if not volume.data.any():
        raise InputError(f"{case.name}: the brain mask is empty, so no voxel counts")
    return volume.data


def _read_mask(
    folder: Path, anomaly_map: Volume, threshold: Threshold | None, stored: Threshold | None
) -> tuple[np.ndarray | None, Threshold]:
    path = folder / ANOMALY_MASK
    used = threshold or stored or NO_THRESHOLD
    if path.is_file() and (stored is None or stored.value == used.value):
        volume = read_mask(path)
        _check_grid(anomaly_map, volume)
        return volume.data, used if used.rule else Threshold(rule=path.name)
    if used.value is None:
        return None, used
    return anomaly_map.data > used.value, used


def _check_grid(anomaly_map: Volume, other: Volume) -> None:
    """Raise InputError unless both lie on one grid."""
    if difference := grid_difference(anomaly_map, other):
        raise InputError(
            f"{anomaly_map.path} and {other.path} lie on different grids ({difference}); a map "
            "lies on its image's grid: bring label and image to one grid, or resample a foreign "
            "map (nilearn.image.resample_to_img)"
        )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _stored_threshold(result: CaseResult) -> Threshold | None:
    """That of a result; None where there is none, or the method has none."""
    stored = result.threshold
    if stored is None or stored.value is None:
        return None
    return stored if stored.rule else Threshold(value=stored.value, rule="not stated")


def _common(given: Threshold | None, used: Sequence[Threshold]) -> Threshold:
    """The threshold of a whole method."""
    if given is not None:
        return given
    if not used:
        return NO_THRESHOLD
    if all(one == used[0] for one in used):
        return used[0]
    return Threshold(rule="differs between cases")


def method_of(out_dir: Path) -> str:
    """The method that a folder of maps is from: as its results say, else the folder's name."""
    for path in sorted(out_dir.glob(f"[!.]*/{RESULT}")):
        with contextlib.suppress(InputError):
            if method := CaseResult.read(path).method:
                return method
    return printable(out_dir.resolve().name)
