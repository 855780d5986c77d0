"""Slices to their pseudo-healthy versions: one-shot or chain, averaged over noise draws."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.config import DetectionConfig
from pipeline.model import Model
from pipeline.noise import derive_seed

BATCH_SIZE = 32


def chain_path(timestep: int, stride: int = 1) -> list[int]:
    """Timesteps at which the chain asks the network: t, t - stride, ..., 0 at stride 1."""
    return list(range(timestep, -1, -stride))


def evaluations_per_slice(config: DetectionConfig) -> int:
    """Network evaluations that a recipe spends on a slice."""
    if config.reconstruction == "one_shot":
        return len(config.timesteps) * config.draws
    steps = sum(len(chain_path(t, config.chain_stride)) for t in config.timesteps)
    return steps * config.draws


@torch.inference_mode()
def reconstruct(
    model: Model,
    slices: Tensor,
    config: DetectionConfig,
    *,
    case: str,
    seed: int,
) -> Tensor:
    """Restore slices from every timestep of a recipe.

    The noise of a slice depends on (seed, case, slice, t, draw, step) alone, so the result does not
    depend on the batch size or on what else is processed.

    Args:
        slices: ``(N, C, H, W)`` in [-1, 1].
        case: name that enters the seed.

    Returns:
        ``(T, N, C, H, W)`` in [-1, 1] on the CPU: for each timestep the mean over the draws.
    """
    results = torch.zeros(len(config.timesteps), *slices.shape)
    for i, t in enumerate(config.timesteps):
        path = None if config.reconstruction == "one_shot" else chain_path(t, config.chain_stride)
        for draw in range(config.draws):
            for first in range(0, len(slices), BATCH_SIZE):
                part = slices[first : first + BATCH_SIZE].to(model.device)
                indices = range(first, first + len(part))

                def noise_at(
                    step: int, part: Tensor = part, indices: range = indices, key: tuple = (t, draw)
                ) -> Tensor:
                    seeds = [derive_seed(seed, case, index, *key, step) for index in indices]
                    return model.scheduler.noise.seeded(part, seeds)

                restored = model.scheduler.reconstruct(model.network, part, t, noise_at, path=path)
                results[i, first : first + len(part)] += restored.cpu() / config.draws
    return results
