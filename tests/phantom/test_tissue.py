"""What an image says about its tissues."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.phantom.tissue import estimate_noise


def test_noise_is_estimated_from_a_known_amount() -> None:
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 50, 40)[:, None, None] + np.zeros((40, 30, 20))
    noisy = ramp + 2.5 * rng.standard_normal(ramp.shape)
    assert estimate_noise(noisy, np.ones(ramp.shape, bool)) == pytest.approx(2.5, rel=0.1)
