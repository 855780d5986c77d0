"""Parts of a mask, and its holes."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pipeline.cases.brain.parts import large_parts, largest_part, without_holes


def test_the_largest_part_touches_by_faces() -> None:
    mask = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 0]], bool)
    expected = mask & (np.arange(5) > 1)
    np.testing.assert_array_equal(largest_part(mask), expected)
    np.testing.assert_array_equal(largest_part(expected), expected)
    assert not largest_part(np.zeros((2, 3, 4), bool)).any()


def test_large_parts_are_kept_and_small_ones_are_counted() -> None:
    mask = np.zeros((300, 3), bool)
    mask[:200], mask[202:205], mask[210] = True, True, [True, False, True]
    parts = large_parts(mask)
    assert parts.sizes == (600,)
    assert (parts.dropped, parts.dropped_size) == (3, 11)
    mask[205:207] = True
    parts = large_parts(mask)
    assert parts.sizes == (600, 15)
    np.testing.assert_array_equal(parts.mask, mask & (np.arange(300) < 208)[:, None])
    assert large_parts(np.zeros((2, 3, 4), bool)).sizes == ()


def test_holes_are_those_that_scipy_fills() -> None:
    blobs = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(20, 24, 22)), 1) > 0.02
    np.testing.assert_array_equal(without_holes(blobs), ndimage.binary_fill_holes(blobs))
    flat = blobs[:, :, :1]
    filled = ndimage.binary_fill_holes(flat[..., 0])
    np.testing.assert_array_equal(without_holes(flat)[..., 0], filled)
    assert not without_holes(np.zeros((2, 3, 4), bool)).any()
