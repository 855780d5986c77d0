"""What a scanner does to an image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pipeline.phantom.scanner import acquire


def test_the_scanner_leaves_no_rim_at_the_brain_edge() -> None:
    flat = np.ones((40, 40, 40), np.float32)
    mask = np.zeros(flat.shape, bool)
    mask[8:32, 8:32, 8:32] = True
    image = acquire(np.random.default_rng(0), flat, mask, 1.0)
    edge = mask & ~ndimage.binary_erosion(mask, iterations=2)
    assert image[edge].mean() == pytest.approx(image[mask].mean(), rel=0.02)
