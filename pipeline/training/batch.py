"""The batches of a training: which slices, in which order, with what noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from monai.engines import DiffusionPrepareBatch
from monai.engines.utils import default_prepare_batch
from torch import Tensor
from torch.utils.data import DataLoader

from pipeline.diffusion.anomalies import with_anomalies
from pipeline.diffusion.scheduler import SimplexDDPMScheduler
from pipeline.noise.depths import drawn_fields
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
        generator: source of noise, timesteps and anomalies.
        config: of the run: what images are degraded by, and where t is drawn from.
    """

    def __init__(
        self, scheduler: SimplexDDPMScheduler, generator: torch.Generator, config: RunConfig
    ) -> None:
        super().__init__(scheduler.num_train_timesteps)
        self.scheduler, self.generator, self.config = scheduler, generator, config

    def get_noise(self, images: Tensor, timesteps: Tensor | None = None) -> Tensor:
        """A field for each image: the shape of ``images``, mean 0 and variance 1.

        Args:
            images: ``(B, C, H, W)``.
            timesteps: ``(B,)``; asked for only where they decide the depth of the fields.
        """
        noise, depth = self.scheduler.noise, self.config.diffusion.noise_depth
        if not self.config.training.coherent_noise:
            at = [] if timesteps is None else timesteps.tolist()
            return drawn_fields(noise, images, depth, at, self.generator)
        assert isinstance(noise, VolumeNoise)
        depths = noise.typical_depths(N_DEPTHS)
        drawn = torch.randint(N_DEPTHS, (len(images),), generator=self.generator)
        return noise.sections(images, [depths[i] for i in drawn], self.generator)

    def get_timesteps(self, images: Tensor) -> Tensor:
        """A timestep for each image, ``(B,)`` int64, within ``timestep_range``."""
        first, last = self.config.training.timestep_range
        return torch.randint(first, last, (len(images),), generator=self.generator)

    def get_target(self, images: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network is to answer, ``(B, C, H, W)`` as ``images`` and ``noise``."""
        return self.scheduler.target(images, noise, timesteps)

    def __call__(
        self, batchdata: dict[str, Tensor], *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor, tuple[Any, ...], dict[str, Any]]:
        """What MONAI's trainer passes on.

        Args:
            batchdata: ``image`` ``(B, C, H, W)`` in [-1, 1], ``brain`` and ``weight``
                ``(B, 1, H, W)`` 0 or 1.
            args, kwargs: the device of what is returned, and further arguments of `Tensor.to`.

        Returns:
            The images, the target with the weight ``(B, C + 1, H, W)``, and the arguments of the
            inferer: ``noise`` and ``timesteps``.
        """
        images, _ = default_prepare_batch(batchdata, *args, **kwargs)
        noise, timesteps = self._drawn(images, batchdata)
        target = self.get_target(images, noise, timesteps)
        target = torch.cat([target, batchdata["weight"].to(target)], dim=1)
        return images, target, (), {"noise": noise, "timesteps": timesteps}

    def _drawn(self, images: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What degrades the images ``(B, C, H, W)``, as the scheduler takes it, and at which t."""
        degradation = self.config.diffusion.degradation
        if degradation == "anomaly":
            timesteps = self.get_timesteps(images).to(images.device)
            return self._with_anomalies(images, batch), timesteps
        if self.config.diffusion.noise_depth == "timestep":
            timesteps = self.get_timesteps(images)
            noise = self.get_noise(images, timesteps)
        else:
            noise = self.get_noise(images)
            timesteps = self.get_timesteps(images)
        noise, timesteps = noise.to(images), timesteps.to(images.device)
        if degradation == "both":
            share = torch.rand((len(images), 1, 1, 1), generator=self.generator).to(images)
            change = share * (self._with_anomalies(images, batch) - images)
            # As noise that leads from the healthy image to the anomalous one with noise.
            alpha_bar = self.scheduler.alpha_bar(timesteps, images)
            noise = noise + (alpha_bar / (1 - alpha_bar)).sqrt() * change
        return noise, timesteps

    def _with_anomalies(self, images: Tensor, batch: dict[str, Tensor]) -> Tensor:
        brain = batch["brain"].to(images.device) > 0.5
        return with_anomalies(images, brain, self.config.grid.spacing_mm, self.generator)


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
