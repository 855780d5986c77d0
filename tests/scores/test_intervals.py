"""Intervals over cases: by hand, by scipy and scikit-learn, and how often they cover the truth."""

import math

import numpy as np
import pytest
from scipy import stats
from scored import random_scores
from sklearn.metrics import roc_auc_score

from pipeline.scores import intervals


def test_the_interval_of_a_mean_is_that_of_student():
    values = np.random.default_rng(1).normal(size=9)
    by_scipy = stats.ttest_1samp(values, 0).confidence_interval()
    interval = intervals.mean_ci(values)
    assert interval.mean == pytest.approx(values.mean())
    assert (interval.low, interval.high) == pytest.approx((by_scipy.low, by_scipy.high))


def test_values_that_are_not_finite_do_not_count():
    with_gaps = np.array([0.2, np.nan, 0.5, np.inf, 0.9])
    assert intervals.mean_ci(with_gaps) == intervals.mean_ci(np.array([0.2, 0.5, 0.9]))


def test_equal_cases_have_no_width():
    assert intervals.mean_ci(np.full(5, 0.25)) == (0.25, 0.25, 0.25)


def test_an_interval_stays_where_its_values_can_be():
    assert intervals.mean_ci(np.array([0.9, 1.0, 1.0]), 0, 1).high == 1
    assert intervals.mean_ci(np.array([0.0, 0.0, 0.1]), 0, 1).low == 0


def test_it_is_undefined_below_two_cases():
    one = intervals.mean_ci(np.array([0.7, np.nan, np.inf]))
    assert one.mean == 0.7
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert all(math.isnan(value) for value in intervals.mean_ci(np.zeros(0)))


def test_eight_cases_cover_what_they_promise():
    rng = np.random.default_rng(0)
    truth = stats.beta(5, 1)
    found = [intervals.mean_ci(truth.rvs(8, random_state=rng), 0, 1) for _ in range(2000)]
    covered = np.mean([one.low <= truth.mean() <= one.high for one in found])
    assert 0.91 < covered < 0.97


def test_paired_differences_leave_out_what_one_of_both_lacks():
    ours = np.array([0.5, 0.7, np.nan, 0.4, 0.3])
    others = np.array([0.4, 0.7, 0.2, np.nan, 0.5])
    found = intervals.paired(ours, others)
    assert (found.n, found.wins, found.losses) == (3, 1, 1)
    assert found.difference.mean == pytest.approx(-0.1 / 3)
    by_scipy = stats.ttest_rel(ours[[0, 1, 4]], others[[0, 1, 4]]).confidence_interval()
    assert found.difference[1:] == pytest.approx((by_scipy.low, by_scipy.high))


def test_interval_of_auroc():
    scores, lesion = random_scores(80, 0)
    interval = intervals.auroc_ci(scores, lesion)
    assert interval.mean == roc_auc_score(lesion, scores)
    assert interval.low < interval.mean < interval.high
    assert interval == intervals.auroc_ci(scores, lesion)
    assert intervals.auroc_ci(lesion.astype(float), lesion) == (1, 1, 1)
    assert math.isnan(intervals.auroc_ci(scores, np.zeros(80, dtype=bool)).mean)


def test_pairwise_auroc_agrees_with_scikit_learn():
    scores, lesion = random_scores(200, 1)
    pairwise = intervals._mann_whitney(scores[lesion], scores[~lesion])
    assert pairwise == pytest.approx(roc_auc_score(lesion, scores))
