"""Maps and labels to scores: any method's ``anomaly.nii.gz`` in, cases.csv and summary.json out."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from tqdm import tqdm

from pipeline.cases.cohort import Case, label_regions, write_datalist
from pipeline.errors import InputError
from pipeline.files.nifti import Volume, is_picture, read_labels, read_volume_or_zeros, write_text
from pipeline.files.provenance import command_line, software
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

DATALIST = "datalist.json"
"""Name of the file beside the scores that says where images and labels of the cases lie."""
GRID_TOLERANCE_MM = 0.1
"""Two grids are one where no corner differs by more."""
SIZES_ML = {"<10 mL": (0.0, 10.0), "10-50 mL": (10.0, 50.0), ">50 mL": (50.0, math.inf)}
"""Strata of whole-tumour volume, the lower end included."""


TOLD = ("p_value", "evaluations_per_slice", "seconds")
"""Numbers of a case that its ``result.json`` holds."""


class Threshold(TypedDict):
    """What the mask is cut at (``map > value``), and how the value was found."""

    value: float | None
    rule: str | None


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
    threshold: Threshold = field(default_factory=lambda: Threshold(value=None, rule=None))
    seed: int = 0


# --- one case ------------------------------------------------------------------------------------


def score_case(
    scored: ScoredCase,
    *,
    name: str,
    subject: str = "",
    **told: float,
) -> CaseScores:
    """Apply every entry of `METRICS` to a case.

    Args:
        told: what the method says of itself, see `TOLD`.
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
        **told,
    )


def evaluate_folder(
    out_dir: Path,
    cases: Sequence[Case],
    *,
    method: str = "anomap",
    threshold: Threshold | None = None,
    brain_mask_of: Callable[[Case], np.ndarray] | None = None,
    progress: bool = True,
    seed: int = 0,
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
    scores: list[CaseScores] = []
    failures: dict[str, str] = {}
    thresholds: list[Threshold] = []
    pooled = ScoreHistogram.empty()
    for case in tqdm(cases, desc=f"score {method}", disable=None if progress else True):
        try:
            result = read_result(out_dir / case.name)
            scored, used = _load(out_dir / case.name, case, result, threshold, brain_mask_of)
        except InputError as error:
            failures[case.name] = str(error)
            continue
        told = {key: _number(result, key) for key in TOLD}
        scores.append(score_case(scored, name=case.name, subject=case.subject, **told))
        pooled += ScoreHistogram.of(scored.scores, scored.lesion)
        thresholds.append(used)
    return MethodScores(
        method, tuple(scores), failures, pooled, _common(threshold, thresholds), seed
    )


def _load(
    folder: Path,
    case: Case,
    result: Mapping[str, Any],
    threshold: Threshold | None,
    brain_mask_of: Callable[[Case], np.ndarray] | None,
) -> tuple[ScoredCase, Threshold]:
    anomaly_map = _read_map(folder / "anomaly.nii.gz")
    regions, uncounted = _read_regions(case, anomaly_map)
    brain_mask = _read_brain(folder, case, anomaly_map, brain_mask_of) & ~uncounted
    mask, used = _read_mask(folder, anomaly_map, threshold, _stored_threshold(folder, result))
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
    path = folder / "brain_mask.nii.gz"
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
    path = folder / "mask.nii.gz"
    used = threshold or stored or Threshold(value=None, rule=None)
    if path.is_file() and (stored is None or stored["value"] == used["value"]):
        volume = read_labels(path)
        _check_grid(anomaly_map, volume)
        return volume.data > 0, used if used["rule"] else Threshold(value=None, rule=path.name)
    if used["value"] is None:
        return None, used
    return anomaly_map.data > used["value"], used


def _check_grid(anomaly_map: Volume, other: Volume) -> None:
    """Raise InputError unless both lie on one grid."""
    if anomaly_map.data.shape != other.data.shape:
        difference = f"shape {anomaly_map.data.shape} and {other.data.shape}"
    else:
        corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(other.data.shape) - 1)
        points = np.column_stack([corners, np.ones(8)])
        distance_mm = np.abs(points @ (anomaly_map.affine - other.affine).T).max()
        if distance_mm <= GRID_TOLERANCE_MM:
            return
        difference = f"one shape, but corners up to {distance_mm:.3g} mm apart"
    raise InputError(
        f"{anomaly_map.path} and {other.path} lie on different grids ({difference}); a map lies on "
        "its image's grid: bring label and image to one grid, or resample a foreign map "
        "(nilearn.image.resample_to_img)"
    )


def read_result(folder: Path) -> dict[str, Any]:
    """The content of a case's ``result.json``; see `read_json`."""
    return read_json(folder / "result.json")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file, empty where there is no file.

    Raises:
        InputError: it is no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); delete or redo it") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def _number(record: Mapping[str, Any], key: str) -> float:
    value = record.get(key)
    return float(value) if isinstance(value, int | float) else math.nan


def _stored_threshold(folder: Path, result: Mapping[str, Any]) -> Threshold | None:
    stored = result.get("threshold")
    if stored is None:
        return None
    if isinstance(stored, dict) and stored.get("value", math.nan) is None:
        return None  # the method has no threshold
    if not isinstance(stored, dict) or math.isnan(_number(stored, "value")):
        raise InputError(
            f'{folder / "result.json"}: "threshold" should be {{"value": number, "rule": text}}, '
            f"not {stored!r}"
        )
    return Threshold(value=_number(stored, "value"), rule=str(stored.get("rule", "not stated")))


def _common(given: Threshold | None, used: Sequence[Threshold]) -> Threshold:
    """The threshold of a whole method."""
    if given is not None:
        return given
    if not used:
        return Threshold(value=None, rule=None)
    if all(one == used[0] for one in used):
        return used[0]
    return Threshold(value=None, rule="differs between cases")


def method_of(out_dir: Path) -> str:
    """The method that a folder of maps is from: as its results say, else the folder's name."""
    for path in sorted(out_dir.glob("*/result.json")):
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["method"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return out_dir.resolve().name


# --- a cohort ------------------------------------------------------------------------------------


def summarise(methods: Mapping[str, MethodScores], cohort_name: str) -> dict[str, Any]:
    """The content of summary.json: numbers, and None where undefined.

    Means over cases are ``{"mean", "ci95": [low, high]}``. ``dice_oracle`` takes each case's own
    best threshold; ``pooled.dice_oracle`` one for all voxels of all cases. ``image_auroc``,
    ``slice_auroc`` and ``healthy_fp_ml`` are plain numbers.
    """
    scored = {case.name for method in methods.values() for case in method.cases}
    return _nulls(
        {
            "cohort": cohort_name,
            "n_cases": len(scored),
            "methods": {name: _summarise_method(method) for name, method in methods.items()},
        }
    )


def _summarise_method(method: MethodScores) -> dict[str, Any]:
    cases = method.cases
    means = {
        key: bootstrap_ci(_column(cases, key), seed=method.seed)
        for key in METRICS
        if key != "threshold_oracle"
    }
    regions = {
        "whole_tumour": {key: _dict(means[key]) for key in ("auroc", "sensitivity")},
        **{
            region: {key: _dict(means.pop(f"{region}_{key}")) for key in ("auroc", "sensitivity")}
            for region in ("tumour_core", "enhancing")
        },
    }
    healthy_fp_ml = means.pop("healthy_fp_ml")
    image = bootstrap_auroc(
        np.array([case.score for case in cases]),
        np.array([not case.healthy for case in cases], dtype=bool),
        seed=method.seed,
    )
    return {
        **{key: _dict(interval) for key, interval in means.items()},
        "threshold": dict(method.threshold),
        "image_auroc": image.mean,
        "image_auroc_ci95": [image.low, image.high],
        "slice_auroc": _slice_auroc(cases),
        "healthy_fp_ml": healthy_fp_ml.mean,
        "healthy_fp_ml_ci95": [healthy_fp_ml.low, healthy_fp_ml.high],
        "pooled": {
            "auroc": method.pooled.auroc,
            "auprc": method.pooled.auprc,
            "dice_oracle": method.pooled.best_dice()[0],
            "threshold_oracle": method.pooled.best_dice()[1],
        },
        "regions": regions,
        "by_size": {name: _stratum(cases, *ends) for name, ends in SIZES_ML.items()},
        "n_healthy": sum(case.healthy for case in cases),
        "n_tumour": sum(not case.healthy for case in cases),
        "failed": dict(method.failures),
        "evaluations_per_slice": _mean(case.evaluations_per_slice for case in cases),
        "seconds_per_case": _mean(case.seconds for case in cases),
    }


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


def _stratum(cases: Sequence[CaseScores], low_ml: float, high_ml: float) -> dict[str, float]:
    """Count and means of the tumour cases with a volume in [low, high)."""
    own = [case for case in cases if not case.healthy and low_ml <= case.lesion_ml < high_ml]
    keys = ("dice_oracle", "dice_at_threshold", "auprc")
    return {"n": len(own), **{key: _mean(_column(own, key)) for key in keys}}


def _dict(interval: Interval) -> dict[str, Any]:
    return {"mean": interval.mean, "ci95": [interval.low, interval.high]}


def _nulls(value: Any) -> Any:
    """The same structure with None for every number that JSON cannot hold; [None, None] is None."""
    if isinstance(value, dict):
        return {key: _nulls(one) for key, one in value.items()}
    if isinstance(value, list):
        items = [_nulls(one) for one in value]
        return None if items and all(one is None for one in items) else items
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


# --- files and tables ----------------------------------------------------------------------------

COLUMNS: dict[str, tuple[str, ...]] = {
    "AUROC": ("auroc",),
    "AUPRC": ("auprc",),
    "Dice oracle": ("dice_oracle",),
    "Dice at threshold": ("dice_at_threshold",),
    "image AUROC": ("image_auroc",),
    "slice AUROC": ("slice_auroc",),
    "healthy FP mL": ("healthy_fp_ml",),
    "pooled AUPRC": ("pooled", "auprc"),
    "pooled Dice": ("pooled", "dice_oracle"),
    "NFE/slice": ("evaluations_per_slice",),
    "s/case": ("seconds_per_case",),
}
"""Heading of the table to where the number lies in a method's summary."""


def write_results(
    out_dir: Path,
    methods: Mapping[str, MethodScores],
    cohort_name: str,
    cases: Sequence[Case] = (),
) -> dict[str, Any]:
    """Write what a table and a report need; return the summary.

    ``cases.csv`` (a row a method and case), ``summary.json``, ``curves.json`` (see `curves`) and,
    where the cases are given, ``datalist.json``: where their images and labels lie.

    Raises:
        InputError: the folder cannot be written to.
    """
    made_by = {"command": command_line(), "software": software()}
    summary = summarise(methods, cohort_name) | {"made_by": made_by}
    rows = [row for name, method in methods.items() for row in _case_rows(name, method)]
    write_text(out_dir / "cases.csv", _csv(_CASE_COLUMNS, rows))
    write_text(out_dir / "curves.json", json.dumps({"methods": curves(methods)}) + "\n")
    if cases:
        write_datalist(out_dir / DATALIST, {"test": cases})
    _write_json(out_dir / "summary.json", summary)
    return summary


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def curves(methods: Mapping[str, MethodScores]) -> dict[str, dict[str, list[float]]]:
    """The curves of each method over the brain voxels of all cases; empty where undefined.

    ``fpr`` and ``tpr`` are the ROC curve, ``recall`` and ``precision`` the other.
    """

    def rounded(values: np.ndarray) -> list[float]:
        return [round(float(value), 5) for value in values]

    result = {}
    for name, method in methods.items():
        fpr, tpr = method.pooled.roc_curve()
        recall, ppv = method.pooled.precision_recall_curve()
        points = {"fpr": fpr, "tpr": tpr, "recall": recall, "precision": ppv}
        result[name] = {key: rounded(values) for key, values in points.items()}
    return result


_FACTS = ("subject", "healthy", "score", "lesion_ml", "lesion_outside_ml", "brain_ml")
_CASE_COLUMNS = ("method", "case", *_FACTS, *METRICS, *TOLD, "error")


def _case_rows(name: str, method: MethodScores) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"method": name, "case": case.name, **case.values}
        | {key: getattr(case, key) for key in (*_FACTS, *TOLD)}
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


def table_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a method: its name, then the mean of every column of `COLUMNS`, None if undefined."""
    rows = []
    for name, method in summary["methods"].items():
        row: dict[str, Any] = {"Method": name}
        for heading, keys in COLUMNS.items():
            value: Any = method
            for key in keys:
                value = value[key]
            row[heading] = value["mean"] if isinstance(value, dict) else value
            if heading == "AUROC":
                row["AUROC low"], row["AUROC high"] = value["ci95"] or (None, None)
        rows.append(row)
    return rows


def format_csv(summary: Mapping[str, Any]) -> str:
    """The content of table.csv."""
    columns = ["Method", *COLUMNS]
    columns[2:2] = ["AUROC low", "AUROC high"]
    return _csv(columns, table_rows(summary))


def format_table(summary: Mapping[str, Any]) -> str:
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
