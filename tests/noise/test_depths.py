"""At which depth the fields of a noise in 3-D are cut."""

from __future__ import annotations

import pytest
import torch

from pipeline.noise.depths import N_TYPICAL, drawn_fields, seeded_fields
from pipeline.noise.noises import Coarse, Gaussian, Mixed, Noise, Simplex


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spread_of_pixels(depth: str, n_batches: int = 80, size: int = 64) -> torch.Tensor:
    """Standard deviation of each pixel over 250 fields a batch, ``(size, size)``."""
    source, like = generator(3), torch.empty(250, 1, size, size)
    total, squares = torch.zeros(size, size), torch.zeros(size, size)
    for _ in range(n_batches):
        fields = drawn_fields(Simplex(), like, depth, [], source)[:, 0]
        total, squares = total + fields.sum(0), squares + fields.square().sum(0)
    n_fields = n_batches * len(like)
    mean = total / n_fields
    assert mean.abs().max() < 0.1
    return (squares / n_fields - mean**2).sqrt()


def test_at_typical_depths_every_pixel_gets_as_much_noise_within_a_tenth() -> None:
    spread = spread_of_pixels("typical")
    assert spread.min() > 0.9
    assert spread.max() < 1.1


def test_at_a_fixed_depth_some_pixels_get_less_than_half() -> None:
    assert spread_of_pixels("fixed", n_batches=8).min() < 0.5


@pytest.mark.parametrize("noise", [Gaussian(), Coarse(), Mixed()], ids=str)
@pytest.mark.parametrize("depth", ["typical", "timestep"])
def test_a_noise_in_2d_has_no_depth(noise: Noise, depth: str) -> None:
    like = torch.empty(3, 1, 16, 16)
    drawn = drawn_fields(noise, like, depth, [1, 2, 3], generator())
    assert torch.equal(drawn, noise(like, generator()))
    seeded = seeded_fields(noise, like, depth, 7, [1, 2, 3])
    assert torch.equal(seeded, noise.seeded(like, [1, 2, 3]))


@pytest.mark.parametrize("depth", ["fixed", "typical", "timestep"])
def test_a_seeded_field_depends_on_its_seed_alone(depth: str) -> None:
    like, seeds = torch.empty(5, 1, 24, 24), [3, 2**40, 5, 6, 9]
    together = seeded_fields(Simplex(), like, depth, 200, seeds)
    alone = [seeded_fields(Simplex(), like[:1], depth, 200, [seed]) for seed in seeds]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_seeds_lead_to_many_depths() -> None:
    like = torch.empty(64, 1, 8, 8)
    together = seeded_fields(Simplex(), like, "typical", 0, list(range(64)))
    typical = Simplex().typical_depths(N_TYPICAL)
    found = {
        depth
        for depth in typical
        for seed, field in enumerate(together)
        if torch.allclose(Simplex().seeded_sections(like[:1], [seed], [depth])[0], field, atol=1e-5)
    }
    assert len(found) > 20
