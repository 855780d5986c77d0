"""At which depth of a noise in 3-D a slice of it is taken."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.noise.noises import Noise, VolumeNoise, derive_seed

DEPTHS = ("fixed", "typical", "timestep")
"""0 for every field, where some pixels get hardly any noise; one of `N_TYPICAL` that is drawn for
each field, so that all pixels get as much; or the timestep (AnoDDPM and those who followed it)."""
N_TYPICAL = 16


def drawn_fields(
    noise: Noise, like: Tensor, depth: str, timesteps: Sequence[int], generator: torch.Generator
) -> Tensor:
    """Fields for a batch, shaped as ``like`` ``(B, C, H, W)``: mean 0 and variance 1.

    Args:
        depth: in `DEPTHS`; all but ``fixed`` need a `VolumeNoise`.
        timesteps: of each sample.
        generator: source of randomness.
    """
    if depth == "fixed":
        return noise(like, generator)
    volume = _with_depth(noise)
    if depth == "timestep":
        return volume.sections(like, [float(t) for t in timesteps], generator)
    drawn = torch.randint(N_TYPICAL, (len(like),), generator=generator).tolist()
    typical = volume.typical_depths(N_TYPICAL)
    return volume.sections(like, [typical[i] for i in drawn], generator)


def seeded_fields(
    noise: Noise, like: Tensor, depth: str, timestep: int, seeds: Sequence[int]
) -> Tensor:
    """As `drawn_fields`, but sample i of ``(B, C, H, W)`` depends on ``seeds[i]`` alone."""
    if depth == "fixed":
        return noise.seeded(like, seeds)
    volume = _with_depth(noise)
    typical = volume.typical_depths(N_TYPICAL)
    depths = [
        float(timestep) if depth == "timestep" else typical[derive_seed(seed, "depth") % N_TYPICAL]
        for seed in seeds
    ]
    return volume.seeded_sections(like, seeds, depths)


def _with_depth(noise: Noise) -> VolumeNoise:
    if not isinstance(noise, VolumeNoise):
        raise ValueError(f"a depth needs a noise in 3-D; got {noise}")
    return noise
