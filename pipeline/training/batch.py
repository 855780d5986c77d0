"""The batches of a training: which slices, in which order, with what noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from monai.engines import DiffusionPrepareBatch
from torch import Tensor
from torch.utils.data import DataLoader

from pipeline.diffusion.scheduler import SimplexDDPMScheduler
from pipeline.noise.noises import VolumeNoise, derive_seed
from pipeline.run.config import RunConfig
from pipeline.training import distributed
from pipeline.training.dataset import EpochSampler, SliceDataset, SliceItem

N_DEPTHS = 8
"""Of coherent noise: so few that their operators stay in the cache."""


class NoisePrepareBatch(DiffusionPrepareBatch):
    """MONAI's batch preparation with our noise and target, all drawn from one generator.

    The target that the loss gets carries the weight as its last channel; see `WeightedLoss` of
    `pipeline.training.losses`.

    Args:
        scheduler: gives the noise and the target.
        generator: source of noise and timesteps.
        timestep_range: t is drawn from [first, last).
        coherent: each field is a slice of a 3-D noise, at one of `N_DEPTHS` depths.
    """

    def __init__(
        self,
        scheduler: SimplexDDPMScheduler,
        generator: torch.Generator,
        timestep_range: tuple[int, int],
        *,
        coherent: bool = False,
    ) -> None:
        super().__init__(scheduler.num_train_timesteps)
        self.scheduler = scheduler
        self.generator = generator
        self.timestep_range = timestep_range
        self.coherent = coherent

    def get_noise(self, images: Tensor) -> Tensor:
        """A field for each image: the shape of ``images``, mean 0 and variance 1."""
        noise = self.scheduler.noise
        if not self.coherent:
            return noise(images, self.generator)
        assert isinstance(noise, VolumeNoise)
        depths = noise.typical_depths(N_DEPTHS)
        drawn = torch.randint(N_DEPTHS, (len(images),), generator=self.generator)
        return noise.sections(images, [depths[i] for i in drawn], self.generator)

    def get_timesteps(self, images: Tensor) -> Tensor:
        """A timestep for each image, ``(B,)`` int64, within ``timestep_range``."""
        first, last = self.timestep_range
        return torch.randint(first, last, (len(images),), generator=self.generator)

    def get_target(self, images: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network is to answer, ``(B, C, H, W)`` as ``images`` and ``noise``."""
        return self.scheduler.target(images, noise, timesteps)

    def __call__(
        self, batchdata: dict[str, Tensor], *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor, tuple[Any, ...], dict[str, Any]]:
        """What MONAI's trainer passes on.

        Args:
            batchdata: ``image`` ``(B, C, H, W)`` in [-1, 1], ``weight`` ``(B, 1, H, W)`` 0 or 1.
            args, kwargs: the device of what is returned, and further arguments of `Tensor.to`.

        Returns:
            The images, the target with the weight ``(B, C + 1, H, W)``, and the arguments of the
            inferer: ``noise`` and ``timesteps``.
        """
        images, target, rest, infer = super().__call__(batchdata, *args, **kwargs)
        return images, torch.cat([target, batchdata["weight"].to(target)], dim=1), rest, infer


@dataclass(frozen=True)
class EpochBatches:
    """Batches whose slices, order, augmentation and noise follow from (seed, epoch).

    So a resumed training goes on as an unbroken one. Each further process that trains along draws
    other noise.

    Attributes:
        dataset: augmented slices.
        sampler: this process's share of them.
        loader: batches of both.
        noise: the generator of noise and timesteps.
        seed: of the run.
    """

    dataset: SliceDataset
    sampler: EpochSampler
    loader: DataLoader[SliceItem]
    noise: torch.Generator
    seed: int

    def begin(self, epoch: int) -> None:
        """Set all randomness to that of an epoch; the first is 1."""
        self.dataset.epoch = self.sampler.epoch = epoch
        further = (distributed.rank(),) if distributed.rank() else ()
        self.noise.manual_seed(derive_seed(self.seed, "noise", epoch, *further))


def make_batches(dataset: SliceDataset, config: RunConfig) -> EpochBatches:
    """The batches of this process."""
    training = config.training
    sampler = EpochSampler(
        len(dataset),
        training.slices_per_epoch,
        config.seed,
        share=(distributed.rank(), distributed.n_processes()),
    )
    loader: DataLoader[SliceItem] = DataLoader(
        dataset, training.batch_size, sampler=sampler, num_workers=training.workers
    )
    return EpochBatches(dataset, sampler, loader, torch.Generator(), config.seed)
