"""A detection recipe: a prepared case and a network to an anomaly map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.cases.transforms import Prepared
from pipeline.detection.case_work import CaseWork
from pipeline.detection.normative import INTENSITY, RESIDUAL, as_quantities, z_scores
from pipeline.detection.reconstruction import evaluations_per_slice
from pipeline.maps.scoring import (
    RESIDUALS,
    Factor,
    blur,
    case_level,
    dissimilarity_map,
    edge_weight,
    median_filter,
    product_map,
)
from pipeline.maps.symmetry import asymmetry, find_midplane
from pipeline.run.config import DetectionConfig
from pipeline.run.model import Model

FLOOR, RAW_FLOOR = 0.3, 0.05
"""Of the factors of a map: in healthy standard deviations, and in units of the intensity range."""


@dataclass(frozen=True)
class MapResult:
    """What a method makes of a case, on the working grid.

    Attributes:
        anomaly_map: ``(N, 1, H, W)``, >= 0, higher = more anomalous, 0 outside the brain.
        pseudo_healthy: ``(N, C, H, W)`` in [-1, 1], None for methods that restore nothing.
        evaluations: network evaluations a slice.
        earlier_seconds: of the work on it that was done before, for another method.
    """

    anomaly_map: Tensor
    pseudo_healthy: Tensor | None = None
    evaluations: int = 0
    earlier_seconds: float = 0.0


@dataclass(frozen=True)
class RestoredMap(MapResult):
    """A map with the pseudo-healthy image that it was made with."""

    pseudo_healthy: Tensor = field(kw_only=True)


def recipe_map(work: CaseWork, model: Model, config: DetectionConfig, seed: int) -> RestoredMap:
    """The map of a detection recipe: reconstruct, residual, and what else the recipe multiplies.

    The residuals of the timesteps are averaged; each is taken against the mean of its draws.

    Returns:
        The map ``(N, 1, H, W)``, >= 0, higher = more anomalous, and the image ``(N, C, H, W)``
        that it was made with; see `MapResult`.

    Raises:
        InputError: the recipe needs an atlas that the run does not have.
    """
    prepared = work.prepared
    draws = work.restored(model, config, seed)
    restored = draws.slices.mean(1)
    pseudo_healthy = restored.mean(0)

    def filtered(values: Tensor) -> Tensor:
        return in_brain_median(values, prepared, config.median_mm)

    candidates: tuple[tuple[float, float, Callable[[], Tensor]], ...] = (
        (config.intensity_power, 0.0, lambda: filtered(_intensity(prepared, config.residual))),
        (config.normative_power, FLOOR, lambda: filtered(unusual(work, model, config.residual))),
        (config.asymmetry_power, FLOOR, lambda: _one_sided(work, model, config)),
        (
            config.residual_power,
            FLOOR if config.standardise else RAW_FLOOR,
            lambda: filtered(_residual(work, restored, model, config)),
        ),
        (
            config.ssim_power,
            RAW_FLOOR,
            lambda: filtered(dissimilarity_map(prepared.slices, pseudo_healthy, prepared.brain)),
        ),
        (config.spread_power, RAW_FLOOR, lambda: filtered(_spread(draws.slices))),
    )
    factors = [Factor(make(), power, floor) for power, floor, make in candidates if power]
    return RestoredMap(
        _finished(product_map(factors), prepared, config),
        pseudo_healthy=pseudo_healthy,
        evaluations=evaluations_per_slice(config),
        earlier_seconds=draws.earlier_seconds,
    )


def _finished(product: Tensor, prepared: Prepared, config: DetectionConfig) -> Tensor:
    """The product of the factors within the brain: smoothed, weighted at the edge, levelled."""
    anomaly_map = product * prepared.brain
    if config.smoothing_mm:
        anomaly_map = blur(anomaly_map, prepared.brain, prepared.grid, config.smoothing_mm)
    anomaly_map *= edge_weight(prepared.brain, prepared.grid, config.edge_mm)
    anomaly_map /= case_level(anomaly_map[prepared.brain].numpy(), config.case_quantile)
    return anomaly_map


def brightness(prepared: Prepared) -> Tensor:
    """Normalised intensity, the mean over channels: ``(N, 1, H, W)`` in [0, 1], 0 outside."""
    intensity = (prepared.slices.mean(1, keepdim=True) + 1) / 2
    return intensity * prepared.brain


def darkness(prepared: Prepared) -> Tensor:
    """1 - `brightness` inside the brain, 0 outside, ``(N, 1, H, W)``."""
    intensity = (1 - prepared.slices.mean(1, keepdim=True)) / 2
    return intensity * prepared.brain


def unusual(work: CaseWork, model: Model, residual: str) -> Tensor:
    """How unusual the intensity is at its place; darker, brighter or either, by the residual.

    Args:
        residual: a name in `RESIDUALS`.

    Returns:
        ``(N, 1, H, W)``, >= 0, in healthy standard deviations.

    Raises:
        InputError: the run has no atlas of the intensity.
    """
    z = z_scores(INTENSITY, work.prepared.slices, work, model)
    kind = RESIDUALS["absolute" if residual == "squared" else residual]
    return kind(z).mean(1, keepdim=True)


def in_brain_median(values: Tensor, prepared: Prepared, median_mm: float) -> Tensor:
    """Values ``(N, 1, H, W)`` after a 3-D median filter of this edge, 0 outside the brain."""
    return median_filter(values, prepared.grid, median_mm) * prepared.brain


def _intensity(prepared: Prepared, residual: str) -> Tensor:
    """Normalised intensity, or darkness where the recipe looks for what is too dark."""
    return darkness(prepared) if residual == "negative" else brightness(prepared)


def _residual(work: CaseWork, restored: Tensor, model: Model, config: DetectionConfig) -> Tensor:
    differences = work.prepared.slices - restored
    if config.standardise:
        z = z_scores(RESIDUAL, as_quantities(differences), work, model)
        n_timesteps, _, n_channels = differences.shape[:3]
        differences = z.unflatten(1, (n_timesteps, n_channels)).transpose(0, 1)
    kind = RESIDUALS[config.residual]
    return kind(differences).mean((0, 2))[:, None] * work.prepared.brain


def _spread(draws: Tensor) -> Tensor:
    """Standard deviation over the draws ``(T, D, N, C, H, W)``, ``(N, 1, H, W)``."""
    return draws.std(1, correction=0).mean((0, 2))[:, None]


def _one_sided(work: CaseWork, model: Model, config: DetectionConfig) -> Tensor:
    """How much more unusual the intensity is at its place than on the other side of the brain."""
    prepared = work.prepared
    if not prepared.brain.any():
        return torch.zeros_like(prepared.brain, dtype=torch.float32)
    z = z_scores(INTENSITY, prepared.slices, work, model).mean(1, keepdim=True)
    smooth = in_brain_median(z, prepared, config.median_mm)
    plane = find_midplane(prepared.slices, prepared.brain, prepared.grid)
    return asymmetry(smooth, plane, prepared.brain, prepared.grid, config.residual)
