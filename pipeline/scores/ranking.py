"""Curves over all thresholds from one sort: how much lesion and how much else each one calls."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Ranking:
    """Lesion and other voxels that score at least as much as each distinct score.

    Equal scores are never split.

    Attributes:
        edges: the distinct scores, ``(m,)``, descending.
        true, false: voxels of the lesion and others from that score on, ``(m,)``, ascending.
    """

    edges: np.ndarray
    true: np.ndarray
    false: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, lesion: np.ndarray) -> Ranking:
        """Of scores in any order.

        Args:
            scores: ``(n,)``, finite; higher = more anomalous.
            lesion: ``(n,)`` bool.
        """
        order = np.argsort(scores, kind="stable")
        return cls.of_sorted(scores[order], lesion[order])

    @classmethod
    def of_sorted(cls, scores: np.ndarray, lesion: np.ndarray) -> Ranking:
        """As `of`, where the scores ``(n,)`` ascend."""
        falling = scores[::-1]
        last = np.flatnonzero(np.append(falling[1:] != falling[:-1], np.ones(min(1, scores.size))))
        true = np.cumsum(lesion[::-1], dtype=np.int64)[last]
        return cls(falling[last], true, last + 1 - true)

    @property
    def n_lesion(self) -> int:
        """Voxels of the lesion."""
        return int(self.true[-1]) if self.true.size else 0

    @property
    def n_other(self) -> int:
        """Voxels that are none."""
        return int(self.false[-1]) if self.false.size else 0

    @property
    def has_both(self) -> bool:
        """Whether there are voxels of the lesion and others."""
        return self.n_lesion > 0 and self.n_other > 0

    @property
    def auroc(self) -> float:
        """Area under the ROC curve in [0, 1], ties counted half; NaN where a class is missing."""
        if not self.has_both:
            return math.nan
        true, false = (np.append(0, counts).astype(float) for counts in (self.true, self.false))
        area = np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2)
        return float(area / (self.n_lesion * self.n_other))

    @property
    def auprc(self) -> float:
        """Average precision in [0, 1]; NaN where a class is missing."""
        if not self.has_both:
            return math.nan
        precision = self.true / (self.true + self.false)
        return float(np.sum(np.diff(self.true, prepend=0) * precision) / self.n_lesion)

    @cached_property
    def best(self) -> tuple[float, int]:
        """The highest Dice over every threshold, in [0, 1], and the place of its edge.

        Of equally good ones the one that calls most; NaN and 0 without a lesion.
        """
        if not self.n_lesion:
            return math.nan, 0
        dices = 2 * self.true / (self.true + self.false + self.n_lesion)
        place = dices.size - 1 - int(dices[::-1].argmax())
        return float(dices[place]), place

    @property
    def best_dice(self) -> tuple[float, float]:
        """The highest Dice over every threshold, and that threshold (``score > threshold``).

        Returns:
            Dice in [0, 1] and the highest score that is left uncalled (just below the lowest score
            where all are called); NaN and NaN without a lesion.
        """
        dice, place = self.best
        if math.isnan(dice):
            return dice, math.nan
        if place + 1 < self.edges.size:
            return dice, float(self.edges[place + 1])
        lowest = self.edges[place]
        return dice, float(np.nextafter(lowest, lowest.dtype.type(-np.inf)))
