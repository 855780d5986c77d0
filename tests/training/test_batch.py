"""Batches: their noise and timesteps, and that an epoch decides them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.noise.noises import Simplex
from pipeline.run.config import RunConfig
from pipeline.run.model import make_scheduler
from pipeline.run.settings import override
from pipeline.training.batch import N_DEPTHS, NoisePrepareBatch, make_batches
from pipeline.training.dataset import Augmentation, SliceDataset

BATCH = {name: torch.ones(3, 1, 16, 16) for name in ("brain", "weight")}


def prepare(seed: int = 4, **settings: Any) -> NoisePrepareBatch:
    """The preparation of a run with these settings, their dots written as two underscores."""
    changed = {key.replace("__", "."): value for key, value in settings.items()}
    config = override(RunConfig(), changed)
    generator = torch.Generator().manual_seed(seed)
    return NoisePrepareBatch(make_scheduler(config.diffusion), generator, config)


def test_batches_are_reproducible_and_use_our_noise() -> None:
    batch = BATCH | {"image": torch.zeros(3, 1, 16, 16)}

    def prepared() -> tuple[torch.Tensor, torch.Tensor]:
        _, target, _, infer = prepare(training__timestep_range=[100, 200])(batch)
        assert torch.equal(target[:, :1], infer["noise"])
        assert ((infer["timesteps"] >= 100) & (infer["timesteps"] < 200)).all()
        return target, infer["timesteps"]

    assert all(torch.equal(a, b) for a, b in zip(prepared(), prepared(), strict=True))


def test_coherent_batches_are_sections_at_depths_that_detection_meets() -> None:
    images = torch.zeros(6, 1, 16, 16)
    drawn = prepare(training__coherent_noise=True).get_noise(images)
    generator = torch.Generator().manual_seed(4)
    picked = torch.randint(N_DEPTHS, (6,), generator=generator)
    depths = Simplex().typical_depths(N_DEPTHS)
    expected = Simplex().sections(images, [depths[i] for i in picked], generator)
    assert len(set(picked.tolist())) > 2
    assert torch.equal(drawn, expected)


def test_a_field_is_cut_at_the_timestep_where_that_is_its_depth() -> None:
    batch = BATCH | {"image": torch.zeros(3, 1, 16, 16)}
    prepared = prepare(diffusion__noise_depth="timestep")
    *_, infer = prepared(batch)
    again = torch.Generator().manual_seed(4)
    timesteps = torch.randint(0, 1000, (3,), generator=again)
    expected = Simplex().sections(batch["image"], [float(t) for t in timesteps], again)
    assert torch.equal(infer["timesteps"], timesteps)
    assert torch.equal(infer["noise"], expected)


def test_a_network_that_undoes_anomalies_is_given_them_without_noise() -> None:
    healthy = torch.linspace(-0.5, 0.5, 16).expand(3, 1, 16, 16).clone()
    prepared = prepare(
        diffusion__degradation="anomaly",
        diffusion__prediction_type="sample",
        detection__draws=1,
        grid__spacing_mm=13.0,
    )
    images, target, _, infer = prepared(BATCH | {"image": healthy})
    assert torch.equal(images, healthy)
    assert torch.equal(target[:, :1], healthy)
    changed = (infer["noise"] - healthy).abs().amax((1, 2, 3))
    assert (changed > 0.05).any()
    assert infer["noise"].abs().max() <= 1


def test_with_noise_and_anomalies_the_right_answer_is_the_healthy_image() -> None:
    healthy = torch.linspace(-0.5, 0.5, 16).expand(3, 1, 16, 16).clone()
    prepared = prepare(
        diffusion__degradation="both",
        diffusion__prediction_type="sample",
        grid__spacing_mm=13.0,
    )
    _, target, _, infer = prepared(BATCH | {"image": healthy})
    assert torch.equal(target[:, :1], healthy)
    plain = prepare()(BATCH | {"image": healthy})[3]
    timesteps = infer["timesteps"]
    assert torch.equal(plain["timesteps"], timesteps)
    # What is beside the noise in x_t is the anomalous image, as much of it as of the healthy one.
    scheduler = prepared.scheduler
    noisy, without = (
        scheduler.add_noise(healthy, one["noise"], timesteps) for one in (infer, plain)
    )
    change = (noisy - without) / scheduler.alpha_bar(timesteps, healthy).sqrt()
    assert change.abs().max() > 0.02
    assert (healthy + change).abs().max() <= 1 + 1e-4


def test_all_randomness_of_a_batch_follows_from_the_epoch(
    config: RunConfig, tmp_path: Path
) -> None:
    stack = np.random.default_rng(0).random((9, 3, 32, 32)).astype(np.float32)
    np.save(tmp_path / "stack.npy", stack)

    def drawn(*epochs: int) -> list[torch.Tensor]:
        augmentation = Augmentation(config.training, spacing_mm=6.5, seed=0)
        batches = make_batches(SliceDataset([tmp_path / "stack.npy"], augmentation), config)
        for epoch in epochs:
            batches.begin(epoch)
        images = [batch["image"] for batch in batches.loader]
        return [*images, torch.rand(4, generator=batches.noise)]

    second, resumed, third = drawn(1, 2), drawn(2), drawn(3)
    assert all(torch.equal(a, b) for a, b in zip(second, resumed, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(second, third, strict=True))
