"""Painted anomalies: within the brain, of many kinds, the same for the same generator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipeline.diffusion.anomalies import with_anomalies


def slices(n_channels: int = 1) -> tuple[Tensor, Tensor]:
    """Forty smooth slices and their brains, discs."""
    y, x = torch.meshgrid(torch.arange(32.0) - 15.5, torch.arange(32.0) - 15.5, indexing="ij")
    brain = ((x / 12) ** 2 + (y / 14) ** 2 < 1).expand(40, 1, 32, 32)
    image = (0.3 * torch.cos(x / 3) + 0.01 * y).expand(40, n_channels, 32, 32)
    return torch.where(brain, image, -1.0), brain


def painted(seed: int = 0, n_channels: int = 1) -> Tensor:
    images, brain = slices(n_channels)
    return with_anomalies(images, brain, 6.5, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n_channels", [1, 2])
def test_only_the_brain_changes_and_most_slices_do(n_channels: int) -> None:
    images, brain = slices(n_channels)
    changed = painted(n_channels=n_channels) - images
    assert changed.shape == images.shape
    assert not changed[~brain.expand_as(images)].any()
    share = (changed.abs().amax((1, 2, 3)) > 0.02).float().mean()
    assert 0.7 < share <= 1
    assert painted(n_channels=n_channels).abs().max() <= 1


def test_anomalies_are_brighter_and_darker_small_and_large() -> None:
    images, brain = slices()
    changed = torch.cat([painted(seed) - images for seed in range(5)])
    mean = changed.sum((1, 2, 3)) / (changed.abs() > 0.02).sum((1, 2, 3)).clamp_min(1)
    assert (mean > 0.1).float().mean() > 0.2
    assert (mean < -0.1).float().mean() > 0.2
    share = (changed.abs() > 0.05).sum((1, 2, 3)) / brain[0].sum()
    assert share.quantile(0.1) < 0.05
    assert share.quantile(0.9) > 0.15


def test_the_generator_decides_them() -> None:
    assert torch.equal(painted(4), painted(4))
    assert not torch.equal(painted(4), painted(5))


def test_a_slice_without_brain_stays_as_it_is() -> None:
    images, brain = torch.full((3, 1, 16, 16), -1.0), torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(with_anomalies(images, brain, 6.5, generator), images)
