"""A picture with its map in colours: as the picture lies, grey where the map is 0."""

from __future__ import annotations

import numpy as np

from pipeline.maps.overlay import HEAT, OUTLINE, overlay


def test_four_pixels_by_hand() -> None:
    """Left to right along the first axis, upwards along the second."""
    grey = np.array([[0.0, 100.0], [50.0, 100.0]])
    found = np.array([[0.0, 0.0], [0.0, 2.0]])
    seen = overlay(grey, found, None, (0.0, 1.0))
    assert seen.shape == (2, 2, 3)
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert seen[1, 0].tolist() == [0, 0, 0]
    assert seen[1, 1].tolist() == [128, 128, 128]
    assert seen[0, 1].tolist() == [round(0.35 * 255 + 0.65 * c) for c in HEAT]


def test_the_mask_has_a_border() -> None:
    mask = np.zeros((7, 7), bool)
    mask[2:5, 2:5] = True
    seen = overlay(np.full((7, 7), 80.0), np.full((7, 7), 0.5), mask, (0.5, 1.0))
    outlined = (seen == OUTLINE).all(-1)
    assert outlined.sum() == 8
    assert not outlined[3, 3]
    assert len(np.unique(seen[3, 3])) == 1  # no colour below the window
