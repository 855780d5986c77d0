"""The frame on the box of a brain."""

from __future__ import annotations

import numpy as np
import pytest
from ellipsoids import SHAPE, ellipsoid
from scipy import ndimage

from pipeline.maps.placement import FRAME, on_box


def test_there_and_back_again_is_the_same_volume() -> None:
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=SHAPE), 4) * 50
    brain = ellipsoid()
    placement = on_box(brain)
    back = placement.from_frame(placement.to_frame(smooth), SHAPE)
    assert np.abs(back - smooth)[brain].max() < 0.03 * np.ptp(smooth[brain])


@pytest.mark.parametrize("axis", range(3))
def test_each_axis_of_the_frame_is_that_of_the_brain(axis: int) -> None:
    brain = ellipsoid()
    index = np.indices(SHAPE)[axis].astype(float)
    there = on_box(brain).to_frame(index)
    along = there.mean(tuple(i for i in range(3) if i != axis))
    centre = (FRAME[axis] - 1) / 2
    middle = np.interp(centre, np.arange(FRAME[axis]), along)
    assert abs(middle - np.argwhere(brain)[:, axis].mean()) < 0.01
    assert (np.diff(along) >= 0).all()
