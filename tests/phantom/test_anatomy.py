"""The deformation of the template."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import jacobian_determinant

from pipeline.phantom.anatomy import KNOT_MM, draw_deformation


@pytest.mark.parametrize("ventricles_mm", [-4.0, 8.0])
def test_the_deformation_is_invertible(ventricles_mm: float) -> None:
    for seed in range(3):
        displacement = draw_deformation(np.random.default_rng(seed), ventricles_mm)
        determinant = jacobian_determinant(displacement, KNOT_MM)
        assert determinant.min() > 0
        assert np.abs(displacement).max() > 2.0
