"""What is drawn before a tumour grows."""

from __future__ import annotations

import numpy as np

from pipeline.phantom.plan import draw_plan


def test_drawn_volumes_spread_over_the_whole_range() -> None:
    rng = np.random.default_rng(0)
    volumes = [draw_plan(rng, None, 1400.0).volume_ml for _ in range(400)]
    assert min(volumes) >= 3
    assert max(volumes) <= 150
    assert np.percentile(volumes, 10) < 15
    assert np.percentile(volumes, 90) > 80
