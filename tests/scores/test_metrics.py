"""Facts counted by hand, and twins in scikit-learn and brute force."""

import math

import numpy as np
import pytest
from scored import random_scores

from pipeline.scores import metrics

# Ten pixels: TP 2, FP 1, FN 3, TN 4. No two of the ratios below share a value.
MASK = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], dtype=bool)
LESION = np.array([1, 1, 0, 1, 1, 1, 0, 0, 0, 0], dtype=bool)
NONE = np.zeros(10, dtype=bool)


def test_ten_pixels_counted_by_hand():
    assert metrics.sensitivity(MASK, LESION) == 2 / 5
    assert metrics.precision(MASK, LESION) == 2 / 3
    assert metrics.specificity(MASK, LESION) == 4 / 5
    assert metrics.dice(MASK, LESION) == 4 / 8


def test_ratios_without_a_denominator_are_nan():
    assert math.isnan(metrics.dice(NONE, NONE))
    assert math.isnan(metrics.sensitivity(MASK, NONE))
    assert math.isnan(metrics.precision(NONE, LESION))
    assert math.isnan(metrics.specificity(MASK, ~NONE))
    assert metrics.dice(MASK, NONE) == 0


def test_curves_counted_by_hand():
    # Of the 6 pairs, 4 are in order and 2 tied: 5 / 6.
    scores = np.array([0.9, 0.4, 0.4, 0.4, 0.1])
    assert metrics.auroc(scores, np.array([1, 1, 1, 0, 0], dtype=bool)) == pytest.approx(5 / 6)
    # Precision 1 at the first hit, 2 / 3 at the second.
    ranked = np.array([0.9, 0.8, 0.7])
    assert metrics.auprc(ranked, np.array([1, 0, 1], dtype=bool)) == pytest.approx(5 / 6)


@pytest.mark.parametrize("lesion", [NONE, ~NONE, NONE[:0]])
def test_curves_of_one_class_are_nan(lesion):
    scores = np.arange(lesion.size, dtype=np.float32)
    assert math.isnan(metrics.auroc(scores, lesion))
    assert math.isnan(metrics.auprc(scores, lesion))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_best_dice_is_the_best_of_every_threshold(seed, dtype):
    scores, lesion = random_scores(300, seed)
    scores = scores.astype(dtype)
    dices = [metrics.dice(scores > cut, lesion) for cut in [-np.inf, *np.unique(scores)]]
    best, threshold = metrics.best_dice(scores, lesion)
    assert best == pytest.approx(np.nanmax(dices), abs=1e-12)
    assert metrics.dice(scores > threshold, lesion) == pytest.approx(best, abs=1e-12)


def test_best_dice_where_all_is_lesion_calls_all():
    scores = np.array([0.0, 0.0, 3.0], dtype=np.float32)
    best, threshold = metrics.best_dice(scores, np.ones(3, dtype=bool))
    assert best == 1
    assert (scores > threshold).all()
    assert all(math.isnan(value) for value in metrics.best_dice(scores, np.zeros(3, dtype=bool)))


def test_equal_scores_are_never_split():
    assert metrics.best_dice(np.zeros(10, dtype=np.float32), LESION)[0] == pytest.approx(10 / 15)


def _lesions() -> np.ndarray:
    """A row of ten voxels, two that touch by a corner only, and a single one."""
    lesion = np.zeros((12, 12, 6), dtype=bool)
    lesion[0:10, 0, 0] = True
    lesion[5, 5, 2] = lesion[6, 6, 3] = True
    lesion[11, 11, 5] = True
    return lesion


def test_lesions_counted_by_hand():
    mask = np.zeros_like(_lesions())
    mask[3, 0, 0] = True  # a tenth of the row
    mask[0:3, 8, 0] = True  # a finding beside every lesion
    counts = metrics.lesion_counts(mask, _lesions(), 0.01, min_ml=0.0)
    assert counts == (3, 1, 1)
    assert counts.sensitivity == 1 / 3
    assert counts.f1 == 2 / (2 + 2 + 1)


def test_a_lesion_covered_by_less_than_a_tenth_is_missed():
    lesion = np.zeros((12, 3, 3), dtype=bool)
    lesion[:11, 1, 1] = True
    mask = np.zeros_like(lesion)
    mask[0, 1, 1] = True
    assert metrics.lesion_counts(mask, lesion, 1.0).n_found == 0
    assert metrics.lesion_counts(mask, lesion, 1.0, min_overlap=1 / 11).n_found == 1


def test_small_components_are_ignored_on_both_sides():
    mask = np.zeros_like(_lesions())
    mask[0:3, 8, 0] = True
    counts = metrics.lesion_counts(mask, _lesions(), 0.01, min_ml=0.04)
    assert counts == (1, 0, 0)
    assert metrics.lesion_counts(mask, _lesions(), 0.01, min_ml=0.03).n_false == 1


def test_calling_the_whole_brain_is_a_false_finding():
    counts = metrics.lesion_counts(np.ones_like(_lesions()), _lesions(), 0.01)
    assert counts.n_false == 1


def test_lesion_scores_without_a_lesion_are_nan():
    counts = metrics.lesion_counts(_lesions(), np.zeros_like(_lesions()), 0.01)
    assert math.isnan(counts.sensitivity)
    assert math.isnan(counts.f1)
