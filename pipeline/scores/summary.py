"""Scores of methods on a cohort to the records of ``summary.json`` and ``curves.json``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.files.provenance import command_line, software
from pipeline.files.record.summary import (
    Curve,
    Curves,
    Difference,
    MadeBy,
    Mean,
    MethodSummary,
    Pooled,
    Region,
    Stratum,
    Summary,
)
from pipeline.scores.case_metrics import METRICS
from pipeline.scores.evaluate import CaseScores, MethodScores
from pipeline.scores.histogram import ScoreHistogram
from pipeline.scores.intervals import Interval, auroc_ci, mean_ci, paired
from pipeline.scores.metrics import auroc

SIZES_ML = {"<10 mL": (0.0, 10.0), "10-50 mL": (10.0, 50.0), ">50 mL": (50.0, math.inf)}
"""Strata of whole-tumour volume, the lower end included."""
PARTS = ("tumour_core", "enhancing")
"""Regions inside the whole tumour."""
COMPARED = ("auprc", "dice_oracle", "dice_at_threshold", "lesion_f1")
"""Metrics whose differences between methods are told."""
_WITHOUT_BOUND = ("false_findings",)


def summarise(methods: Mapping[str, MethodScores], cohort_name: str) -> Summary:
    """What methods reach on a cohort, None where undefined.

    Means over cases have an interval. ``dice_oracle`` takes each case's own best threshold;
    ``pooled.dice_oracle`` one for all voxels of all cases. ``image_auroc``, ``slice_auroc`` and
    ``healthy_fp_ml`` are plain numbers.
    """
    scored = {case.name for method in methods.values() for case in method.cases}
    return Summary(
        cohort=cohort_name,
        n_cases=len(scored),
        methods={name: _summarise_method(method) for name, method in methods.items()},
        compared_with=next(iter(methods), None),
        differences=_differences(list(methods.values())),
        made_by=MadeBy(command=command_line(), software=software()),
    )


def _summarise_method(method: MethodScores) -> MethodSummary:
    cases = method.cases
    means = _means(method)
    regions = {"whole_tumour": Region(auroc=means["auroc"], sensitivity=means["sensitivity"])}
    for region in PARTS:
        regions[region] = Region(
            auroc=means.pop(f"{region}_auroc"), sensitivity=means.pop(f"{region}_sensitivity")
        )
    healthy_fp_ml = means.pop("healthy_fp_ml")
    image = _image_auroc(method)
    metrics: dict[str, Any] = dict(means)  # keys that the record does not name
    return MethodSummary(
        **metrics,
        threshold=method.threshold,
        image_auroc=image.mean,
        image_auroc_ci95=image.ci95,
        slice_auroc=_known(_slice_auroc(cases)),
        healthy_fp_ml=healthy_fp_ml.mean,
        healthy_fp_ml_ci95=healthy_fp_ml.ci95,
        pooled=_pooled(method.pooled),
        regions=regions,
        by_size={name: _stratum(cases, *ends) for name, ends in SIZES_ML.items()},
        n_healthy=sum(case.healthy for case in cases),
        n_tumour=sum(not case.healthy for case in cases),
        n_image_level=sum(not case.is_marked for case in cases),
        failed=dict(method.failures),
        evaluations_per_slice=_known(_mean(case.evaluations_per_slice for case in cases)),
        seconds_per_case=_known(_mean(case.seconds for case in cases)),
    )


def _means(method: MethodScores) -> dict[str, Mean]:
    """Every metric but the threshold, over the cases where it is defined."""
    return {
        key: _mean_of(mean_ci(_column(method.cases, key), 0, _highest(key)))
        for key in METRICS
        if key != "threshold_oracle"
    }


def _highest(key: str) -> float:
    """What a metric cannot exceed: shares end at 1."""
    return math.inf if key.endswith("_ml") or key in _WITHOUT_BOUND else 1.0


def _differences(methods: Sequence[MethodScores]) -> dict[str, dict[str, Difference]]:
    """The first method less each other one, by case; without metrics that no two cases share."""
    if len(methods) < 2:
        return {}
    first, *others = methods
    return {other.method: _differences_to(first, other) for other in others}


def _differences_to(first: MethodScores, other: MethodScores) -> dict[str, Difference]:
    theirs = {case.name: case.values for case in other.cases}
    both = [(case.values, theirs[case.name]) for case in first.cases if case.name in theirs]
    found = {}
    for key in COMPARED:
        values = np.array([(own[key], others[key]) for own, others in both]).reshape(-1, 2)
        pair = paired(values[:, 0], values[:, 1])
        if pair.n:
            found[key] = Difference(
                n=pair.n,
                mean=pair.difference.mean,
                ci95=_mean_of(pair.difference).ci95,
                wins=pair.wins,
                losses=pair.losses,
            )
    return found


def _image_auroc(method: MethodScores) -> Mean:
    scores = np.array([case.score for case in method.cases])
    ill = np.array([not case.healthy for case in method.cases], dtype=bool)
    return _mean_of(auroc_ci(scores, ill, seed=method.seed))


def _pooled(pooled: ScoreHistogram) -> Pooled:
    dice_oracle, threshold_oracle = pooled.best_dice()
    return Pooled(
        auroc=_known(pooled.auroc),
        auprc=_known(pooled.auprc),
        dice_oracle=_known(dice_oracle),
        threshold_oracle=_known(threshold_oracle),
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


def curves(methods: Mapping[str, MethodScores]) -> Curves:
    """The curves of each method over the brain voxels of all cases; empty where undefined."""
    return Curves(methods={name: _curve(method.pooled) for name, method in methods.items()})


def _curve(pooled: ScoreHistogram) -> Curve:
    def rounded(values: np.ndarray) -> tuple[float, ...]:
        return tuple(round(float(value), 5) for value in values)

    fpr, tpr = map(rounded, pooled.roc_curve())
    recall, ppv = map(rounded, pooled.precision_recall_curve())
    return Curve(fpr=fpr, tpr=tpr, recall=recall, precision=ppv)
