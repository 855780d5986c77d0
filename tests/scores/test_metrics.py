"""Facts counted by hand, twins in scikit-learn and brute force, and a contract for the registry."""

import math

import nibabel as nib
import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from pipeline.scores import metrics
from pipeline.scores.metrics import METRICS, ScoredCase, ScoreHistogram

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


def _random_scores(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores with an atom at 0, ties, and negative values; higher in a 10 % lesion."""
    rng = np.random.default_rng(seed)
    lesion = rng.random(n) < 0.1
    scores = (rng.normal(size=n) + 1.5 * lesion).astype(np.float32)
    scores[rng.random(n) < 0.3] = 0
    tied = rng.random(n) < 0.2
    scores[tied] = np.round(scores[tied], 1)
    return scores, lesion


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_best_dice_is_the_best_of_every_threshold(seed, dtype):
    scores, lesion = _random_scores(300, seed)
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


def test_top_mean_takes_the_highest_hundredth():
    scores = np.random.default_rng(0).permutation(300.0 * np.ones(1000) - np.arange(1000))
    assert metrics.top_mean(scores) == pytest.approx(300 - 4.5)
    assert metrics.top_mean(np.arange(101.0)) == 99.5  # a begun hundredth counts
    assert metrics.top_mean(np.array([1.0, 5.0])) == 5
    assert math.isnan(metrics.top_mean(np.zeros(0)))


# --- lesions -------------------------------------------------------------------------------------


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


# --- slices --------------------------------------------------------------------------------------


def _slices() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Slice k scores k; 0 is no brain, 2 shows 16 mm2 of lesion, 3 only 4 mm2."""
    shape = (6, 7, 5)
    anomaly_map = np.broadcast_to(np.arange(5, dtype=np.float32), shape).copy()
    brain = np.ones(shape, dtype=bool)
    brain[..., 0] = False
    lesion = np.zeros(shape, dtype=bool)
    lesion[:4, 0, 2] = lesion[0, 0, 3] = True
    return anomaly_map, lesion, brain, np.diag([2.0, 2.0, 3.0, 1.0])


def test_slice_scores_counted_by_hand():
    scores, labels = metrics.slice_scores(*_slices())
    np.testing.assert_array_equal(scores, [1, 2, 4])
    np.testing.assert_array_equal(labels, [False, True, False])


@pytest.mark.parametrize("code", ["LPS", "SAR", "ILA", "PIR"])
def test_axial_slices_are_found_for_any_orientation(code):
    anomaly_map, lesion, brain, affine = _slices()
    turn = nib.orientations.axcodes2ornt(code)
    turned = [
        nib.Nifti1Image(volume.astype(np.float32), affine).as_reoriented(
            nib.orientations.ornt_transform(nib.io_orientation(affine), turn)
        )
        for volume in (anomaly_map, lesion, brain)
    ]
    arrays = [np.asarray(image.dataobj) for image in turned]
    assert "".join(nib.aff2axcodes(turned[0].affine)) == code
    assert metrics.slice_axis(turned[0].affine) == [c in "SI" for c in code].index(True)
    scores, labels = metrics.slice_scores(arrays[0], arrays[1] > 0, arrays[2] > 0, turned[0].affine)
    assert sorted(zip(scores, labels, strict=True)) == [(1, False), (2, True), (4, False)]


# --- over cases ----------------------------------------------------------------------------------


def test_bootstrap_of_two_cases_spans_both():
    assert metrics.bootstrap_ci(np.array([0.0, np.nan, 1.0])) == (0.5, 0, 1)


def test_bootstrap_of_equal_cases_has_no_width():
    assert metrics.bootstrap_ci(np.full(5, 0.25)) == (0.25, 0.25, 0.25)


def test_bootstrap_is_undefined_below_two_cases():
    one = metrics.bootstrap_ci(np.array([0.7, np.nan, np.inf]))
    assert one.mean == 0.7
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert all(math.isnan(value) for value in metrics.bootstrap_ci(np.zeros(0)))


def test_bootstrap_agrees_with_the_normal_interval():
    values = np.random.default_rng(1).normal(size=400)
    half = 1.96 * values.std() / 20
    interval = metrics.bootstrap_ci(values, seed=3)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.01)
    assert interval == metrics.bootstrap_ci(values, seed=3)


def test_bootstrap_of_auroc():
    scores, lesion = _random_scores(80, 0)
    interval = metrics.bootstrap_auroc(scores, lesion)
    assert interval.mean == roc_auc_score(lesion, scores)
    assert interval.low < interval.mean < interval.high
    assert metrics.bootstrap_auroc(lesion.astype(float), lesion) == (1, 1, 1)
    assert math.isnan(metrics.bootstrap_auroc(scores, np.zeros(80, dtype=bool)).mean)


def test_pairwise_auroc_agrees_with_scikit_learn():
    scores, lesion = _random_scores(200, 1)
    pairwise = metrics._mann_whitney(scores[lesion], scores[~lesion])
    assert pairwise == pytest.approx(roc_auc_score(lesion, scores))


@pytest.mark.parametrize("shift", [0.0, -10.0, 1000.0])
def test_histogram_agrees_with_exact_scores(shift):
    scores, lesion = _random_scores(50_000, 0)
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
    keys = metrics._keys(scores)
    assert (np.diff(keys.astype(np.int64)) >= 0).all()
    tops = np.array([metrics._key_top(int(key)) for key in keys], dtype=np.float32)
    np.testing.assert_array_equal(metrics._keys(tops), keys)
    assert (tops >= scores).all()
    assert (tops - scores <= np.abs(scores) * 2**-12).all()


def test_adding_histograms_is_counting_together():
    parts = [_random_scores(1000, seed) for seed in range(3)]
    added = sum((ScoreHistogram.of(*part) for part in parts), ScoreHistogram.empty())
    together = ScoreHistogram.of(*(np.concatenate(both) for both in zip(*parts, strict=True)))
    np.testing.assert_array_equal(added.keys, together.keys)
    np.testing.assert_array_equal(added.positives, together.positives)
    np.testing.assert_array_equal(added.negatives, together.negatives)


@pytest.mark.parametrize("q", [0.0, 0.5, 0.95, 0.99, 1.0])
def test_the_quantile_of_negatives_keeps_its_false_positive_rate(q):
    scores, lesion = _random_scores(20_000, 2)
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


# --- the registry --------------------------------------------------------------------------------


def _case(*, lesion: bool = True, mask: bool = True, regions: bool = True) -> ScoredCase:
    rng = np.random.default_rng(0)
    shape = (10, 11, 12)
    brain = np.zeros(shape, dtype=bool)
    brain[1:9, 1:10, 1:11] = True
    tumour = np.zeros(shape, dtype=bool)
    tumour[3:6, 3:6, 3:6] = lesion
    core = tumour.copy()
    core[3] = False
    masks = {"whole_tumour": tumour}
    if regions:
        masks |= {"tumour_core": core, "enhancing": core & ~tumour}
    anomaly_map = (rng.random(shape) + tumour).astype(np.float32)
    called = anomaly_map > 0.9 if mask else None
    return ScoredCase(anomaly_map, brain, masks, np.diag([2.0, 2.0, 2.0, 1.0]), called)


@pytest.mark.parametrize("lesion", [True, False])
@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("regions", [True, False])
@pytest.mark.parametrize("name", METRICS)
def test_every_metric_returns_a_float_and_ignores_the_background(name, lesion, mask, regions):
    case = _case(lesion=lesion, mask=mask, regions=regions)
    noise = np.random.default_rng(1).random(case.anomaly_map.shape).astype(np.float32) * 100
    scrambled = ScoredCase(
        np.where(case.brain_mask, case.anomaly_map, noise),
        case.brain_mask,
        case.regions,
        case.affine,
        case.mask | ~case.brain_mask if case.mask is not None else None,
    )
    value = METRICS[name](case)
    assert isinstance(value, float)
    assert not math.isinf(value)
    np.testing.assert_equal(METRICS[name](scrambled), value)


def test_a_metric_does_not_depend_on_the_memory_layout():
    case = _case()
    other = ScoredCase(
        np.asfortranarray(case.anomaly_map),
        np.asfortranarray(case.brain_mask),
        case.regions,
        case.affine,
        np.asfortranarray(case.mask),
    )
    for name, metric in METRICS.items():
        np.testing.assert_equal(metric(case), metric(other), err_msg=name)


def test_a_case_counted_by_hand():
    case = _case()
    called, tumour = case.mask & case.brain_mask, case.regions["whole_tumour"]
    assert METRICS["tumour_fp_ml"](case) == pytest.approx((called & ~tumour).sum() * 0.008)
    assert math.isnan(METRICS["healthy_fp_ml"](case))
    healthy = _case(lesion=False)
    called = healthy.mask & healthy.brain_mask
    assert METRICS["healthy_fp_ml"](healthy) == pytest.approx(called.sum() * 0.008)
    assert METRICS["healthy_fp_rate"](healthy) == called.sum() / healthy.brain_mask.sum()
    assert math.isnan(METRICS["tumour_fp_ml"](healthy))


def test_a_region_is_set_against_brain_without_any_lesion():
    case = _case()
    # The rest of the lesion, however hot, is no negative of the core.
    hot = case.anomaly_map.copy()
    rest = case.regions["whole_tumour"] & ~case.regions["tumour_core"]
    hot[rest] = 50
    changed = ScoredCase(hot, case.brain_mask, case.regions, case.affine, case.mask)
    assert METRICS["tumour_core_auroc"](changed) == METRICS["tumour_core_auroc"](case)
    core, others = case.regions["tumour_core"], case.brain_mask & ~case.regions["whole_tumour"]
    keep = core | others
    exact = roc_auc_score(core[keep], case.anomaly_map[keep])
    assert METRICS["tumour_core_auroc"](case) == pytest.approx(exact)
    assert math.isnan(METRICS["enhancing_auroc"](case))


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
