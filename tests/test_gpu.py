"""The same on CUDA as on the CPU; skipped where there is no such device."""

from __future__ import annotations

import copy

import pytest
import torch
from small_models import untrained

from pipeline.detection.reconstruction import reconstruct
from pipeline.diffusion.network import build_network
from pipeline.noise.noises import NOISES, make_noise
from pipeline.noise.simplex import random_fields, simplex_fields
from pipeline.run.config import DetectionConfig
from pipeline.run.presets import preset_config

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_simplex_fields_are_those_of_the_cpu() -> None:
    here, there = (simplex_fields(range(4), (64, 48), device=d) for d in ("cpu", "cuda"))
    torch.testing.assert_close(there.cpu(), here, atol=1e-5, rtol=0)


def test_random_fields_from_a_generator_are_those_of_the_cpu() -> None:
    here, there = (
        random_fields(5, (64, 48), torch.Generator().manual_seed(0), device=d)
        for d in ("cpu", "cuda")
    )
    torch.testing.assert_close(there.cpu(), here, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_drawn_on_the_device_of_the_images(name: str) -> None:
    like = torch.zeros(2, 1, 32, 32, device="cuda")
    field = make_noise(name)(like, torch.Generator().manual_seed(0))
    assert field.device.type == "cuda"
    assert field.var(correction=0).item() == pytest.approx(1, abs=1e-3)


def test_a_reconstruction_is_that_of_the_cpu() -> None:
    config = preset_config("tiny", ("flair",))
    torch.manual_seed(0)
    network = build_network("tiny").eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    slices = torch.rand(3, 1, 64, 64) * 2 - 1
    restored = []
    for name in ("cpu", "cuda"):
        model = untrained(config, copy.deepcopy(network).to(name), name)
        recipe = DetectionConfig(timesteps=(200,), draws=1)
        restored.append(reconstruct(model, slices, recipe, case="a", seed=0))
    torch.testing.assert_close(restored[1], restored[0], atol=2e-2, rtol=0)
