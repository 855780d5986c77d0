"""A detection recipe: a prepared case and a network to an anomaly map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pipeline.cases.transforms import Prepared
from pipeline.detection.case_work import CaseWork
from pipeline.detection.normative import INTENSITY, RESIDUAL, as_quantities, z_scores
from pipeline.detection.reconstruction import evaluations_per_slice
from pipeline.maps.lesions.network import VIEWS, weights_sha256
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

FLOOR, RAW_FLOOR, LESION_FLOOR = 0.3, 0.05, 0.1
"""Of the factors of a map: in healthy standard deviations, in units of the intensity range, and of
a probability."""


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

    The residuals of the timesteps are averaged; each is taken against the mean of its draws. Where
    the lesion network is asked, the pseudo-healthy image is what it makes of the scan, which is
    sharper and keeps less of a tumour; else the mean of what was restored.

    Returns:
        The map ``(N, 1, H, W)``, >= 0, higher = more anomalous, and the image ``(N, C, H, W)``
        that it was made with; see `MapResult`.

    Raises:
        InputError: the recipe needs an atlas that the run does not have.
    """
    draws = work.restored(model, config, seed)
    restored = draws.slices.mean(1)
    factors = (
        *image_factors(work, model, config),
        *_network_factors(work, draws.slices, model, config),
    )
    return RestoredMap(
        finished_map(factors, work.prepared, config),
        pseudo_healthy=work.marked().healthy if config.lesion_power else restored.mean(0),
        evaluations=evaluations_per_slice(config) + len(VIEWS) * bool(config.lesion_power),
        earlier_seconds=draws.earlier_seconds,
    )


def image_factors(work: CaseWork, model: Model | None, config: DetectionConfig) -> list[Factor]:
    """The factors of a recipe that no network is asked for.

    Args:
        model: the run whose atlas is taken; None where the recipe needs none.

    Returns:
        Each with values ``(N, 1, H, W)``, >= 0, higher = more anomalous, not filtered.

    Raises:
        InputError: the recipe needs an atlas that the run does not have.
    """
    factors = []
    if config.intensity_power:
        values = _intensity(work.prepared, config.residual)
        factors.append(Factor(values, config.intensity_power, 0.0))
    if model is not None and config.normative_power:
        values = unusual(work, model, config.residual)
        factors.append(Factor(values, config.normative_power, FLOOR))
    if model is not None and config.asymmetry_power:
        values = _one_sided(work, model, config)
        # The sides are compared after the filter.
        factors.append(Factor(values, config.asymmetry_power, FLOOR, is_filtered=True))
    return factors


def structure_factor(prepared: Prepared, healthy: Tensor, power: float) -> Factor:
    """How much a case differs in structure from a healthy image ``(N, C, H, W)`` in [-1, 1]."""
    values = dissimilarity_map(prepared.slices, healthy, prepared.brain)
    return Factor(values, power, RAW_FLOOR)


def _network_factors(
    work: CaseWork, draws: Tensor, model: Model, config: DetectionConfig
) -> list[Factor]:
    """The factors from restored slices ``(T, D, N, C, H, W)``; see `image_factors`."""
    restored = draws.mean(1)
    factors = []
    if config.residual_power:
        floor = FLOOR if config.standardise else RAW_FLOOR
        values = _residual(work, restored, model, config)
        factors.append(Factor(values, config.residual_power, floor))
    if config.ssim_power:
        factors.append(structure_factor(work.prepared, restored.mean(0), config.ssim_power))
    if config.spread_power:
        factors.append(Factor(_spread(draws), config.spread_power, RAW_FLOOR))
    if config.lesion_power:
        factors.append(lesion_factor(work, config.lesion_power))
    return factors


def settings_of(
    config: DetectionConfig, keys: Sequence[str] = (), *, asks_lesions: bool = False
) -> dict[str, Any]:
    """What a recipe does, for the record; of the lesion network only where it is asked.

    Args:
        keys: of what is said; all where none is given.
        asks_lesions: whether the network is asked though its power is 0.
    """
    settings = {key: value for key, value in asdict(config).items() if not keys or key in keys}
    if config.lesion_power or asks_lesions:
        views = [f"{mm:g} mm{' mirrored' if swap else ''}" for mm, swap in VIEWS]
        return settings | {"lesion_network_sha256": weights_sha256(), "lesion_views": views}
    settings.pop("lesion_power", None)
    return settings


def lesion_factor(work: CaseWork, power: float) -> Factor:
    """The probability of a lesion by the network for any contrast, ``(N, 1, H, W)`` in 0..1."""
    return Factor(work.marked().probability, power, LESION_FLOOR)


def finished_map(factors: Sequence[Factor], prepared: Prepared, config: DetectionConfig) -> Tensor:
    """Factors to a map: filtered, multiplied within the brain, smoothed, weighted, levelled.

    Args:
        factors: with values ``(N, 1, H, W)``.
        config: its median, smoothing, edge and level are applied.

    Returns:
        ``(N, 1, H, W)``, >= 0, higher = more anomalous.
    """
    filtered = [
        factor
        if factor.is_filtered
        else replace(factor, values=in_brain_median(factor.values, prepared, config.median_mm))
        for factor in factors
    ]
    anomaly_map = product_map(filtered) * prepared.brain
    if config.smoothing_mm:
        anomaly_map = blur(anomaly_map, prepared.brain, prepared.grid, config.smoothing_mm)
    anomaly_map = anomaly_map * edge_weight(prepared.brain, prepared.grid, config.edge_mm)
    return anomaly_map / case_level(anomaly_map[prepared.brain].numpy(), config.case_quantile)


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
