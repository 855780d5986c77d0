"""The network that marks lesions in any contrast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import pipeline.maps.lesions.network as module
from pipeline.cases.case import Case
from pipeline.cases.find import find_cases
from pipeline.cases.grid import Grid
from pipeline.cases.loop import QUIET
from pipeline.cases.transforms import CaseTransforms
from pipeline.errors import InputError
from pipeline.maps.lesions.network import LesionNetwork, lesion_network, mark, slabs
from pipeline.phantom.cohort import CohortPlan, write_cohort


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A synthetic brain; one without any tissues looks ill all over to the network."""
    folder = tmp_path_factory.mktemp("healthy")
    write_cohort(folder, CohortPlan(["flair"], 1, 0), spacing_mm=3.0, execution=QUIET)
    return find_cases(folder, modalities=["flair"]).cases[0]


@pytest.mark.parametrize("grid", [Grid(), Grid(96, 2.2, 2.2), Grid(48, 4.0, 5.0)], ids=str)
def test_a_bright_ball_is_marked_on_any_grid(grid: Grid, healthy: Case) -> None:
    prepared = CaseTransforms(("flair",), grid)(healthy)
    brain = prepared.brain[:, 0].numpy()
    index = np.argwhere(brain)
    middle = (index.min(0) + index.max(0)) / 2
    mm = [
        (i - m) * s for i, m, s in zip(np.indices(brain.shape), middle, grid.axes_mm, strict=True)
    ]
    lesion = brain & ((mm[0] - 15) ** 2 + (mm[1] - 15) ** 2 + (mm[2] + 30) ** 2 < 17**2)
    image = np.where(lesion, 0.9, prepared.slices[:, 0].numpy())
    slices = torch.from_numpy(image).float()[:, None]
    found = mark(slices, prepared.brain, grid)
    assert found.probability.shape == found.healthy.shape == slices.shape
    probability = found.probability[:, 0].numpy()
    assert (probability[~brain] == 0).all()
    assert 0 <= probability.min() <= probability.max() <= 1
    assert probability[lesion].mean() > 0.5 > 3 * probability[brain & ~lesion].mean()
    restored = found.healthy[:, 0].numpy()
    assert (restored[~brain] == -1).all()
    assert restored[lesion].mean() < image[lesion].mean() - 0.2


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
