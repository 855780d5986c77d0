"""The network that marks lesions in any contrast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import pipeline.maps.lesions.network as module
from pipeline.cases.grid import Grid
from pipeline.errors import InputError
from pipeline.maps.lesions.network import LesionNetwork, lesion_network, mark, slabs


@pytest.mark.parametrize(
    ("grid", "shape"),
    [
        (Grid(), (42, 64, 64)),
        (Grid(96, 2.2, 2.2), (62, 96, 96)),
        (Grid(48, 4.0, 5.0), (27, 48, 48)),
    ],
)
def test_a_bright_ball_is_marked_on_any_grid(grid: Grid, shape: tuple[int, int, int]) -> None:
    index = np.indices(shape).astype(float)
    mm = [(i - (n - 1) / 2) * s for i, n, s in zip(index, shape, grid.axes_mm, strict=True)]
    brain = (mm[0] / 62) ** 2 + (mm[1] / 80) ** 2 + (mm[2] / 65) ** 2 < 1
    lesion = mm[0] ** 2 + (mm[1] - 15) ** 2 + (mm[2] + 28) ** 2 < 17**2
    noise = 0.05 * np.random.default_rng(0).normal(size=shape)
    image = np.where(brain, np.where(lesion, 0.7, -0.1) + noise, -1.0)
    slices = torch.from_numpy(image).float()[:, None]
    found = mark(slices, torch.from_numpy(brain)[:, None], grid)
    assert found.probability.shape == found.healthy.shape == slices.shape
    probability = found.probability[:, 0].numpy()
    assert (probability[~brain] == 0).all()
    assert 0 <= probability.min() <= probability.max() <= 1
    assert probability[lesion].mean() > 0.5 > 3 * probability[brain & ~lesion].mean()
    healthy = found.healthy[:, 0].numpy()
    assert (healthy[~brain] == -1).all()
    assert healthy[lesion].mean() < image[lesion].mean() - 0.2


def test_several_channels_are_marked_each_and_averaged() -> None:
    rng = np.random.default_rng(1)
    brain = torch.ones(9, 1, 64, 64, dtype=torch.bool)
    two = torch.from_numpy(rng.uniform(-1, 1, (9, 2, 64, 64))).float()
    both = mark(two, brain, Grid())
    first, second = (mark(two[:, [k]], brain, Grid()) for k in (0, 1))
    torch.testing.assert_close(both.probability, (first.probability + second.probability) / 2)
    torch.testing.assert_close(both.healthy, torch.cat([first.healthy, second.healthy], 1))


def test_a_case_and_its_mirror_image_are_marked_alike() -> None:
    rng = np.random.default_rng(2)
    slices = torch.from_numpy(rng.uniform(-1, 1, (9, 1, 64, 64))).float()
    brain = torch.ones(9, 1, 64, 64, dtype=torch.bool)
    found, mirrored = mark(slices, brain, Grid()), mark(slices.flip(-1), brain, Grid())
    torch.testing.assert_close(mirrored.probability.flip(-1), found.probability, atol=1e-5, rtol=0)
    torch.testing.assert_close(mirrored.healthy.flip(-1), found.healthy, atol=1e-4, rtol=0)


def test_slabs_repeat_the_last_slice_beyond_an_end() -> None:
    stack = torch.arange(4.0)[:, None, None].expand(4, 8, 8)
    found = slabs(stack, torch.tensor([0, 2]))[:, :, 0, 0]
    assert found.tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 3]]


def test_the_network_answers_alike_whatever_else_is_in_the_batch() -> None:
    network = LesionNetwork(widths=(8, 8)).eval()
    slab = torch.randn(3, 5, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = network(slab)
        alone = torch.cat([network(one[None]) for one in slab])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_weights_that_are_missing_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lesion_network.cache_clear()
    monkeypatch.setattr(module, "WEIGHTS", tmp_path / "gone.pt")
    with pytest.raises(InputError, match="not in this copy"):
        lesion_network()
