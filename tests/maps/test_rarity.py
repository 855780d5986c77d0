"""Rarities among healthy voxels, in decades."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.maps.rarity import RULES, surprise

RATES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
EXPONENTIAL = {f"{rate:g}": -math.log(rate) for rate in RATES}
"""Healthy thresholds of a map that is exponentially distributed, of mean 1."""


def test_a_tabulated_threshold_is_its_rate_in_decades() -> None:
    values = np.array([0.0, *(EXPONENTIAL[f"{rate:g}"] for rate in RATES)])
    expected = [0.0, *(-math.log10(rate) for rate in RATES)]
    np.testing.assert_allclose(surprise(values, EXPONENTIAL), expected, rtol=1e-6)


def test_beyond_the_table_an_exponential_tail_goes_on() -> None:
    values = np.array([8.0, 12.0, 40.0])
    np.testing.assert_allclose(surprise(values, EXPONENTIAL), values / math.log(10), rtol=1e-5)


def test_the_slope_of_the_tail_is_that_of_the_last_decade() -> None:
    thresholds = {"0.1": 1.0, "0.01": 2.0, "0.001": 4.0}
    np.testing.assert_allclose(surprise(np.array([8.0]), thresholds), [5.0], rtol=1e-6)


def test_the_order_of_values_stays() -> None:
    values = np.sort(np.random.default_rng(0).exponential(3.0, 1000))
    assert (np.diff(surprise(values, EXPONENTIAL)) >= 0).all()


@pytest.mark.parametrize(
    "thresholds",
    [
        {},
        {"0.01": 1.0},
        {"0.1": 2.0, "0.01": 1.0},
        {"0.1": 1.0, "0.01": 1.0},
        {"0.1": math.nan, "0.01": 1},
    ],
)
def test_a_table_that_does_not_rise_is_refused(thresholds: dict[str, float]) -> None:
    with pytest.raises(InputError, match="healthy threshold"):
        surprise(np.ones(3), thresholds)


def test_values_of_any_shape_keep_it_and_are_never_below_zero() -> None:
    values = np.random.default_rng(0).exponential(2.0, (2, 3, 4))
    values[0, 0, 0] = 0.0
    result = surprise(values, EXPONENTIAL)
    assert result.shape == values.shape
    assert result.dtype == np.float32
    assert result[0, 0, 0] == 0
    assert result.min() >= 0


@pytest.mark.parametrize("rule", RULES)
def test_k_runs_that_say_the_same_pay_the_price_and_no_more(rule: str) -> None:
    same = np.full((3, 5), 2.0)
    np.testing.assert_allclose(RULES[rule].merge(same), 2.0)
    assert RULES[rule].price(3) == pytest.approx(math.log10({"any": 3, "mean": math.e}[rule]))
