"""Smooth random fields, by hand and by their statistics."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.phantom.splines import smooth_field, spline_at


def test_a_spline_of_equal_coefficients_is_constant_and_a_line_stays_a_line() -> None:
    position = np.linspace(2.0, 6.0, 9)
    constant = spline_at(np.full((9, 9, 9), 3.5), [position] * 3)
    np.testing.assert_allclose(constant, 3.5, atol=1e-5)
    line = np.broadcast_to(np.arange(9.0)[:, None, None], (9, 9, 9))
    np.testing.assert_allclose(spline_at(line, [position] * 3)[:, 0, 0], position, atol=1e-5)


@pytest.mark.parametrize("scale_mm", [1.0, 4.0, 12.0])
def test_a_smooth_field_has_mean_zero_and_unit_variance(scale_mm: float) -> None:
    rng = np.random.default_rng(0)
    spacing_mm = np.array([1.0, 2.0, 3.0])
    fields = np.stack([smooth_field(rng, (60, 40, 30), spacing_mm, scale_mm) for _ in range(12)])
    assert abs(float(fields.mean())) < 0.1
    assert 0.85 < float(fields.std()) < 1.15
