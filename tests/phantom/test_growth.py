"""The mass effect of a tumour."""

from __future__ import annotations

import numpy as np
from phantoms import jacobian_determinant
from scipy import ndimage

from pipeline.phantom.growth import mass_effect
from pipeline.phantom.plan import Site, draw_plan
from pipeline.phantom.tissue import Tissue


def test_the_mass_effect_is_invertible_and_holds_the_surface() -> None:
    x, y, z = np.ogrid[-30:31, -30:31, -30:31]
    ball = (x**2 + y**2 + z**2) < 28**2
    tissue = Tissue(ball.astype(np.float32), np.zeros(ball.shape, np.float32))
    for seed in range(20):
        plan = draw_plan(np.random.default_rng(seed), None, 1400.0)
        site = Site(ball, tissue, np.full(3, 2.0), np.array([38.0, 30.0, 30.0]))
        shift = np.stack(mass_effect(plan, site))
        assert jacobian_determinant(shift, 1.0)[2:-2, 2:-2, 2:-2].min() > 0
        surface = ball & ~ndimage.binary_erosion(ball)
        assert np.abs(shift[:, surface]).max() * 2.0 < 1.5
