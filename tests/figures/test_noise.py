"""Figures of noise: what differs from panel to panel."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from drawn import texts
from PIL import Image

from pipeline.figures import perturbation
from pipeline.figures.noise import forward_strip, gallery_noises, noise_gallery
from pipeline.figures.style import save
from pipeline.noise.noises import Gaussian, Simplex


def test_the_gallery_varies_one_parameter_a_row() -> None:
    for title, entries in gallery_noises():
        key = {"octaves": "octaves", "base frequency": "base_frequency", "decay": "decay"}[title]
        rest = [{k: v for k, v in vars(noise).items() if k != key} for _, noise in entries]
        assert all(other == rest[0] for other in rest)
        values = [vars(noise)[key] for _, noise in entries]
        assert values == sorted(set(values))
        assert vars(Simplex())[key] in values


def test_the_strip_shows_the_forward_process_of_the_scheduler(picture: torch.Tensor) -> None:
    figure = forward_strip(picture, timesteps=(0, 200), seed=3)
    rows = np.array([ax.images[0].get_array() for ax in figure.axes[:4]]).reshape(2, 2, 32, 32)
    for row, noise in zip(rows, (Simplex(), Gaussian()), strict=True):
        for shown, t in zip(row, (0, 200), strict=True):
            expected = perturbation.perturb(picture, noise, "cosine", t, 3)
            assert np.allclose(shown, expected, atol=1e-6)
    assert r"$t$ = 200" + "\n" + r"$\sqrt{\bar{\alpha}_t}$ = 0.95" in texts(figure)


def test_figures_of_the_same_seed_are_the_same(picture: torch.Tensor, tmp_path: Path) -> None:
    sums = []
    for i in range(2):
        save(noise_gallery(picture, seed=4), tmp_path / f"{i}.png")
        sums.append(zlib.crc32(np.asarray(Image.open(tmp_path / f"{i}.png")).tobytes()))
    assert sums[0] == sums[1]
