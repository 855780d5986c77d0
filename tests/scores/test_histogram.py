"""Scores counted together: as exact as their bins, with scikit-learn as the twin."""

import math

import numpy as np
import pytest
from scored import random_scores
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from pipeline.scores import histogram as histograms
from pipeline.scores import metrics
from pipeline.scores.histogram import ScoreHistogram


@pytest.mark.parametrize("shift", [0.0, -10.0, 1000.0])
def test_histogram_agrees_with_exact_scores(shift):
    scores, lesion = random_scores(50_000, 0)
    scores = np.where(scores == 0, scores, scores + np.float32(shift)).astype(np.float32)
    histogram = ScoreHistogram.of(scores, lesion)
    tied = (histogram.positives / lesion.sum() * histogram.negatives / (~lesion).sum()).sum()
    bound = tied / 2 + 1e-12
    assert abs(histogram.auroc - roc_auc_score(lesion, scores)) <= bound
    tolerance = 1e-3 if shift < 1000 else 1e-2  # bins of 0.06 to a spread of 1
    assert histogram.auroc == pytest.approx(roc_auc_score(lesion, scores), abs=tolerance / 10)
    assert histogram.auprc == pytest.approx(average_precision_score(lesion, scores), abs=tolerance)
    best, threshold = histogram.best_dice()
    assert best == pytest.approx(metrics.best_dice(scores, lesion)[0], abs=tolerance)
    assert metrics.dice(scores > np.float32(threshold), lesion) == pytest.approx(best, abs=1e-12)


def test_histogram_is_exact_where_no_two_scores_share_a_bin():
    scores = np.array([-2, -1.5, -0.0, 0.0, 0.5, 1, 1e6, -1e-30], dtype=np.float32)
    lesion = np.array([0, 1, 0, 1, 1, 0, 1, 0], dtype=bool)
    histogram = ScoreHistogram.of(scores, lesion)
    assert histogram.keys.size == 7  # the two zeros are one
    assert histogram.auroc == pytest.approx(roc_auc_score(lesion, scores), abs=1e-15)
    assert histogram.auprc == pytest.approx(average_precision_score(lesion, scores), abs=1e-15)
    assert histogram.best_dice()[0] == pytest.approx(metrics.best_dice(scores, lesion)[0])


def test_histogram_keys_keep_the_order_and_their_top_is_in_the_bin():
    scores = np.sort(np.random.default_rng(0).standard_cauchy(10_000).astype(np.float32))
    keys = histograms._keys(scores)
    assert (np.diff(keys.astype(np.int64)) >= 0).all()
    tops = np.array([histograms._key_top(int(key)) for key in keys], dtype=np.float32)
    np.testing.assert_array_equal(histograms._keys(tops), keys)
    assert (tops >= scores).all()
    assert (tops - scores <= np.abs(scores) * 2**-12).all()


def test_adding_histograms_is_counting_together():
    parts = [random_scores(1000, seed) for seed in range(3)]
    added = sum((ScoreHistogram.of(*part) for part in parts), ScoreHistogram.empty())
    together = ScoreHistogram.of(*(np.concatenate(both) for both in zip(*parts, strict=True)))
    np.testing.assert_array_equal(added.keys, together.keys)
    np.testing.assert_array_equal(added.positives, together.positives)
    np.testing.assert_array_equal(added.negatives, together.negatives)


@pytest.mark.parametrize("q", [0.0, 0.5, 0.95, 0.99, 1.0])
def test_the_quantile_of_negatives_keeps_its_false_positive_rate(q):
    scores, lesion = random_scores(20_000, 2)
    threshold = np.float32(ScoreHistogram.of(scores, lesion).negative_quantile(q))
    others = scores[~lesion]
    assert (others > threshold).mean() <= 1 - q + 1e-9
    exact = np.quantile(others, q, method="inverted_cdf")
    assert threshold == pytest.approx(exact, rel=2**-12, abs=1e-30)


def test_an_empty_histogram_is_undefined():
    empty = ScoreHistogram.empty()
    healthy = ScoreHistogram.of(np.ones(3, dtype=np.float32), np.zeros(3, dtype=bool))
    for histogram in (empty, healthy, empty + empty):
        assert math.isnan(histogram.auroc)
        assert math.isnan(histogram.auprc)
        assert all(math.isnan(value) for value in histogram.best_dice())
    assert math.isnan(empty.negative_quantile(0.5))
    assert healthy.negative_quantile(0.5) == pytest.approx(1, rel=2**-12)


def test_a_histogram_refuses_nan():
    with pytest.raises(ValueError, match="finite"):
        ScoreHistogram.of(np.array([np.nan]), np.array([True]))


def test_curves_of_a_histogram_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    lesion = rng.random(4000) < 0.2
    scores = np.round(rng.normal(size=4000) + lesion, 2).astype(np.float32)
    histogram = ScoreHistogram.of(scores, lesion)
    fpr, tpr = histogram.roc_curve(10**6)
    expected = roc_curve(lesion, scores, drop_intermediate=False)
    np.testing.assert_allclose((fpr, tpr), expected[:2], atol=1e-12)
    recall, precision = histogram.precision_recall_curve(10**6)
    all_precision, all_recall, _ = precision_recall_curve(lesion, scores)
    found = all_recall > 0
    np.testing.assert_allclose(recall, all_recall[found][::-1], atol=1e-12)
    np.testing.assert_allclose(precision, all_precision[found][::-1], atol=1e-12)


def test_a_thinned_curve_keeps_its_ends_and_its_area() -> None:
    rng = np.random.default_rng(4)
    lesion = rng.random(50_000) < 0.1
    histogram = ScoreHistogram.of(rng.normal(size=50_000) + 2 * lesion, lesion)
    fpr, tpr = histogram.roc_curve()
    assert len(fpr) <= 256
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(tpr, fpr) == pytest.approx(histogram.auroc, abs=2e-3)


def test_curves_are_empty_where_a_class_is_missing() -> None:
    nothing = ScoreHistogram.empty()
    healthy = ScoreHistogram.of(np.arange(3.0), np.zeros(3, bool))
    for histogram in (nothing, healthy):
        assert [c.size for c in histogram.roc_curve()] == [0, 0]
        assert [c.size for c in histogram.precision_recall_curve()] == [0, 0]
