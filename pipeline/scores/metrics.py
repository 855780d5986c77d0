"""Metrics of an anomaly map: pure functions on arrays, NaN where a number is undefined.

Higher scores mean more anomalous. A threshold is always meant as ``score > threshold``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import nibabel as nib
import numpy as np
from scipy import ndimage, stats
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from pipeline.files.nifti import voxel_volume_ml

TOP_FRACTION = 0.01
"""Share of the highest voxels whose mean is the score of a case or slice."""
MIN_LESION_OVERLAP = 0.1
"""A lesion is found, and a finding is true, when at least this share of its voxels overlaps."""
MIN_COMPONENT_ML = 0.05
"""Components below this volume count neither as lesions nor as findings (as in BraTS 2023)."""
MIN_LESION_AREA_MM2 = 10.0
"""A slice shows a lesion from this area on; one with less is left out, being neither."""
N_RESAMPLES = 2000


# --- voxel-wise ----------------------------------------------------------------------------------


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _count(mask: np.ndarray) -> int:
    return int(np.count_nonzero(mask))


def dice(mask: np.ndarray, lesion: np.ndarray) -> float:
    """2 TP / (2 TP + FP + FN) of two bool arrays, in [0, 1]; NaN where both are empty."""
    return _ratio(2 * _count(mask & lesion), _count(mask) + _count(lesion))


def sensitivity(mask: np.ndarray, lesion: np.ndarray) -> float:
    """TP / (TP + FN), the recall; NaN without a lesion."""
    return _ratio(_count(mask & lesion), _count(lesion))


def specificity(mask: np.ndarray, lesion: np.ndarray) -> float:
    """TN / (TN + FP); NaN where everything is lesion."""
    return _ratio(_count(~mask & ~lesion), _count(~lesion))


def precision(mask: np.ndarray, lesion: np.ndarray) -> float:
    """TP / (TP + FP); NaN where nothing is called."""
    return _ratio(_count(mask & lesion), _count(mask))


def _one_class(lesion: np.ndarray) -> bool:
    return lesion.size == 0 or bool(lesion.all()) or not bool(lesion.any())


def auroc(scores: np.ndarray, lesion: np.ndarray) -> float:
    """Area under the ROC curve in [0, 1], ties counted half; NaN where a class is missing.

    Args:
        scores: ``(n,)``, finite.
        lesion: ``(n,)`` bool.
    """
    return math.nan if _one_class(lesion) else float(roc_auc_score(lesion, scores))


def auprc(scores: np.ndarray, lesion: np.ndarray) -> float:
    """Average precision in [0, 1]; arguments and NaN as in `auroc`."""
    return math.nan if _one_class(lesion) else float(average_precision_score(lesion, scores))


def best_dice(scores: np.ndarray, lesion: np.ndarray) -> tuple[float, float]:
    """The highest Dice over every threshold, and that threshold (``scores > threshold``).

    Args:
        scores: ``(n,)``, finite; equal scores are never split.
        lesion: ``(n,)`` bool.

    Returns:
        Dice in [0, 1] and the highest score that is left uncalled (just below the lowest score
        where all are called); NaN and NaN without a lesion.
    """
    if not lesion.any():
        return math.nan, math.nan
    dices, edges = _dice_curve(lesion, scores)
    best = int(dices.argmax())
    below = edges[best - 1] if best else np.nextafter(edges[0], edges.dtype.type(-np.inf))
    return float(dices[best]), float(below)


def _dice_curve(
    lesion: np.ndarray, scores: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Dice of ``scores >= edge`` at each distinct score, ascending."""
    ppv, recall, edges = precision_recall_curve(lesion, scores, sample_weight=weight)
    total = np.maximum(ppv + recall, np.finfo(np.float64).tiny)
    return (2 * ppv * recall / total)[:-1], edges


def top_mean(scores: np.ndarray, fraction: float = TOP_FRACTION) -> float:
    """Mean of the highest ``fraction`` of the scores (one score at least); NaN of none."""
    if scores.size == 0:
        return math.nan
    n_top = max(1, math.ceil(fraction * scores.size))
    top = np.partition(scores, scores.size - n_top)[-n_top:]
    return float(top.mean(dtype=np.float64))


# --- lesion-wise and slice-wise ------------------------------------------------------------------


class LesionCounts(NamedTuple):
    """Lesions in the label, those of them found, and findings that are no lesion."""

    n_lesions: int
    n_found: int
    n_false: int

    @property
    def sensitivity(self) -> float:
        """Share of the lesions found; NaN without a lesion."""
        return _ratio(self.n_found, self.n_lesions)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FN + FP) over lesions and findings; NaN without a lesion."""
        if self.n_lesions == 0:
            return math.nan
        return 2 * self.n_found / (self.n_found + self.n_lesions + self.n_false)


def lesion_counts(
    mask: np.ndarray,
    lesion: np.ndarray,
    voxel_ml: float,
    *,
    min_overlap: float = MIN_LESION_OVERLAP,
    min_ml: float = MIN_COMPONENT_ML,
) -> LesionCounts:
    """Count connected components (26 neighbours) of a label and of a mask.

    A lesion is found when the mask covers ``min_overlap`` of its voxels; a finding is false when
    less than ``min_overlap`` of it is lesion, so that a mask of the whole brain is no success.

    Args:
        mask: ``(X, Y, Z)`` bool.
        lesion: bool, same shape.
        voxel_ml: volume of a voxel.
        min_ml: components below it are ignored (as lesions and as findings).
    """
    covered = _component_overlaps(lesion, mask, min_ml / voxel_ml)
    correct = _component_overlaps(mask, lesion, min_ml / voxel_ml)
    n_found = _count(covered >= min_overlap)
    return LesionCounts(covered.size, n_found, _count(correct < min_overlap))


def _component_overlaps(volume: np.ndarray, other: np.ndarray, min_voxels: float) -> np.ndarray:
    """Share of each component of ``volume`` that lies in ``other``."""
    labels, n = ndimage.label(volume, np.ones((3, 3, 3)))
    sizes = np.bincount(labels[volume], minlength=n + 1)[1:]
    overlaps = np.bincount(labels[volume & other], minlength=n + 1)[1:]
    large = sizes >= min_voxels - 1e-6
    return overlaps[large] / sizes[large]


def slice_axis(affine: np.ndarray) -> int:
    """The voxel axis nearest to superior-inferior, from the affine ``(4, 4)``."""
    return int(np.flatnonzero(nib.io_orientation(affine)[:, 0] == 2)[0])


def slice_scores(
    anomaly_map: np.ndarray,
    lesion: np.ndarray,
    brain_mask: np.ndarray,
    affine: np.ndarray,
    *,
    min_area_mm2: float = MIN_LESION_AREA_MM2,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of the axial slices that show brain.

    Args:
        anomaly_map: ``(X, Y, Z)``; ``lesion`` and ``brain_mask``: bool, same shape.
        min_area_mm2: lesion area that makes a lesion slice; slices with less are left out.

    Returns:
        `top_mean` within the brain ``(n,)`` float64, and whether the slice shows a lesion
        ``(n,)`` bool.
    """
    axis = slice_axis(affine)
    first, second = (affine[:3, other] for other in range(3) if other != axis)
    pixel_mm2 = float(np.linalg.norm(np.cross(first, second)))
    scores, labels = [], []
    volumes = (np.moveaxis(volume, axis, 0) for volume in (anomaly_map, lesion, brain_mask))
    for map_slice, lesion_slice, inside in zip(*volumes, strict=True):
        if not inside.any():
            continue
        area_mm2 = _count(lesion_slice & inside) * pixel_mm2
        if area_mm2 == 0 or area_mm2 >= min_area_mm2:
            scores.append(top_mean(map_slice[inside]))
            labels.append(area_mm2 > 0)
    return np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)


# --- over cases ----------------------------------------------------------------------------------


class Interval(NamedTuple):
    """A value and its 95 % confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap_ci(values: np.ndarray, *, seed: int = 0) -> Interval:
    """Mean over cases with the percentile bootstrap; values that are not finite are left out.

    The mean is NaN of no value, the interval of fewer than two.
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if finite.size < 2:
        return Interval(float(finite[0]) if finite.size else math.nan, math.nan, math.nan)
    low, high = _percentile_ci((finite,), np.mean, seed)
    return Interval(float(finite.mean()), low, high)


def bootstrap_auroc(scores: np.ndarray, lesion: np.ndarray, *, seed: int = 0) -> Interval:
    """AUROC of case scores; both groups are resampled, and each needs two cases for an interval."""
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
    return (rank_sum - n_ill * (n_ill + 1) / 2) / (n_ill * n_well)


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


_KEY_BITS = 22
_SIGN = np.uint32(1 << 31)
_SHIFT = np.uint32(32 - _KEY_BITS)


def _keys(scores: np.ndarray) -> np.ndarray:
    """Integers in the order of the scores: the leading bits of float32, negative ones inverted."""
    # Adding 0 turns -0.0, which has bits of its own, into 0.0.
    bits = (np.asarray(scores, dtype=np.float32).ravel() + np.float32(0)).view(np.uint32)
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return ordered >> _SHIFT


def _key_top(key: int) -> float:
    """The highest float32 with this key."""
    ordered = np.array(((key + 1) << int(_SHIFT)) - 1, dtype=np.uint32)
    bits = np.where(ordered & _SIGN, ordered & ~_SIGN, ~ordered).astype(np.uint32)
    return float(bits.view(np.float32))


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """Scores of lesion and other voxels over many cases, in bounded memory.

    A bin holds the float32 scores that share their leading 22 bits, so it is at most 2^-13
    (0.012 %) of the score wide; negative scores and an atom at 0 need no care. Within a bin scores
    count as ties, so AUROC is exact to half the share of (lesion, other) pairs that fall into one
    bin. At most 4 million bins; real maps fill some 10^5.

    Attributes:
        keys: ``(n,)`` uint32, ascending, one a filled bin.
        positives, negatives: ``(n,)`` int64 counts of lesion and of other voxels.
    """

    keys: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray

    @classmethod
    def empty(cls) -> ScoreHistogram:
        """No scores yet; the start of a sum."""
        return cls(np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.int64))

    @classmethod
    def of(cls, scores: np.ndarray, lesion: np.ndarray) -> ScoreHistogram:
        """Count one case.

        Raises:
            ValueError: a score is NaN, or the shapes differ.
        """
        if scores.shape != lesion.shape or np.isnan(scores).any():
            raise ValueError(f"need finite scores {scores.shape} and as many labels {lesion.shape}")
        keys, positive = _keys(scores), lesion.ravel()
        counts = [
            np.bincount(keys[which], minlength=1 << _KEY_BITS) for which in (positive, ~positive)
        ]
        filled = np.flatnonzero(counts[0] + counts[1])
        return cls(filled.astype(np.uint32), counts[0][filled], counts[1][filled])

    def __add__(self, other: ScoreHistogram) -> ScoreHistogram:
        keys, where = np.unique(np.concatenate([self.keys, other.keys]), return_inverse=True)
        positives, negatives = np.zeros((2, keys.size), np.int64)
        np.add.at(positives, where, np.concatenate([self.positives, other.positives]))
        np.add.at(negatives, where, np.concatenate([self.negatives, other.negatives]))
        return ScoreHistogram(keys, positives, negatives)

    @property
    def auroc(self) -> float:
        """As `auroc` of all scores."""
        return self._weighted(roc_auc_score)

    @property
    def auprc(self) -> float:
        """As `auprc` of all scores."""
        return self._weighted(average_precision_score)

    def best_dice(self) -> tuple[float, float]:
        """As `best_dice` of all scores: one threshold for every case."""
        if not self.positives.sum():
            return math.nan, math.nan
        dices, edges = _dice_curve(*self._samples())
        best = int(dices.argmax())
        return float(dices[best]), _key_top(int(edges[best]) - 1)

    def negative_quantile(self, q: float) -> float:
        """The threshold that at most ``1 - q`` of the other voxels exceed; NaN of none."""
        total = np.cumsum(self.negatives)
        if not total.size or not total[-1]:
            return math.nan
        return _key_top(int(self.keys[np.searchsorted(total, q * total[-1])]))

    def roc_curve(self, n_points: int = 256) -> tuple[np.ndarray, np.ndarray]:
        """False and true positive rates from (0, 0) to (1, 1), at most ``n_points`` of each.

        Empty where a class is missing.
        """
        true, false = self._called()
        if not true.size or not true[-1] or not false[-1]:
            return np.zeros(0), np.zeros(0)
        fpr, tpr = (np.concatenate([[0.0], counts / counts[-1]]) for counts in (false, true))
        return _thinned(fpr, tpr, n_points)

    def precision_recall_curve(self, n_points: int = 256) -> tuple[np.ndarray, np.ndarray]:
        """Recall, ascending, and precision, at most ``n_points`` of each; empty without a lesion.

        It begins where the first lesion voxel is called.
        """
        true, false = self._called()
        if not true.size or not true[-1]:
            return np.zeros(0), np.zeros(0)
        found = true > 0
        recall, ppv = true / true[-1], true / np.maximum(true + false, 1)
        return _thinned(recall[found], ppv[found], n_points)

    def _called(self) -> tuple[np.ndarray, np.ndarray]:
        """Lesion and other voxels with at least the score of each bin, from the highest bin on."""
        return np.cumsum(self.positives[::-1]), np.cumsum(self.negatives[::-1])

    def _samples(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels, scores and weights, the bins once for each class, for scikit-learn."""
        labels = np.repeat([True, False], self.keys.size)
        weights = np.concatenate([self.positives, self.negatives]).astype(np.float64)
        return labels, np.tile(self.keys.astype(np.int64), 2), weights

    def _weighted(self, metric: Callable[..., float]) -> float:
        if not self.positives.sum() or not self.negatives.sum():
            return math.nan
        labels, scores, weights = self._samples()
        return float(metric(labels, scores, sample_weight=weights))


def _thinned(x: np.ndarray, y: np.ndarray, n_points: int) -> tuple[np.ndarray, np.ndarray]:
    """The points of a curve that lie nearest to equal steps along its length, its ends included."""
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    keep = np.unique(np.searchsorted(length, np.linspace(0, length[-1], n_points)))
    return x[keep], y[keep]


# --- one case, and the registry ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ScoredCase:
    """One case's map beside its truth, all ``(X, Y, Z)`` on one grid: what a metric may look at.

    Attributes:
        anomaly_map: float, higher = more anomalous; values outside the brain are never read.
        brain_mask: bool.
        regions: bool masks; ``whole_tumour`` always, empty where the case is healthy.
        affine: voxel index to world (mm).
        mask: what the method calls lesion, bool, or None where it has no threshold.
    """

    anomaly_map: np.ndarray
    brain_mask: np.ndarray
    regions: Mapping[str, np.ndarray]
    affine: np.ndarray
    mask: np.ndarray | None = None

    @property
    def healthy(self) -> bool:
        """Whether the label is empty."""
        return not self.regions["whole_tumour"].any()

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return voxel_volume_ml(self.affine)

    @cached_property
    def _order(self) -> np.ndarray:
        # Sorted once, so that each curve of scikit-learn sorts in no time.
        inside = np.flatnonzero(self.brain_mask)
        return inside[np.argsort(self.anomaly_map.ravel()[inside], kind="stable")]

    def inside(self, volume: np.ndarray) -> np.ndarray:
        """The brain voxels of a volume, ``(n,)``, in ascending order of their score."""
        return volume.ravel()[self._order]

    @cached_property
    def scores(self) -> np.ndarray:
        """The map's brain voxels, ascending."""
        return self.inside(self.anomaly_map)

    @cached_property
    def lesion(self) -> np.ndarray:
        """Whether each of `scores` is whole tumour."""
        return self.inside(self.regions["whole_tumour"])

    @cached_property
    def called(self) -> np.ndarray | None:
        """Whether each of `scores` is called lesion."""
        return None if self.mask is None else self.inside(self.mask)

    @cached_property
    def best(self) -> tuple[float, float]:
        """`best_dice` of this case."""
        return best_dice(self.scores, self.lesion)

    @cached_property
    def counts(self) -> LesionCounts:
        """`lesion_counts` within the brain; NaNs follow from no lesion and no mask."""
        if self.mask is None:
            return LesionCounts(0, 0, 0)
        lesion = self.regions["whole_tumour"] & self.brain_mask
        return lesion_counts(self.mask & self.brain_mask, lesion, self.voxel_ml)


def _if_called(metric: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[ScoredCase], float]:
    """A metric of mask and lesion for cases that have both."""

    def of_case(case: ScoredCase) -> float:
        if case.called is None or case.healthy:
            return math.nan
        return metric(case.called, case.lesion)

    return of_case


def _fp_ml(case: ScoredCase, *, healthy: bool) -> float:
    if case.called is None or case.healthy != healthy:
        return math.nan
    return _count(case.called & ~case.lesion) * case.voxel_ml


def _healthy_fp_rate(case: ScoredCase) -> float:
    if case.called is None or not case.healthy:
        return math.nan
    return _ratio(_count(case.called), case.called.size)


def _false_findings(case: ScoredCase) -> float:
    return math.nan if case.mask is None else float(case.counts.n_false)


def _region_auroc(region: str) -> Callable[[ScoredCase], float]:
    """The region against brain that is no lesion at all."""

    def of_case(case: ScoredCase) -> float:
        if region not in case.regions:
            return math.nan
        inside = case.inside(case.regions[region])
        keep = inside | ~case.lesion
        return auroc(case.scores[keep], inside[keep])

    return of_case


def _region_sensitivity(region: str) -> Callable[[ScoredCase], float]:
    def of_case(case: ScoredCase) -> float:
        if case.called is None or region not in case.regions:
            return math.nan
        return sensitivity(case.called, case.inside(case.regions[region]))

    return of_case


METRICS: dict[str, Callable[[ScoredCase], float]] = {
    "auroc": lambda case: auroc(case.scores, case.lesion),
    "auprc": lambda case: auprc(case.scores, case.lesion),
    "dice_oracle": lambda case: case.best[0],
    "threshold_oracle": lambda case: case.best[1],
    "dice_at_threshold": _if_called(dice),
    "sensitivity": _if_called(sensitivity),
    "specificity": _if_called(specificity),
    "precision": _if_called(precision),
    "lesion_sensitivity": lambda case: case.counts.sensitivity,
    "lesion_f1": lambda case: case.counts.f1,
    "false_findings": _false_findings,
    "healthy_fp_ml": lambda case: _fp_ml(case, healthy=True),
    "healthy_fp_rate": _healthy_fp_rate,
    "tumour_fp_ml": lambda case: _fp_ml(case, healthy=False),
    "tumour_core_auroc": _region_auroc("tumour_core"),
    "tumour_core_sensitivity": _region_sensitivity("tumour_core"),
    "enhancing_auroc": _region_auroc("enhancing"),
    "enhancing_sensitivity": _region_sensitivity("enhancing"),
}
"""Name to a function of one case that returns a float, NaN where undefined.

Each becomes a column of cases.csv and, but for the thresholds, a mean with a confidence interval
in summary.json: a new metric is one function and one entry here.
"""
