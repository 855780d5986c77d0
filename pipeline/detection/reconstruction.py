"""Slices to their pseudo-healthy versions: one-shot, chain or DDIM, from several draws of noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.noise.depths import seeded_fields
from pipeline.noise.noises import VolumeNoise, derive_seed, noise_at_test
from pipeline.run.config import DetectionConfig
from pipeline.run.model import Model

BATCH_SIZE = 32

Key = tuple[int | str, ...]
"""Of a draw of noise: seed, content of the case, timestep, draw, step."""


def chain_path(timestep: int, stride: int = 1) -> list[int]:
    """Timesteps at which the chain asks the network: t, t - stride, ..., 0 at stride 1."""
    return list(range(timestep, -1, -stride))


def reconstruction_of(config: DetectionConfig) -> tuple[object, ...]:
    """The settings of a recipe that the restored slices depend on."""
    return (
        config.reconstruction,
        config.timesteps,
        config.draws,
        config.coherent_noise,
        config.chain_stride,
    )


def evaluations_per_slice(config: DetectionConfig) -> int:
    """Network evaluations that a recipe spends on a slice."""
    if config.reconstruction == "clean":
        return len(config.timesteps)
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
    content: str,
    seed: int,
    positions: Sequence[int] | None = None,
) -> Tensor:
    """Restore slices from every timestep of a recipe.

    The noise of a slice depends on (seed, content, slice, t, draw, step) alone, so the result does
    not depend on names, on the batch size or on what else is processed. Coherent noise is one
    volume for each (seed, content, t, draw, step), cut at the slices.

    Args:
        slices: ``(N, C, H, W)`` in [-1, 1].
        content: of the case, enters the seed; see `Prepared`.
        positions: of the slices in the case's stack; 0, 1, 2 ... where None.

    Returns:
        ``(T, D, N, C, H, W)`` in [-1, 1] on the CPU, for each timestep and draw; D = 1 where all
        draws are alike because there is no noise (``clean``).
    """
    places = list(range(len(slices)) if positions is None else positions)
    batch_size = _batch_size(model, config, slices)
    is_random = model.scheduler.is_random and config.reconstruction != "clean"
    n_draws = config.draws if is_random else 1
    results = torch.zeros(len(config.timesteps), n_draws, *slices.shape)
    # Batches outside: coherent noise then finds the operators of its depths in the cache.
    for first in range(0, len(slices), batch_size):
        part = slices[first : first + batch_size].to(model.device)
        indices = places[first : first + batch_size]
        for i, t in enumerate(config.timesteps):
            for draw in range(n_draws):
                key = (seed, content, t, draw)

                def noise_at(
                    step: int, part: Tensor = part, indices: list[int] = indices, key: Key = key
                ) -> Tensor:
                    return _noise(model, config, part, indices, (*key, step))

                restored = model.scheduler.reconstruct(
                    model.network,
                    part,
                    t,
                    noise_at,
                    path=_path(config, t),
                    eta=0.0 if config.reconstruction == "ddim" else 1.0,
                )
                results[i, draw, first : first + len(part)] = restored.cpu()
    return results


def _path(config: DetectionConfig, t: int) -> list[int] | None:
    walks = config.reconstruction in ("chain", "ddim")
    return chain_path(t, config.chain_stride) if walks else None


def _batch_size(model: Model, config: DetectionConfig, slices: Tensor) -> int:
    noise = model.scheduler.noise
    if not config.coherent_noise:
        return BATCH_SIZE
    if not isinstance(noise, VolumeNoise):
        raise ValueError(f"coherent noise needs a noise in 3-D; got {noise}")
    return min(BATCH_SIZE, noise.depths_kept(slices[:1].to(model.device)))


def _noise(
    model: Model, config: DetectionConfig, slices: Tensor, indices: Sequence[int], key: Key
) -> Tensor:
    """Fields for slices at ``indices``; ``key`` is (seed, content, t, draw, step)."""
    if config.reconstruction == "clean":
        return torch.zeros_like(slices)
    noise = noise_at_test(model.scheduler.noise)
    if config.coherent_noise:
        assert isinstance(noise, VolumeNoise)
        grid = model.config.grid
        depths = [index * grid.slice_spacing_mm / grid.spacing_mm for index in indices]
        return noise.seeded_sections(slices, [derive_seed(*key)] * len(indices), depths)
    seed, content, *rest = key
    seeds = [derive_seed(seed, content, index, *rest) for index in indices]
    return seeded_fields(noise, slices, model.config.diffusion.noise_depth, int(rest[-1]), seeds)
