"""Brain tissue, scalp and noise at the rim of a mask."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pipeline.cases.brain.rim import Rim, rim_of, why_no_tissue

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
INDEX = np.indices((70, 84, 66)) - np.array([34.5, 41.5, 32.5])[:, None, None, None]
DEPTH = 1 - np.sqrt(((INDEX / np.array([33.0, 40.0, 31.0])[:, None, None, None]) ** 2).sum(0))
INSIDE = DEPTH > 0
TISSUE = 500 + 300 * ndimage.gaussian_filter(np.random.default_rng(0).normal(size=DEPTH.shape), 1.5)


def rim(data: np.ndarray) -> Rim:
    found = rim_of(np.where(INSIDE, data, 0).astype(np.float32), INSIDE, AFFINE)
    assert found is not None
    return found


@pytest.mark.parametrize("turn", [lambda x: x, lambda x: (x - 500) / 100, lambda x: x - 900])
def test_tissue_is_tissue_on_any_scale(turn: object) -> None:
    fluid = np.where(DEPTH < 0.04, 100.0, TISSUE)
    assert why_no_tissue(rim(turn(fluid))) == ""  # type: ignore[operator]


def test_scalp_over_bone_is_a_head() -> None:
    data = np.where(DEPTH < 0.17, np.where(DEPTH < 0.08, 800.0, 30.0), TISSUE)
    assert "head" in why_no_tissue(rim(data))


def test_figures_of_real_scans() -> None:
    """The middle and the least of 124 heads in noisy air; the darkest of 254 stripped scans."""
    assert "head" in why_no_tissue(Rim(0.69, 0.59, 0.84))
    assert "head" in why_no_tissue(Rim(0.46, 0.38, 0.80))
    assert why_no_tissue(Rim(0.32, 0.18, 0.89)) == ""


def test_noise_around_a_brain_and_noise_alone_are_seen() -> None:
    noise = np.random.default_rng(1).uniform(1, 20, DEPTH.shape)
    assert "noise" in why_no_tissue(rim(np.where(DEPTH < 0.15, noise, TISSUE)))
    assert "noise" in why_no_tissue(rim(noise))
    smooth = ndimage.gaussian_filter(noise, 1)
    assert "noise" in why_no_tissue(rim(np.where(DEPTH < 0.15, smooth, TISSUE)))


def test_a_thin_slab_has_no_rim() -> None:
    slab = INSIDE & (abs(INDEX[2]) < 6)
    assert rim_of(TISSUE.astype(np.float32), slab, AFFINE) is None
