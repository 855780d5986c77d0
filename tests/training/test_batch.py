"""Batches: their noise and timesteps, and that an epoch decides them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pipeline.diffusion.scheduler import SimplexDDPMScheduler
from pipeline.noise.noises import Simplex
from pipeline.run.config import RunConfig
from pipeline.training.batch import N_DEPTHS, NoisePrepareBatch, make_batches
from pipeline.training.dataset import Augmentation, SliceDataset


def test_batches_are_reproducible_and_use_our_noise() -> None:
    scheduler = SimplexDDPMScheduler()
    batch = {"image": torch.zeros(3, 1, 16, 16), "weight": torch.ones(3, 1, 16, 16)}

    def prepared() -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(4)
        prepare = NoisePrepareBatch(scheduler, generator, (100, 200))
        _, target, _, infer = prepare(batch)
        assert torch.equal(target[:, :1], infer["noise"])
        assert ((infer["timesteps"] >= 100) & (infer["timesteps"] < 200)).all()
        return target, infer["timesteps"]

    assert all(torch.equal(a, b) for a, b in zip(prepared(), prepared(), strict=True))


def test_coherent_batches_are_sections_at_depths_that_detection_meets() -> None:
    scheduler = SimplexDDPMScheduler()
    images = torch.zeros(6, 1, 16, 16)
    prepare = NoisePrepareBatch(
        scheduler, torch.Generator().manual_seed(4), (0, 1000), coherent=True
    )
    drawn = prepare.get_noise(images)
    generator = torch.Generator().manual_seed(4)
    picked = torch.randint(N_DEPTHS, (6,), generator=generator)
    depths = Simplex().typical_depths(N_DEPTHS)
    expected = Simplex().sections(images, [depths[i] for i in picked], generator)
    assert len(set(picked.tolist())) > 2
    assert torch.equal(drawn, expected)


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
