"""Anomalies painted into healthy slices, for a network that learns to undo them.

Their outline and their texture are fields of simplex noise; they are of foreign intensity, some
with a core and a rim, and some push aside what is around them. Networks that restore what was
painted in find real lesions (Naval Marimont et al., "DISYRE", ISBI 2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.noise.noises import Noise, Simplex

RADII_MM = (5.0, 40.0)
PUSH_MM = 8.0
"""Farthest that tissue is moved aside."""
SHARES = (0.9, 0.3)
"""How often a slice gets a first anomaly, and a second one."""
_OUTLINE, _TEXTURE = Simplex(octaves=3), Simplex(base_frequency=2**-3, octaves=3)


@dataclass(frozen=True)
class _Draws:
    """Numbers for the slices of a batch."""

    generator: torch.Generator
    like: Tensor

    def uniform(self, low: float, high: float, n_channels: int = 1) -> Tensor:
        """``(B, n_channels, 1, 1)`` in low..high."""
        shape = (len(self.like), n_channels, 1, 1)
        drawn = torch.rand(shape, generator=self.generator, device=self.generator.device)
        return (low + (high - low) * drawn).to(self.like.device)

    def normal(self, n_numbers: int) -> Tensor:
        """``(B, n_numbers)`` of mean 0 and variance 1."""
        shape = (len(self.like), n_numbers)
        drawn = torch.randn(shape, generator=self.generator, device=self.generator.device)
        return drawn.to(self.like.device)

    def chance(self, share: float) -> Tensor:
        """``(B, 1, 1, 1)`` bool, True so often."""
        return self.uniform(0, 1) < share

    def field(self, noise: Noise) -> Tensor:
        """A field for each slice, ``(B, 1, H, W)``, mean 0 and variance 1."""
        return noise(self.like[:, :1], self.generator)

    def place(self, inside: Tensor) -> Tensor:
        """Row and column of a pixel in a mask ``(B, 1, H, W)``, ``(B, 2)``."""
        weights = inside.flatten(1).float() + 1e-9
        at = torch.multinomial(weights.to(self.generator.device), 1, generator=self.generator)
        width = inside.shape[-1]
        return torch.cat([at // width, at % width], dim=1).float().to(self.like.device)


def with_anomalies(
    images: Tensor, brain: Tensor, spacing_mm: float, generator: torch.Generator
) -> Tensor:
    """Slices with painted anomalies; one in fourteen has none.

    Args:
        images: healthy slices ``(B, C, H, W)`` in [-1, 1].
        brain: mask ``(B, 1, H, W)``, bool; nothing changes outside.
        spacing_mm: of a pixel.
        generator: source of all that is drawn.

    Returns:
        ``(B, C, H, W)`` in [-1, 1].
    """
    draws, painted = _Draws(generator, images), images
    for share in SHARES:
        distance = _distance(brain, spacing_mm, draws)
        pushed = _pushed(painted, distance, spacing_mm, draws)
        softness = draws.uniform(0.03, 0.25)
        weight = torch.sigmoid((1 - distance) / softness)
        new = pushed + (_look(pushed, distance, weight * brain, draws) - pushed) * weight
        changed = brain & draws.chance(share)
        painted = torch.where(changed, new.clamp(-1, 1), painted)
    return painted


def _distance(brain: Tensor, spacing_mm: float, draws: _Draws) -> Tensor:
    """From an anomaly's centre, in radii, ``(B, 1, H, W)``; below 1 is inside."""
    low, high = (torch.tensor(mm / spacing_mm).log().item() for mm in RADII_MM)
    radius = draws.uniform(low, high).exp()
    rows, columns = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float32, device=brain.device) for n in brain.shape[-2:]),
        indexing="ij",
    )
    centre = draws.place(brain)[..., None, None]
    angle, stretch = draws.uniform(0, torch.pi), draws.uniform(-0.4, 0.4).exp()
    y, x = rows - centre[:, :1], columns - centre[:, 1:]
    along = (x * angle.cos() + y * angle.sin()) / (radius * stretch)
    across = (y * angle.cos() - x * angle.sin()) * stretch / radius
    rough = draws.uniform(0.05, 0.5) * draws.field(_OUTLINE)
    return (along**2 + across**2).sqrt() * rough.exp()


def _pushed(images: Tensor, distance: Tensor, spacing_mm: float, draws: _Draws) -> Tensor:
    """In a third of the slices, tissue moved outwards around the anomaly, most at its edge."""
    kernel = 7
    smooth = functional.avg_pool2d(
        functional.pad(distance.clamp(max=3), (kernel // 2,) * 4, mode="replicate"), kernel, 1
    )
    away = torch.cat(torch.gradient(smooth, dim=(-2, -1)), dim=1)
    direction = away / away.norm(dim=1, keepdim=True).clamp_min(1e-3)
    farthest = draws.uniform(0, PUSH_MM / spacing_mm) * draws.chance(1 / 3)
    moved = direction * farthest * torch.exp(-(((smooth - 0.9) / 0.6) ** 2))
    height, width = images.shape[-2:]
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 1, height, device=images.device),
        torch.linspace(-1, 1, width, device=images.device),
        indexing="ij",
    )
    source = torch.stack(
        [columns - moved[:, 1] * 2 / (width - 1), rows - moved[:, 0] * 2 / (height - 1)], dim=-1
    )
    return functional.grid_sample(images, source, padding_mode="border", align_corners=True)


def _look(images: Tensor, distance: Tensor, weight: Tensor, draws: _Draws) -> Tensor:
    """What the anomaly looks like, everywhere, ``(B, C, H, W)``."""
    n_channels = images.shape[1]
    mass = weight.sum((-2, -1), keepdim=True).clamp_min(1e-3)
    middle = (images * weight).sum((-2, -1), keepdim=True) / mass
    brighter = torch.where(draws.uniform(0, 1, n_channels) < 0.5, -1.0, 1.0)
    size = draws.uniform(0.15, 1.2, n_channels)
    change = brighter * torch.where(draws.chance(0.25), size / 4, size)
    # A half keeps the texture of what was there, a quarter flattens it, a quarter has its own.
    kind = draws.uniform(0, 1)
    kept = torch.where(kind < 0.5, 1.0, draws.uniform(0, 0.5))
    own = torch.where(kind < 0.75, 0.0, draws.uniform(0.1, 0.6)) * draws.field(_TEXTURE)
    new = middle + kept * (images - middle) + change * (1 + own)
    return torch.where(draws.chance(0.45), _with_core(new, middle, distance, draws), new)


def _with_core(new: Tensor, middle: Tensor, distance: Tensor, draws: _Draws) -> Tensor:
    """With a core of another intensity, in a half with a rim around it."""
    n_channels = new.shape[1]
    end = draws.uniform(0.35, 0.85)
    core = torch.sigmoid((end - distance) / 0.06)
    value = middle + draws.uniform(-1.2, 1.2, n_channels)
    with_core = new + (value - new) * core
    ring = torch.exp(-(((distance - end) / draws.uniform(0.05, 0.2)) ** 2)) * draws.chance(0.5)
    return with_core + (middle + draws.uniform(-1.2, 1.2, n_channels) - with_core) * ring
