"""Scores of many cases counted together: curves over all their voxels in bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.scores.ranking import Ranking

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

        Args:
            scores: float, of any shape, no NaN; they are counted as float32.
            lesion: bool, same shape.

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
        """As `metrics.auroc` of all scores."""
        return self._ranking.auroc

    @property
    def auprc(self) -> float:
        """As `metrics.auprc` of all scores."""
        return self._ranking.auprc

    def best_dice(self) -> tuple[float, float]:
        """As `metrics.best_dice` of all scores: one threshold for every case."""
        dice, place = self._ranking.best
        return dice, math.nan if math.isnan(dice) else _key_top(int(self._ranking.edges[place]) - 1)

    def negative_quantile(self, q: float) -> float:
        """The threshold that at most ``1 - q`` of the other voxels exceed; NaN of none."""
        total = np.cumsum(self.negatives)
        if not total.size or not total[-1]:
            return math.nan
        return _key_top(int(self.keys[np.searchsorted(total, q * total[-1])]))

    def roc_curve(self, n_points: int = 256) -> tuple[np.ndarray, np.ndarray]:
        """False and true positive rates from (0, 0) to (1, 1), ``(m,)`` each, m <= ``n_points``.

        Empty where a class is missing.
        """
        true, false = self._ranking.true, self._ranking.false
        if not true.size or not true[-1] or not false[-1]:
            return np.zeros(0), np.zeros(0)
        fpr, tpr = (np.concatenate([[0.0], counts / counts[-1]]) for counts in (false, true))
        return _thinned(fpr, tpr, n_points)

    def precision_recall_curve(self, n_points: int = 256) -> tuple[np.ndarray, np.ndarray]:
        """Recall, ascending, and precision, ``(m,)`` each in [0, 1], m <= ``n_points``.

        It begins where the first lesion voxel is called; empty without a lesion.
        """
        true, false = self._ranking.true, self._ranking.false
        if not true.size or not true[-1]:
            return np.zeros(0), np.zeros(0)
        found = true > 0
        recall, ppv = true / true[-1], true / np.maximum(true + false, 1)
        return _thinned(recall[found], ppv[found], n_points)

    @cached_property
    def _ranking(self) -> Ranking:
        """With the keys for scores."""
        true, false = np.cumsum(self.positives[::-1]), np.cumsum(self.negatives[::-1])
        return Ranking(self.keys[::-1].astype(np.int64), true, false)


def _thinned(x: np.ndarray, y: np.ndarray, n_points: int) -> tuple[np.ndarray, np.ndarray]:
    """The points of a curve that lie nearest to equal steps along its length, its ends included."""
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    keep = np.unique(np.searchsorted(length, np.linspace(0, length[-1], n_points)))
    return x[keep], y[keep]
