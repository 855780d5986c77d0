"""Pooled quantiles without one sample: those of the others, found without sorting them again."""

from __future__ import annotations

import time
from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest

from pipeline.detection.calibration import tabulate
from pipeline.run.words import FALSE_POSITIVE_RATES
from pipeline.scores.quantiles import PooledSamples

SIZES = {
    "equal": [400] * 6,
    "equal, and one empty": [400, 400, 0, 400],
    "multiples, so that rounding decides": [100, 200, 1000, 400, 100],
    "unequal": [37, 411, 90, 1000, 3, 253],
    "single values": [1, 1, 1],
    "two": [17, 900],
    "more values than are looked at first": [3000, 700, 1100],
}


def pooled_by_hand(samples: list[np.ndarray], q: float) -> float:
    """Sorts all values, and sums the weights up in fractions, so that nothing is rounded."""
    weighted = sorted((float(v), Fraction(1, len(s))) for s in samples for v in s)
    wanted = Fraction(q).limit_denominator(10**6) * sum(len(s) > 0 for s in samples)
    reached = accumulate(weight for _, weight in weighted)
    return next(v for (v, _), total in zip(weighted, reached, strict=True) if total >= wanted)


@pytest.mark.parametrize("decimals", [None, 1], ids=["no ties", "ties"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_every_left_out_quantile_is_that_of_the_others_to_the_last_bit(
    sizes: list[int], decimals: int | None
) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        samples = [np.sort(rng.gamma(2, rng.uniform(0.5, 2), n)).astype(np.float32) for n in sizes]
        if decimals is not None:
            samples = [sample.round(decimals) for sample in samples]
        pooled = PooledSamples(samples)
        for q in (0.0, 0.25, 0.5, *(1 - rate for rate in FALSE_POSITIVE_RATES), 1.0):
            left_out = pooled.quantiles_without(q)
            for i in range(len(samples)):
                others = [*samples[:i], *samples[i + 1 :]]
                assert left_out[i] == PooledSamples(others).quantile(q)
                if seed == 0:
                    assert left_out[i] == pooled_by_hand(others, q)
            if seed == 0:
                assert pooled.quantile(q) == pooled_by_hand(samples, q)


@pytest.mark.parametrize("spread", [0, 200], ids=["equal", "unequal"])
def test_a_thousand_people_take_seconds(spread: int) -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(4000 - spread, 4001 + spread, 1000)
    samples = [np.sort(rng.gamma(2, size=n)).astype(np.float32) for n in sizes]
    start = time.process_time()
    table = tabulate(samples, [])
    assert time.process_time() - start < 10
    for rate in FALSE_POSITIVE_RATES:
        assert np.mean(table.left_out_rates[f"{rate:g}"]) == pytest.approx(rate, rel=0.02)
