"""Phantoms: what can be counted on a 3 mm brain."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from phantoms import SPACING_MM, phantom
from scipy import ndimage

from pipeline.errors import InputError
from pipeline.phantom.scanner import MODALITIES
from pipeline.phantom.subject import Phantom, make_phantom


def test_the_same_seed_gives_identical_arrays(sick: Phantom) -> None:
    again = phantom(0, tumour=True, contrast="bright")
    for modality in MODALITIES:
        np.testing.assert_array_equal(again.images[modality], sick.images[modality])
    np.testing.assert_array_equal(again.label, sick.label)
    assert again.facts == sick.facts


def test_another_seed_gives_another_brain(healthy: Phantom) -> None:
    assert (phantom(1).brain_mask != healthy.brain_mask).mean() > 0.005


def test_a_modality_does_not_depend_on_which_others_are_asked_for(sick: Phantom) -> None:
    rng = np.random.default_rng([7, 0])
    alone = make_phantom(rng, ["flair"], tumour=True, spacing_mm=3.0, contrast="bright")
    np.testing.assert_array_equal(alone.images["flair"], sick.images["flair"])


def test_the_grid_is_that_of_brats(healthy: Phantom) -> None:
    assert healthy.label.shape == (80, 80, 52)
    assert nib.aff2axcodes(healthy.affine) == ("L", "P", "S")
    litres = healthy.brain_mask.sum() * SPACING_MM**3 / 1e6
    assert 1.0 < litres < 1.7


def test_images_are_zero_outside_the_brain_and_positive_inside(sick: Phantom) -> None:
    for image in sick.images.values():
        assert image.dtype == np.float32
        assert (image[~sick.brain_mask] == 0).all()
        assert (image[sick.brain_mask] > 0).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tissues_are_ordered_as_each_modality_orders_them(seed: int) -> None:
    brain = phantom(seed)
    t1 = ndimage.gaussian_filter(brain.images["t1"], 0.4)
    low, mid_low, mid_high, high = np.percentile(t1[brain.brain_mask], [4, 30, 50, 80])
    inside = ndimage.binary_erosion(brain.brain_mask)
    masks = {
        "csf": inside & (t1 < low * 1.2),
        "grey": inside & (t1 > mid_low) & (t1 < mid_high),
        "white": inside & (t1 > high),
    }
    level = {m: {k: np.median(brain.images[m][v]) for k, v in masks.items()} for m in MODALITIES}
    assert level["t1"]["white"] > 1.15 * level["t1"]["grey"] > 1.5 * level["t1"]["csf"]
    assert level["t2"]["csf"] > 1.3 * level["t2"]["grey"] > 1.3 * level["t2"]["white"]
    assert level["flair"]["grey"] > level["flair"]["white"] > 1.5 * level["flair"]["csf"]


def test_labels_are_those_of_brats_and_lie_inside_the_brain() -> None:
    for seed in range(4):
        case = phantom(seed, tumour=True)
        assert set(np.unique(case.label)) <= {0, 1, 2, 4}
        assert case.label.dtype == np.uint8
        assert not case.label[~case.brain_mask].any()
        counted = (case.label > 0).sum() * SPACING_MM**3 / 1000
        assert case.facts.tumour.volume_ml == pytest.approx(counted, abs=0.01)
        assert 2.7 <= counted <= 150


def test_a_healthy_phantom_has_no_label(healthy: Phantom) -> None:
    assert not healthy.label.any()
    assert healthy.facts.tumour is None


def test_the_tumour_leaves_the_far_anatomy_as_it_was(healthy: Phantom, sick: Phantom) -> None:
    np.testing.assert_array_equal(healthy.brain_mask, sick.brain_mask)
    changed = healthy.images["flair"] != sick.images["flair"]
    distance_mm = ndimage.distance_transform_edt(sick.label == 0) * SPACING_MM
    assert distance_mm[changed].max() < 65
    assert changed[sick.label > 0].mean() > 0.99
    assert changed[sick.brain_mask].mean() < 0.8


@pytest.mark.parametrize(
    "change", [{"modalities": ["pet"]}, {"modalities": []}, {"spacing_mm": 0.1}, {"contrast": "x"}]
)
def test_bad_arguments_of_a_phantom_are_refused(change: dict) -> None:
    with pytest.raises(InputError):
        make_phantom(np.random.default_rng(0), **{"modalities": ["t1"], "tumour": False, **change})


@pytest.mark.slow
def test_a_full_size_case_has_the_shape_of_brats() -> None:
    case = make_phantom(np.random.default_rng(0), MODALITIES, tumour=True)
    assert case.label.shape == (240, 240, 155)
    counted = (case.label > 0).sum() / 1000
    assert case.facts.tumour.volume_ml == pytest.approx(counted, abs=0.01)
    assert not case.label[~case.brain_mask].any()
