"""Intervals over cases: of few cases by hand, of many against the normal interval."""

import math

import numpy as np
import pytest
from scored import random_scores
from sklearn.metrics import roc_auc_score

from pipeline.scores import bootstrap


def test_bootstrap_of_two_cases_spans_both():
    assert bootstrap.bootstrap_ci(np.array([0.0, np.nan, 1.0])) == (0.5, 0, 1)


def test_bootstrap_of_equal_cases_has_no_width():
    assert bootstrap.bootstrap_ci(np.full(5, 0.25)) == (0.25, 0.25, 0.25)


def test_bootstrap_is_undefined_below_two_cases():
    one = bootstrap.bootstrap_ci(np.array([0.7, np.nan, np.inf]))
    assert one.mean == 0.7
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert all(math.isnan(value) for value in bootstrap.bootstrap_ci(np.zeros(0)))


def test_bootstrap_agrees_with_the_normal_interval():
    values = np.random.default_rng(1).normal(size=400)
    half = 1.96 * values.std() / 20
    interval = bootstrap.bootstrap_ci(values, seed=3)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.01)
    assert interval == bootstrap.bootstrap_ci(values, seed=3)


def test_bootstrap_of_auroc():
    scores, lesion = random_scores(80, 0)
    interval = bootstrap.bootstrap_auroc(scores, lesion)
    assert interval.mean == roc_auc_score(lesion, scores)
    assert interval.low < interval.mean < interval.high
    assert bootstrap.bootstrap_auroc(lesion.astype(float), lesion) == (1, 1, 1)
    assert math.isnan(bootstrap.bootstrap_auroc(scores, np.zeros(80, dtype=bool)).mean)


def test_pairwise_auroc_agrees_with_scikit_learn():
    scores, lesion = random_scores(200, 1)
    pairwise = bootstrap._mann_whitney(scores[lesion], scores[~lesion])
    assert pairwise == pytest.approx(roc_auc_score(lesion, scores))
