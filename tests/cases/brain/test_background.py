"""The value of the background, by the edges of the field of view."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.cases.brain.background import background_of
from pipeline.files.images.volume import Volume


def image(background: np.ndarray | float) -> Volume:
    """A ball of values around 0 that touches the faces, as of an image cropped to the brain."""
    index = np.indices((20, 24, 22))
    centre = np.array([9.5, 11.5, 10.5])[:, None, None, None]
    ball = (((index - centre) / (centre + 0.5)) ** 2).sum(0) < 1
    values = np.random.default_rng(0).normal(0, 100, ball.shape)
    return Volume(
        np.where(ball, values, background).astype(np.float32), np.eye(4), Path("a.nii.gz")
    )


@pytest.mark.parametrize("value", [0.0, -1024.0, 3e-7, 255.0])
def test_one_value_at_the_edges_is_the_background(value: float) -> None:
    volume = image(value)
    background = background_of(volume)
    assert background.value == pytest.approx(value)
    inside = background.leaves(volume.data)
    assert inside.mean() == pytest.approx(np.pi / 6, abs=0.02)


def test_rounding_is_one_value() -> None:
    rounding = np.random.default_rng(1).uniform(-2e-5, 2e-5, (20, 24, 22))
    volume = image(-7.0 + rounding)
    assert background_of(volume).leaves(volume.data).mean() < 0.55


def test_noise_at_the_edges_is_no_background() -> None:
    volume = image(np.random.default_rng(1).uniform(1, 20, (20, 24, 22)))
    assert background_of(volume).value == 0
    assert background_of(volume).leaves(volume.data).all()


def test_a_jpeg_is_black_within_its_error() -> None:
    volume = replace(image(np.random.default_rng(1).integers(0, 8, (20, 24, 22))), lossy=True)
    background = background_of(volume)
    assert (background.value, background.tolerance) == (0, 10)
