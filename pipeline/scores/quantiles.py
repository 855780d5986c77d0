"""Quantiles of several samples together, each with the same weight; and without one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

STEPS = 256
"""Of a sample so many values, evenly spaced in rank, tell about where a quantile lies."""
TOLERANCE = 1e-9
"""Sums of weights that differ by no more are equal: a sample weighs 1, a value of it 1e-6 or more.
The rounding of sums stays far below it, so that no order of summing decides."""


class PooledSamples:
    """Sorted samples, for any quantile of all or of all but one, without sorting them together.

    All values of a sample together weigh as much as those of any other. A quantile is the first
    value at which the sum of the weights, in ascending order, reaches that share of the total.

    A quantile lies between two values that few others lie between: those alone are pooled and
    sorted. Leaving a sample out moves the sum of the weights by 1 at most, so all left-out
    quantiles lie between two values as well. Memory is that of these few, of n values of m samples
    about n (1 / `STEPS` + 1 / m) times 40 bytes, beside the samples themselves.

    Args:
        samples: ``(n,)`` each, ascending, of any sizes, not all empty, without NaN.
    """

    def __init__(self, samples: Sequence[np.ndarray]) -> None:
        self._samples = samples
        self._filled = [i for i, sample in enumerate(samples) if len(sample)]
        ranks = [_ranks(len(samples[i])) for i in self._filled]
        values = np.concatenate(
            [samples[i][rank - 1] for i, rank in zip(self._filled, ranks, strict=True)]
        )
        weights = np.concatenate([np.diff(rank, prepend=0) / rank[-1] for rank in ranks])
        # How much more the values up to any place may weigh than the few of them.
        self._slack = sum(float(np.diff(rank, prepend=0).max() / rank[-1]) for rank in ranks)
        order = np.argsort(values)
        self._few, self._weight_of_few = values[order], np.cumsum(weights[order])

    def quantile(self, q: float) -> float:
        """Of all samples; q in [0, 1]."""
        target = _target(q, len(self._filled))
        between = self._between(target, target)
        reached = between.below + np.cumsum(between.weights) >= target
        return float(between.values[int(np.argmax(reached))])

    def quantiles_without(self, q: float) -> np.ndarray:
        """Of all samples but the i-th, for every i, ``(m,)`` float64; two are not empty.

        Each is, to the last bit, the quantile of `PooledSamples` of the others.
        """
        n_filled = len(self._filled)
        target = _target(q, n_filled - 1)
        between = self._between(target, target + 1)
        weight = between.below + np.cumsum(between.weights)
        found = np.full(len(self._samples), self.quantile(q))
        for i, places in between.places_of_each().items():
            n = len(self._samples[i])
            own = between.below_of[i] + np.arange(len(places) + 1) / n
            # The others weigh less than is wanted up to so many of its values.
            n_own = int(np.searchsorted(weight[places] - own[1:], target))
            place = int(np.searchsorted(weight, target + own[n_own]))
            found[i] = between.values[place]
        return found

    def _between(self, first: float, last: float) -> _Between:
        """The values about the places where the sum of the weights reaches two numbers."""
        low = int(np.searchsorted(self._weight_of_few, first - self._slack - TOLERANCE))
        high = int(np.searchsorted(self._weight_of_few, last + TOLERANCE))
        lowest, highest = self._few[low], self._few[min(high, len(self._few) - 1)]
        parts, owners, weights = [], [], []
        below_of = {}
        for i in self._filled:
            sample = self._samples[i]
            start = 0 if low == 0 else int(np.searchsorted(sample, lowest))
            end = int(np.searchsorted(sample, highest, side="right"))
            below_of[i] = start / len(sample)
            parts.append(sample[start:end])
            owners.append(np.full(end - start, i))
            weights.append(np.full(end - start, 1.0 / len(sample)))
        values = np.concatenate(parts)
        order = np.argsort(values, kind="stable")
        return _Between(
            values[order],
            np.concatenate(owners)[order],
            np.concatenate(weights)[order],
            math.fsum(below_of.values()),
            below_of,
        )


class _Between(NamedTuple):
    """Some of the values of all samples, ascending, with the sample and the weight of each.

    ``below`` is the weight of the values before them, ``below_of`` that of each sample.
    """

    values: np.ndarray
    owners: np.ndarray
    weights: np.ndarray
    below: float
    below_of: dict[int, float]

    def places_of_each(self) -> dict[int, np.ndarray]:
        """Where the values of each sample stand, ascending."""
        by_owner = np.argsort(self.owners, kind="stable")
        ends = np.searchsorted(self.owners[by_owner], np.array(list(self.below_of)), side="right")
        return dict(zip(self.below_of, np.split(by_owner, ends[:-1]), strict=True))


def _ranks(n: int) -> np.ndarray:
    """At most `STEPS` ranks of 1..n, evenly spaced, the last one n."""
    n_steps = min(n, STEPS)
    return np.arange(1, n_steps + 1) * n // n_steps


def _target(q: float, n: int) -> float:
    """What the sum of the weights of n samples must reach; any value does for q = 0."""
    return max(q * n - TOLERANCE, TOLERANCE)
