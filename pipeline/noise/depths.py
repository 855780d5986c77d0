"""At which depth of a noise in 3-D a slice of it is taken."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.noise.noises import Noise, VolumeNoise, derive_seed

DEPTHS = ("fixed", "typical", "timestep")
"""0 for every field, where some pixels get hardly any noise (a standard deviation of 0.18); one of
`N_TYPICAL` that is drawn for each field, so that all pixels get as much, within a tenth; or the
timestep (AnoDDPM and those who followed it). Noises in 2-D have none."""
N_TYPICAL = 32
"""Fewer for slices so large that their operators would not all be kept."""


def drawn_fields(
    noise: Noise, like: Tensor, depth: str, timesteps: Sequence[int], generator: torch.Generator
) -> Tensor:
    """Fields for a batch, shaped as ``like`` ``(B, C, H, W)``: mean 0 and variance 1.

    Args:
        depth: in `DEPTHS`.
        timesteps: of each sample.
        generator: source of randomness.
    """
    if depth == "fixed" or not isinstance(noise, VolumeNoise):
        return noise(like, generator)
    if depth == "timestep":
        return noise.sections(like, [float(t) for t in timesteps], generator)
    typical = _typical(noise, like)
    drawn = torch.randint(len(typical), (len(like),), generator=generator).tolist()
    return noise.sections(like, [typical[i] for i in drawn], generator)


def seeded_fields(
    noise: Noise, like: Tensor, depth: str, timestep: int, seeds: Sequence[int]
) -> Tensor:
    """As `drawn_fields`, but sample i of ``(B, C, H, W)`` depends on ``seeds[i]`` alone."""
    if depth == "fixed" or not isinstance(noise, VolumeNoise):
        return noise.seeded(like, seeds)
    if depth == "timestep":
        return noise.seeded_sections(like, seeds, [float(timestep)] * len(seeds))
    typical = _typical(noise, like)
    depths = [typical[derive_seed(seed, "depth") % len(typical)] for seed in seeds]
    return noise.seeded_sections(like, seeds, depths)


def _typical(noise: VolumeNoise, like: Tensor) -> list[float]:
    return noise.typical_depths(min(N_TYPICAL, noise.depths_kept(like)))
