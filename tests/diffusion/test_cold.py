"""Cold diffusion: what is mixed in is taken out again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pipeline.diffusion.cold import AnomalyScheduler

T = 50


class Knows(nn.Module):
    """Answers with a healthy image that it was given."""

    def __init__(self, healthy: Tensor) -> None:
        super().__init__()
        self.healthy = healthy

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        return self.healthy


def images() -> tuple[Tensor, Tensor]:
    """Healthy ones, and the same with an anomaly."""
    healthy = torch.linspace(-0.8, 0.8, 64).reshape(1, 1, 8, 8).repeat(2, 1, 1, 1)
    anomalous = healthy.clone()
    anomalous[..., 2:5, 3:6] += 0.2
    return healthy, anomalous


def no_noise(t: int) -> Tensor:
    raise AssertionError("noise was asked for")


def test_images_degrade_from_healthy_to_anomalous() -> None:
    healthy, anomalous = images()
    ours = AnomalyScheduler(T)
    assert torch.equal(
        ours.weight(torch.tensor([0, T - 1]), healthy).flatten(), torch.tensor([1 / T, 1])
    )
    torch.testing.assert_close(ours.add_noise(healthy, anomalous, T - 1), anomalous)
    half = ours.add_noise(healthy, anomalous, torch.tensor([24, 24]))
    torch.testing.assert_close(half, (healthy + anomalous) / 2)
    assert ours.target(healthy, anomalous, 3) is healthy


@pytest.mark.parametrize("path", [None, [30], [30, 20, 10, 0], list(range(30, -1, -1))])
def test_a_network_that_knows_restores_the_healthy_image_at_once_and_in_steps(
    path: list[int] | None,
) -> None:
    healthy, anomalous = images()
    ours = AnomalyScheduler(T)
    degraded = ours.add_noise(healthy, anomalous, 30)
    restored = ours.reconstruct(Knows(healthy), degraded, 30, no_noise, path=path, eta=0.0)
    torch.testing.assert_close(restored, healthy, atol=1e-6, rtol=0)


def test_a_step_back_is_the_degraded_image_of_that_timestep() -> None:
    healthy, anomalous = images()
    ours = AnomalyScheduler(T)
    x_t = ours.add_noise(healthy, anomalous, 40)
    back, x_0 = ours.step(healthy, 40, x_t, 15)
    torch.testing.assert_close(back, ours.add_noise(healthy, anomalous, 15))
    assert torch.equal(x_0, healthy)
    clipped, _ = ours.step(torch.full_like(healthy, 2), 40, x_t, -1)
    assert torch.equal(clipped, torch.ones_like(x_t))


def test_steps_go_down_and_nothing_is_made_from_noise() -> None:
    healthy, _ = images()
    ours = AnomalyScheduler(T)
    with pytest.raises(ValueError, match="a step goes down"):
        ours.step(healthy, 3, healthy, 4)
    with pytest.raises(ValueError, match="no images from noise"):
        ours.sample(Knows(healthy), healthy)
