"""Maps and labels to scores: any method's ``anomaly.nii.gz`` in, cases.csv and summary.json out."""

from __future__ import annotations

import contextlib
import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cases.case import Case
from pipeline.cases.labels import label_regions
from pipeline.cases.listing import write_datalist
from pipeline.cases.loop import Execution, each_case
from pipeline.errors import InputError
from pipeline.files.names import (
    ANOMALY_MAP,
    ANOMALY_MASK,
    BRAIN_MASK,
    CASE_SCORES,
    CURVES,
    DATALIST,
    RESULT,
    SUMMARY,
    TABLE,
    TABLE_CSV,
)
from pipeline.files.nifti import (
    Volume,
    grid_difference,
    is_picture,
    read_labels,
    read_volume_or_zeros,
    write_text,
)
from pipeline.files.provenance import command_line, software
from pipeline.files.record.result import CaseResult, Threshold
from pipeline.files.record.summary import (
    Curve,
    Curves,
    MadeBy,
    Mean,
    MethodSummary,
    Pooled,
    Region,
    Stratum,
    Summary,
)
from pipeline.scores.metrics import (
    METRICS,
    Interval,
    ScoredCase,
    ScoreHistogram,
    auroc,
    bootstrap_auroc,
    bootstrap_ci,
    slice_scores,
    top_mean,
)

NO_THRESHOLD = Threshold()
SIZES_ML = {"<10 mL": (0.0, 10.0), "10-50 mL": (10.0, 50.0), ">50 mL": (50.0, math.inf)}
"""Strata of whole-tumour volume, the lower end included."""


STATED = ("p_value", "evaluations_per_slice", "seconds")
"""Numbers of a case that its ``result.json`` may state."""


@dataclass(frozen=True)
class CaseScores:
    """Everything about one case that a summary needs.

    Attributes:
        name, subject: as in its `Case`.
        healthy: True where it has no lesion.
        score: `top_mean` of the map in the brain; the higher, the more anomalous the case.
        lesion_ml: whole tumour, brain mask or not; ``lesion_outside_ml``: the part that the brain
            mask leaves out, and which no metric therefore sees.
        brain_ml: volume of the brain mask.
        values: every entry of `METRICS`, NaN where undefined.
        slice_scores, slice_lesion: of `metrics.slice_scores`.
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


@dataclass(frozen=True)
class MethodScores:
    """One method on a cohort.

    Attributes:
        method: its name.
        cases: those that could be scored, in order; ``failures``: name to reason of the others.
        pooled: brain voxels of all scored cases, the healthy ones included.
        threshold: of the masks; value None where cases differ or nothing is said.
        seed: of the bootstrap.
    """

    method: str
    cases: tuple[CaseScores, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    pooled: ScoreHistogram = field(default_factory=ScoreHistogram.empty)
    threshold: Threshold = NO_THRESHOLD
    seed: int = 0


# --- one case ------------------------------------------------------------------------------------


def score_case(
    scored: ScoredCase,
    *,
    name: str,
    subject: str = "",
    **stated: float,
) -> CaseScores:
    """Apply every entry of `METRICS` to a case.

    Args:
        stated: what the method says of itself, see `STATED`.
    """
    lesion = scored.regions["whole_tumour"]
    outside = np.count_nonzero(lesion & ~scored.brain_mask)
    of_slices = slice_scores(scored.anomaly_map, lesion, scored.brain_mask, scored.affine)
    return CaseScores(
        name=name,
        subject=subject,
        healthy=scored.healthy,
        score=top_mean(scored.scores),
        lesion_ml=float(np.count_nonzero(lesion) * scored.voxel_ml),
        lesion_outside_ml=float(outside * scored.voxel_ml),
        brain_ml=scored.scores.size * scored.voxel_ml,
        values={key: float(metric(scored)) for key, metric in METRICS.items()},
        slice_scores=of_slices[0],
        slice_lesion=of_slices[1],
        **stated,
    )


def evaluate_folder(
    out_dir: Path,
    cases: Sequence[Case],
    *,
    method: str = "anomap",
    threshold: Threshold | None = None,
    brain_mask_of: Callable[[Case], np.ndarray] | None = None,
    seed: int = 0,
    execution: Execution = Execution(),
) -> MethodScores:
    """Score the maps of one method; a case that cannot be scored is a failure, the others go on.

    Args:
        out_dir: holds ``<case>/anomaly.nii.gz`` on the label's grid and, where the method writes
            them, ``mask.nii.gz`` (what it calls lesion), ``brain_mask.nii.gz``, ``result.json``.
        cases: with a label, or marked healthy.
        threshold: cuts the maps; None takes that of each ``result.json``. A ``mask.nii.gz`` stands
            for the cut map unless ``result.json`` names another threshold than this one.
        brain_mask_of: bool ``(X, Y, Z)`` on the map's grid, for cases without a mask file.
        seed: of the bootstrap.

    Raises:
        InputError: ``out_dir`` is no folder.
    """
    if not out_dir.is_dir():
        raise InputError(f"{out_dir}: no such folder; it should hold <case>/anomaly.nii.gz")
    pooled = ScoreHistogram.empty()

    def score(case: Case) -> tuple[CaseScores, Threshold]:
        nonlocal pooled
        result = CaseResult.of(out_dir / case.name) or CaseResult()
        scored, used = _load(out_dir / case.name, case, result, threshold, brain_mask_of)
        stated = {key: _number(getattr(result, key)) for key in STATED}
        scores = score_case(scored, name=case.name, subject=case.subject, **stated)
        pooled += ScoreHistogram.of(scored.scores, scored.lesion)
        return scores, used

    by_name = {case.name: case for case in cases}
    outcomes = each_case(by_name, score, description=f"score {method}", execution=execution)
    return MethodScores(
        method,
        tuple(scores for scores, _ in outcomes.done.values()),
        outcomes.failed,
        pooled,
        _common(threshold, [used for _, used in outcomes.done.values()]),
        seed,
    )


def _load(
    folder: Path,
    case: Case,
    result: CaseResult,
    threshold: Threshold | None,
    brain_mask_of: Callable[[Case], np.ndarray] | None,
) -> tuple[ScoredCase, Threshold]:
    anomaly_map = _read_map(folder / ANOMALY_MAP)
    regions, uncounted = _read_regions(case, anomaly_map)
    brain_mask = _read_brain(folder, case, anomaly_map, brain_mask_of) & ~uncounted
    mask, used = _read_mask(folder, anomaly_map, threshold, _stored_threshold(result))
    return ScoredCase(anomaly_map.data, brain_mask, regions, anomaly_map.affine, mask), used


def _read_map(path: Path) -> Volume:
    if not path.is_file():
        raise InputError(f"{path}: no such map; run the method on this case first")
    return read_volume_or_zeros(path)


def _read_regions(case: Case, anomaly_map: Volume) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The regions, and labelled voxels that are no tumour (a resection cavity): left out."""
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
    raise InputError(f"{case.name}: no lesion label, and nothing says that the case is healthy")


def _read_brain(
    folder: Path,
    case: Case,
    anomaly_map: Volume,
    brain_mask_of: Callable[[Case], np.ndarray] | None,
) -> np.ndarray:
    path = folder / BRAIN_MASK
    if path.is_file():
        volume = read_labels(path)
        _check_grid(anomaly_map, volume)
        brain_mask = volume.data > 0
    elif brain_mask_of is not None:
        brain_mask = np.asarray(brain_mask_of(case)) > 0
        if brain_mask.shape != anomaly_map.data.shape:
            raise InputError(
                f"{anomaly_map.path}: shape {anomaly_map.data.shape}, but the brain mask of "
                f"{case.name} has {brain_mask.shape}; write the map on the grid of its image"
            )
    else:
        raise InputError(f"{path}: no brain mask; write one beside the map")
    if not brain_mask.any():
        raise InputError(f"{case.name}: the brain mask is empty, so no voxel counts")
    return brain_mask


def _read_mask(
    folder: Path, anomaly_map: Volume, threshold: Threshold | None, stored: Threshold | None
) -> tuple[np.ndarray | None, Threshold]:
    path = folder / ANOMALY_MASK
    used = threshold or stored or NO_THRESHOLD
    if path.is_file() and (stored is None or stored.value == used.value):
        volume = read_labels(path)
        _check_grid(anomaly_map, volume)
        return volume.data > 0, used if used.rule else Threshold(rule=path.name)
    if used.value is None:
        return None, used
    return anomaly_map.data > used.value, used


def _check_grid(anomaly_map: Volume, other: Volume) -> None:
    """Raise InputError unless both lie on one grid."""
    difference = grid_difference(anomaly_map, other)
    if difference:
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
    for path in sorted(out_dir.glob(f"*/{RESULT}")):
        with contextlib.suppress(InputError):
            if method := CaseResult.read(path).method:
                return method
    return out_dir.resolve().name


# --- a cohort ------------------------------------------------------------------------------------


def summarise(methods: Mapping[str, MethodScores], cohort_name: str) -> Summary:
    """The content of summary.json: numbers, and None where undefined.

    Means over cases have an interval. ``dice_oracle`` takes each case's own
    best threshold; ``pooled.dice_oracle`` one for all voxels of all cases. ``image_auroc``,
    ``slice_auroc`` and ``healthy_fp_ml`` are plain numbers.
    """
    scored = {case.name for method in methods.values() for case in method.cases}
    return Summary(
        cohort=cohort_name,
        n_cases=len(scored),
        methods={name: _summarise_method(method) for name, method in methods.items()},
        made_by=MadeBy(command=command_line(), software=software()),
    )


def _summarise_method(method: MethodScores) -> MethodSummary:
    cases = method.cases
    means = {
        key: bootstrap_ci(_column(cases, key), seed=method.seed)
        for key in METRICS
        if key != "threshold_oracle"
    }
    regions = {
        "whole_tumour": Region(
            auroc=_mean_of(means["auroc"]), sensitivity=_mean_of(means["sensitivity"])
        ),
        **{
            region: Region(
                auroc=_mean_of(means.pop(f"{region}_auroc")),
                sensitivity=_mean_of(means.pop(f"{region}_sensitivity")),
            )
            for region in ("tumour_core", "enhancing")
        },
    }
    healthy_fp_ml = _mean_of(means.pop("healthy_fp_ml"))
    image = _mean_of(
        bootstrap_auroc(
            np.array([case.score for case in cases]),
            np.array([not case.healthy for case in cases], dtype=bool),
            seed=method.seed,
        )
    )
    dice_oracle, threshold_oracle = method.pooled.best_dice()
    metrics: dict[str, Any] = {key: _mean_of(interval) for key, interval in means.items()}
    return MethodSummary(
        **metrics,
        threshold=method.threshold,
        image_auroc=image.mean,
        image_auroc_ci95=image.ci95,
        slice_auroc=_known(_slice_auroc(cases)),
        healthy_fp_ml=healthy_fp_ml.mean,
        healthy_fp_ml_ci95=healthy_fp_ml.ci95,
        pooled=Pooled(
            auroc=_known(method.pooled.auroc),
            auprc=_known(method.pooled.auprc),
            dice_oracle=_known(dice_oracle),
            threshold_oracle=_known(threshold_oracle),
        ),
        regions=regions,
        by_size={name: _stratum(cases, *ends) for name, ends in SIZES_ML.items()},
        n_healthy=sum(case.healthy for case in cases),
        n_tumour=sum(not case.healthy for case in cases),
        failed=dict(method.failures),
        evaluations_per_slice=_known(_mean(case.evaluations_per_slice for case in cases)),
        seconds_per_case=_known(_mean(case.seconds for case in cases)),
    )


def _column(cases: Sequence[CaseScores], key: str) -> np.ndarray:
    return np.array([case.values[key] for case in cases], dtype=np.float64)


def _mean(values: Iterable[float]) -> float:
    """Mean of the finite values, NaN of none."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _slice_auroc(cases: Sequence[CaseScores]) -> float:
    if not cases:
        return math.nan
    scores = np.concatenate([case.slice_scores for case in cases])
    return auroc(scores, np.concatenate([case.slice_lesion for case in cases]))


def _stratum(cases: Sequence[CaseScores], low_ml: float, high_ml: float) -> Stratum:
    """Count and means of the tumour cases with a volume in [low, high)."""
    own = [case for case in cases if not case.healthy and low_ml <= case.lesion_ml < high_ml]
    return Stratum(
        n=len(own),
        dice_oracle=_known(_mean(_column(own, "dice_oracle"))),
        dice_at_threshold=_known(_mean(_column(own, "dice_at_threshold"))),
        auprc=_known(_mean(_column(own, "auprc"))),
    )


def _mean_of(interval: Interval) -> Mean:
    ends = _known(interval.low), _known(interval.high)
    return Mean(mean=_known(interval.mean), ci95=None if ends == (None, None) else ends)


def _known(value: float) -> float | None:
    """A number that JSON can hold; None for any other."""
    return float(value) if math.isfinite(value) else None


# --- files and tables ----------------------------------------------------------------------------

COLUMNS: dict[str, Callable[[MethodSummary], Mean]] = {
    "AUROC": lambda method: method.means["auroc"],
    "AUPRC": lambda method: method.means["auprc"],
    "Dice oracle": lambda method: method.means["dice_oracle"],
    "Dice at threshold": lambda method: method.means["dice_at_threshold"],
    "image AUROC": lambda m: Mean(mean=m.image_auroc, ci95=m.image_auroc_ci95),
    "slice AUROC": lambda method: Mean(mean=method.slice_auroc),
    "healthy FP mL": lambda m: Mean(mean=m.healthy_fp_ml, ci95=m.healthy_fp_ml_ci95),
    "pooled AUPRC": lambda method: Mean(mean=method.pooled.auprc),
    "pooled Dice": lambda method: Mean(mean=method.pooled.dice_oracle),
    "NFE/slice": lambda method: Mean(mean=method.evaluations_per_slice),
    "s/case": lambda method: Mean(mean=method.seconds_per_case),
}
"""Heading of the table to the number in a method's summary, with its interval."""


def write_results(
    out_dir: Path,
    methods: Mapping[str, MethodScores],
    cohort_name: str,
    cases: Sequence[Case] = (),
) -> Summary:
    """Write what a table and a report need; return the summary.

    ``cases.csv`` (a row a method and case), ``table.md``, ``table.csv``, ``summary.json``,
    ``curves.json`` and, where the cases are given, ``datalist.json``: where their images and labels
    lie.

    Raises:
        InputError: the folder cannot be written to.
    """
    summary = summarise(methods, cohort_name)
    rows = [row for name, method in methods.items() for row in _case_rows(name, method)]
    write_text(out_dir / CASE_SCORES, _csv(_CASE_COLUMNS, rows))
    curves(methods).write(out_dir / CURVES)
    if cases:
        write_datalist(out_dir / DATALIST, {"test": cases})
    write_text(out_dir / TABLE, format_table(summary))
    write_text(out_dir / TABLE_CSV, format_csv(summary))
    summary.write(out_dir / SUMMARY)
    return summary


def curves(methods: Mapping[str, MethodScores]) -> Curves:
    """The curves of each method over the brain voxels of all cases; empty where undefined."""
    return Curves(methods={name: _curve(method.pooled) for name, method in methods.items()})


def _curve(pooled: ScoreHistogram) -> Curve:
    def rounded(values: np.ndarray) -> tuple[float, ...]:
        return tuple(round(float(value), 5) for value in values)

    fpr, tpr = map(rounded, pooled.roc_curve())
    recall, ppv = map(rounded, pooled.precision_recall_curve())
    return Curve(fpr=fpr, tpr=tpr, recall=recall, precision=ppv)


_FACTS = ("subject", "healthy", "score", "lesion_ml", "lesion_outside_ml", "brain_ml")
_CASE_COLUMNS = ("method", "case", *_FACTS, *METRICS, *STATED, "error")


def _case_rows(name: str, method: MethodScores) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"method": name, "case": case.name, **case.values}
        | {key: getattr(case, key) for key in (*_FACTS, *STATED)}
        for case in method.cases
    ]
    failed = method.failures.items()
    return rows + [{"method": name, "case": case, "error": reason} for case, reason in failed]


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Comma-separated text; numbers that are not finite, and missing ones, are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return value


def table_rows(summary: Summary) -> list[dict[str, Any]]:
    """One row a method: its name, then the mean of every column of `COLUMNS`, None if undefined."""
    rows = []
    for name, method in summary.methods.items():
        row: dict[str, Any] = {"Method": name}
        for heading, value_of in COLUMNS.items():
            value = value_of(method)
            row[heading] = value.mean
            if heading == "AUROC":
                row["AUROC low"], row["AUROC high"] = value.ci95 or (None, None)
        rows.append(row)
    return rows


def format_csv(summary: Summary) -> str:
    """The content of table.csv."""
    columns = ["Method", *COLUMNS]
    columns[2:2] = ["AUROC low", "AUROC high"]
    return _csv(columns, table_rows(summary))


def format_table(summary: Summary) -> str:
    """The content of table.md: one markdown row a method, a dash where undefined."""
    headings = ["Method", *("AUROC [95 % CI]" if name == "AUROC" else name for name in COLUMNS)]
    lines = [headings, ["---", *("---:" for _ in COLUMNS)]]
    for row in table_rows(summary):
        cells = [pretty(name, row[name]) for name in COLUMNS]
        if row["AUROC low"] is not None:
            cells[0] += f" [{row['AUROC low']:.3f}, {row['AUROC high']:.3f}]"
        lines.append([row["Method"], *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def pretty(heading: str, value: float | None) -> str:
    """A number of the column ``heading`` as text, a dash where undefined."""
    if value is None:
        return "-"
    if heading not in ("healthy FP mL", "NFE/slice", "s/case"):
        return f"{value:.3f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
