"""Tumours put into a brain, on any grid."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from phantoms import SPACING_MM, phantom

from pipeline.errors import InputError
from pipeline.phantom.subject import Phantom
from pipeline.phantom.tumour import Brain, insert_tumour


def brain_of(phantom: Phantom) -> Brain:
    return Brain(phantom.images, phantom.brain_mask, phantom.affine)


@pytest.mark.parametrize("volume_ml", [4.0, 30.0, 120.0])
def test_the_volume_is_the_one_asked_for(healthy: Phantom, volume_ml: float) -> None:
    rng = np.random.default_rng(5)
    grown = insert_tumour(brain_of(healthy), rng, volume_ml=volume_ml)
    assert (grown.label > 0).sum() * SPACING_MM**3 / 1000 == pytest.approx(volume_ml, rel=0.1)
    assert grown.facts.volume_ml == pytest.approx(volume_ml, rel=0.1)


def test_volume_and_place_hold_on_a_flipped_anisotropic_oblique_grid() -> None:
    brain = phantom(2)
    # Every second slice in z, axes permuted, one flipped, then turned by 20 degrees.
    images = {"t1": np.moveaxis(brain.images["t1"][:, ::-1, ::2], 2, 0)}
    mask = np.moveaxis(brain.brain_mask[:, ::-1, ::2], 2, 0)
    turn = np.deg2rad(20)
    rotation = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.array([[0, -3.0, 0], [0, 0, 3.0], [6.0, 0, 0]])
    affine[:3, 3] = (10, -20, 30)
    grown = insert_tumour(Brain(images, mask, affine), np.random.default_rng(1), volume_ml=40)
    label = grown.label
    assert (label > 0).sum() * 0.054 == pytest.approx(40, rel=0.1)
    assert not label[~mask].any()
    assert (grown.images["t1"][~mask] == 0).all()
    centre = nib.affines.apply_affine(np.linalg.inv(affine), grown.facts.centre_mm)
    np.testing.assert_allclose(centre, np.argwhere(label).mean(axis=0), atol=0.1)


def test_the_input_is_not_written_to(healthy: Phantom) -> None:
    before = healthy.images["t1"].copy()
    brain = Brain({"t1": healthy.images["t1"]}, healthy.brain_mask, healthy.affine)
    insert_tumour(brain, np.random.default_rng(0))
    np.testing.assert_array_equal(before, healthy.images["t1"])


def test_the_tumour_scales_with_the_units_of_the_image(healthy: Phantom) -> None:
    one, ten = (
        insert_tumour(
            replace(brain_of(healthy), images={"flair": factor * healthy.images["flair"]}),
            np.random.default_rng(3),
        )
        for factor in (1, 10)
    )
    np.testing.assert_array_equal(one.label, ten.label)
    np.testing.assert_allclose(ten.images["flair"], 10 * one.images["flair"], rtol=2e-3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"contrast": "shiny"}, "contrast 'shiny'"),
        ({"volume_ml": -1.0}, "volume_ml -1"),
        ({"volume_ml": 900.0}, "does not fit"),
        ({"mask": np.zeros((80, 80, 52), bool)}, "does not fit a brain of 0 mL"),
        ({"mask": np.ones((4, 4, 4), bool)}, "must share one"),
        ({"images": {"ct": np.zeros((80, 80, 52))}}, "modality 'ct'"),
    ],
)
def test_what_cannot_be_used_is_named(healthy: Phantom, change: dict, reason: str) -> None:
    options = {key: change[key] for key in ("contrast", "volume_ml") if key in change}
    parts = {key: value for key, value in change.items() if key not in options}
    with pytest.raises(InputError, match=reason):
        insert_tumour(replace(brain_of(healthy), **parts), np.random.default_rng(0), **options)
