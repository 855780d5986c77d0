"""Metrics of an anomaly map: pure functions on arrays, NaN where a number is undefined.

Higher scores mean more anomalous. A threshold is always meant as ``score > threshold``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from sklearn import metrics

from pipeline.scores.ranking import Ranking

MIN_LESION_OVERLAP = 0.1
"""A lesion is found, and a finding is true, when at least this share of its voxels overlaps."""
MIN_COMPONENT_ML = 0.05
"""Components below this volume count neither as lesions nor as findings (as in BraTS 2023)."""


def ratio(part: float, whole: float) -> float:
    """A share; NaN of nothing."""
    return part / whole if whole else math.nan


def n_true(mask: np.ndarray) -> int:
    """How many of a bool array, of any shape, are True."""
    return int(np.count_nonzero(mask))


def dice(mask: np.ndarray, lesion: np.ndarray) -> float:
    """2 TP / (2 TP + FP + FN) in [0, 1]; NaN where both are empty.

    Args:
        mask, lesion: bool, of one shape.
    """
    return ratio(2 * n_true(mask & lesion), n_true(mask) + n_true(lesion))


def sensitivity(mask: np.ndarray, lesion: np.ndarray) -> float:
    """TP / (TP + FN) in [0, 1], the recall; NaN without a lesion; shapes as of `dice`."""
    return ratio(n_true(mask & lesion), n_true(lesion))


def specificity(mask: np.ndarray, lesion: np.ndarray) -> float:
    """TN / (TN + FP) in [0, 1]; NaN where everything is lesion; shapes as of `dice`."""
    return ratio(n_true(~mask & ~lesion), n_true(~lesion))


def precision(mask: np.ndarray, lesion: np.ndarray) -> float:
    """TP / (TP + FP) in [0, 1]; NaN where nothing is called; shapes as of `dice`."""
    return ratio(n_true(mask & lesion), n_true(mask))


def auroc(scores: np.ndarray, lesion: np.ndarray) -> float:
    """Area under the ROC curve in [0, 1], ties counted half; NaN where a class is missing.

    Args:
        scores: ``(n,)``, finite.
        lesion: ``(n,)`` bool.
    """
    return Ranking.of(scores, lesion).auroc


def roc_curve(scores: np.ndarray, lesion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates, ``(m,)`` each in [0, 1], ascending; empty without a class.

    Args:
        scores: ``(n,)``, finite.
        lesion: ``(n,)`` bool.
    """
    if lesion.size == 0 or lesion.all() or not lesion.any():
        return np.zeros(0), np.zeros(0)
    fpr, tpr, _ = metrics.roc_curve(lesion, scores)
    return fpr, tpr


def auprc(scores: np.ndarray, lesion: np.ndarray) -> float:
    """Average precision in [0, 1]; arguments, their shapes and NaN as in `auroc`."""
    return Ranking.of(scores, lesion).auprc


def best_dice(scores: np.ndarray, lesion: np.ndarray) -> tuple[float, float]:
    """The highest Dice over every threshold, and that threshold (``scores > threshold``).

    Args:
        scores: ``(n,)``, finite; equal scores are never split.
        lesion: ``(n,)`` bool.

    Returns:
        Dice in [0, 1] and the highest score that is left uncalled (just below the lowest score
        where all are called); NaN and NaN without a lesion.
    """
    return Ranking.of(scores, lesion).best_dice


class LesionCounts(NamedTuple):
    """Lesions in the label, those of them found, and findings that are no lesion."""

    n_lesions: int
    n_found: int
    n_false: int

    @property
    def sensitivity(self) -> float:
        """Share of the lesions found; NaN without a lesion."""
        return ratio(self.n_found, self.n_lesions)

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
        voxel_ml: volume of a voxel, millilitres.
        min_overlap: share of a component, in [0, 1].
        min_ml: components below it are ignored (as lesions and as findings).
    """
    covered = _component_overlaps(lesion, mask, min_ml / voxel_ml)
    correct = _component_overlaps(mask, lesion, min_ml / voxel_ml)
    n_found = n_true(covered >= min_overlap)
    return LesionCounts(covered.size, n_found, n_true(correct < min_overlap))


def _component_overlaps(volume: np.ndarray, other: np.ndarray, min_voxels: float) -> np.ndarray:
    """Share of each component of ``volume`` that lies in ``other``."""
    labels, n = ndimage.label(volume, np.ones((3, 3, 3)))
    sizes = np.bincount(labels[volume], minlength=n + 1)[1:]
    overlaps = np.bincount(labels[volume & other], minlength=n + 1)[1:]
    large = sizes >= min_voxels - 1e-6
    return overlaps[large] / sizes[large]
