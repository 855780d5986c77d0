"""What is measured on a case: facts by hand, and a contract for everything that is registered."""

import math

import nibabel as nib
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.scores.case_metrics import METRICS, ScoredCase, slice_axis, slice_scores, top_mean


def test_top_mean_takes_the_highest_hundredth():
    scores = np.random.default_rng(0).permutation(300.0 * np.ones(1000) - np.arange(1000))
    assert top_mean(scores) == pytest.approx(300 - 4.5)
    assert top_mean(np.arange(101.0)) == 99.5  # a begun hundredth counts
    assert top_mean(np.array([1.0, 5.0])) == 5
    assert math.isnan(top_mean(np.zeros(0)))


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
    scores, labels = slice_scores(*_slices())
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
    assert slice_axis(turned[0].affine) == [c in "SI" for c in code].index(True)
    scores, labels = slice_scores(arrays[0], arrays[1] > 0, arrays[2] > 0, turned[0].affine)
    assert sorted(zip(scores, labels, strict=True)) == [(1, False), (2, True), (4, False)]


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
