"""Confidence intervals over cases; the voxels of one case depend on each other, cases do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from pipeline.scores.metrics import auroc

N_RESAMPLES = 2000


class Interval(NamedTuple):
    """A value and its 95 % confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap_ci(values: np.ndarray, *, seed: int = 0) -> Interval:
    """Mean over cases with the percentile bootstrap; values that are not finite are left out.

    The mean is NaN of no value, the interval of fewer than two.

    Args:
        values: ``(n,)``, one a case, in any unit.
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if finite.size < 2:
        return Interval(float(finite[0]) if finite.size else math.nan, math.nan, math.nan)
    low, high = _percentile_ci((finite,), np.mean, seed)
    return Interval(float(finite.mean()), low, high)


def bootstrap_auroc(scores: np.ndarray, lesion: np.ndarray, *, seed: int = 0) -> Interval:
    """AUROC of case scores; both groups are resampled, and each needs two cases for an interval.

    Args:
        scores: ``(n,)``, finite, one a case; higher = more anomalous.
        lesion: ``(n,)`` bool.
    """
    ill, well = scores[lesion], scores[~lesion]
    value = auroc(scores, lesion)
    if min(ill.size, well.size) < 2:
        return Interval(value, math.nan, math.nan)
    return Interval(value, *_percentile_ci((ill, well), _mann_whitney, seed))


def _mann_whitney(ill: np.ndarray, well: np.ndarray, axis: int = -1) -> np.ndarray:
    """AUROC as the share of pairs in the right order, for batches of resamples ``(..., n)``."""
    n_well = well.shape[axis]
    ranks = stats.rankdata(np.concatenate([well, ill], axis=axis), axis=axis)
    n_ill = ill.shape[axis]
    rank_sum = np.take(ranks, np.arange(n_well, n_well + n_ill), axis=axis).sum(axis=axis)
    shares: np.ndarray = (rank_sum - n_ill * (n_ill + 1) / 2) / (n_ill * n_well)
    return shares


def _percentile_ci(
    samples: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], seed: int
) -> tuple[float, float]:
    ci = stats.bootstrap(
        samples,
        statistic,
        n_resamples=N_RESAMPLES,
        batch=100,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(ci.low), float(ci.high)
