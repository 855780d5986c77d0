"""One picture stored in several ways gives the same slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from picture_set import draw_picture, make_phantoms
from PIL import Image

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.grid import Grid
from pipeline.cases.transforms import CaseTransforms, Prepared


def prepared(path: Path) -> Prepared:
    case = Case("a", "a", {"image": ImageFile(path)})
    return CaseTransforms(("image",), Grid(64, 3.25, 3.25))(case)


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    (phantom,) = make_phantoms(3, 1, 4.0, tumour=False)
    return draw_picture(np.random.default_rng(5), phantom, ill=False)


def store(grey: np.ndarray, path: Path, way: str) -> Path:
    if way == "rgb":
        Image.fromarray(grey).convert("RGB").save(path)
    elif way == "rgba":
        Image.fromarray(grey).convert("RGBA").save(path)
    elif way == "16 bits":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    elif way == "12 of 16 bits":
        Image.fromarray(grey.astype(np.uint16) * 16).save(path)
    elif way == "turned by EXIF":
        exif = Image.Exif()
        exif[0x0112] = 3
        Image.fromarray(grey[::-1, ::-1]).save(path, exif=exif)
    return path


@pytest.mark.parametrize("way", ["rgb", "rgba", "16 bits", "12 of 16 bits", "turned by EXIF"])
def test_the_same_picture_stored_in_another_way_gives_the_same_slices(
    way: str, grey: np.ndarray, tmp_path: Path
) -> None:
    Image.fromarray(grey).save(tmp_path / "plain.png")
    plain, other = prepared(tmp_path / "plain.png"), prepared(store(grey, tmp_path / "a.png", way))
    assert plain.slices.shape == (1, 1, 64, 64)
    assert torch.equal(plain.brain, other.brain)
    assert float((plain.slices - other.slices).abs().max()) < 1e-4


def test_a_jpeg_of_the_best_quality_gives_nearly_the_same_slices(
    grey: np.ndarray, tmp_path: Path
) -> None:
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(grey).save(tmp_path / "a.jpg", quality=100, subsampling=0)
    plain, other = prepared(tmp_path / "a.png"), prepared(tmp_path / "a.jpg")
    assert (plain.brain == other.brain).float().mean() > 0.99
    both = plain.brain & other.brain
    # At the rim of the head, where it fades into the noise of the air, they may differ by more.
    assert float((plain.slices - other.slices)[both].abs().quantile(0.9)) < 0.02
    assert np.corrcoef(plain.slices[both], other.slices[both])[0, 1] > 0.999


def test_black_to_white_becomes_minus_one_to_one(grey: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(grey).save(tmp_path / "a.png")
    slices = prepared(tmp_path / "a.png").slices
    assert float(slices.min()) == -1
    assert 0.5 < float(slices.max()) <= 1
    assert float(slices[slices > -1].min()) < -0.7  # the skull stays dark
