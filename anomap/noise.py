"""Noises: those that there are, and one's own."""

from __future__ import annotations

from pipeline.noise.noises import (
    NOISES,
    Coarse,
    Gaussian,
    Mixed,
    Noise,
    Simplex,
    VolumeNoise,
    make_noise,
    standardise,
)
from pipeline.noise.noises import register_noise as register

__all__ = [
    "NOISES",
    "Coarse",
    "Gaussian",
    "Mixed",
    "Noise",
    "Simplex",
    "VolumeNoise",
    "make_noise",
    "register",
    "standardise",
]
