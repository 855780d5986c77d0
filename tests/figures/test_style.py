"""The style of all figures."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import torch
from drawn import SUMMARY, is_within
from matplotlib.figure import Figure
from PIL import Image

from pipeline.figures.noise import forward_strip, noise_gallery
from pipeline.figures.scores import score_bars
from pipeline.figures.style import DOUBLE, save


def drawings(picture: torch.Tensor) -> dict[str, Figure]:
    return {
        "noise": noise_gallery(picture),
        "forward": forward_strip(picture),
        "bars": score_bars(SUMMARY),
    }


def test_figures_are_as_wide_as_two_columns_and_nothing_is_cut_off(picture: torch.Tensor) -> None:
    for name, figure in drawings(picture).items():
        assert figure.get_size_inches()[0] == DOUBLE, name
        assert is_within(figure), name


def test_the_style_stays_within_the_figures(picture: torch.Tensor, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    save(forward_strip(picture), tmp_path / "x.pdf")
    assert dict(matplotlib.rcParams) == before


def test_fonts_are_embedded_as_truetype(tmp_path: Path) -> None:
    data = save(score_bars(SUMMARY), tmp_path / "bars.pdf").read_bytes()
    assert b"/FontFile2" in data
    assert b"/Subtype /Type3" not in data
    assert Image.open(save(score_bars(SUMMARY), tmp_path / "b.png")).width == 2160
