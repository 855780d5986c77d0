"""The head in pictures: banners, white edges, letters and the noise of the air are not of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from picture_set import draw_picture, make_phantoms
from PIL import Image
from scipy import ndimage

from pipeline.cases.brain.find import find_brain
from pipeline.cases.brain.head import head_of
from pipeline.cases.case import Case, ImageFile
from pipeline.files.images.reading import read_volume
from pipeline.phantom.subject import Phantom


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantoms(0, 1, 4.0, tumour=False)[0]


def mask_of(path: Path) -> np.ndarray:
    """As rows and columns of the picture."""
    case = Case("a", "a", {"image": ImageFile(path)})
    return find_brain(case, [read_volume(path)]).mask[:, :, 0].T[::-1]


@pytest.mark.parametrize("corner", ["none", "banner", "white edge", "letters"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_what_does_not_belong_to_the_head_is_left_out(
    corner: str, suffix: str, phantom: Phantom, tmp_path: Path
) -> None:
    for seed in range(6):
        grey = draw_picture(np.random.default_rng(seed), phantom, ill=False, corner=corner)
        plain = draw_picture(np.random.default_rng(seed), phantom, ill=False)
        Image.fromarray(grey).convert("RGB").save(tmp_path / f"a{suffix}")
        mask = mask_of(tmp_path / f"a{suffix}")
        # The scalp is bright, and far brighter than the air, whose level is 14 at most.
        bright = ndimage.binary_fill_holes(ndimage.gaussian_filter(plain.astype(float), 1) > 45)
        n = (mask.shape[0] - plain.shape[0]) // 2 if corner == "white edge" else 0
        inner = mask[n : n + plain.shape[0], n : n + plain.shape[1]]
        common = 2 * (inner & bright).sum() / (mask.sum() + bright.sum())
        assert common > 0.95, (seed, plain.shape)
        assert mask.sum() == inner.sum()
        if corner == "letters":
            size = max(2, round(0.015 * max(grey.shape)))
            assert not mask[: 4 * size, : 3 * size].any()


def test_a_skull_stripped_slice_on_exact_black_is_all_that_is_not_black(tmp_path: Path) -> None:
    y, x = np.indices((120, 100))
    disc = (y - 60) ** 2 + (x - 50) ** 2 < 40**2
    grey = np.where(disc, 30 + y, 0).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert (mask_of(tmp_path / "a.png") == disc).mean() > 0.999


def test_of_a_picture_of_one_value_nothing_is_a_head(tmp_path: Path) -> None:
    values = np.zeros((50, 40), np.uint8)
    values[0, 0] = 1
    Image.fromarray(values).save(tmp_path / "a.png")
    assert head_of(read_volume(tmp_path / "a.png")).mean() < 0.01
