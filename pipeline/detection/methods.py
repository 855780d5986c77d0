"""Methods by name: a prepared case to its anomaly map. Ours, and what it is compared with.

To add a method: write a function from (prepared case, model, seed) to a map, and enter it in
`METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pipeline.cases.transforms import Prepared
from pipeline.detection.normative import (
    INTENSITY,
    RESIDUAL,
    restored_slices_timed,
    stacked,
    z_scores,
)
from pipeline.detection.reconstruction import evaluations_per_slice
from pipeline.errors import InputError
from pipeline.maps.scoring import (
    RESIDUALS,
    Factor,
    blur,
    case_level,
    dissimilarity_map,
    edge_weight,
    median_filter,
    product_map,
    residual_map,
)
from pipeline.maps.symmetry import asymmetry, find_midplane
from pipeline.run.config import DetectionConfig
from pipeline.run.model import Model, needs_residual_atlas

BASELINE_MEDIAN_MM = 10.0
BLUR_SIGMA_MM = 8.0
FLOOR, RAW_FLOOR = 0.3, 0.05
"""Of the factors of a map: in healthy standard deviations, and in units of the intensity range."""

BRAIN_DAMAGE = DetectionConfig(
    timesteps=(200,), draws=1, residual="squared", median_mm=0, edge_mm=0, min_component_ml=0
)
"""One-shot x_0 at t = 200 and the squared error, as brain_damage has it."""

ANODDPM = replace(BRAIN_DAMAGE, reconstruction="chain", timesteps=(250,))
"""The partial chain from t = 250 with simplex noise in every reverse step (Wyatt et al. 2022).

AnoDDPM's lambda of 250 on the linear schedule with raw noise (standard deviation 0.48) has a noise
to signal ratio of 0.46; t = 250 on the cosine schedule with unit variance has 0.43.
"""


DAE = replace(
    BRAIN_DAMAGE, reconstruction="clean", residual="absolute", median_mm=BASELINE_MEDIAN_MM
)
"""A denoising autoencoder (Kascenas et al., MIDL 2022): trained with coarse noise, which is left
out at test; the absolute error after a median filter."""


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


MapFunction = Callable[[Prepared, Model | None, int], MapResult]


@dataclass(frozen=True)
class Method:
    """A way to an anomaly map.

    Attributes:
        compute: the map of a prepared case; gets the model and the seed.
        noise: what the network must have been trained with; None where none is needed.
        atlas: whether it needs the run's atlas of the intensity.
        by_default: whether a benchmark runs it unasked.
        summary: one line for tables.
        settings: all that it does, for the record, where that does not depend on the run.
        recipe: what it makes of the run's own recipe; None where it has its own settings.
    """

    compute: MapFunction
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    recipe: Callable[[DetectionConfig], DetectionConfig] | None = None
    noise: str | None = None
    atlas: bool = False
    by_default: bool = True


def recipe_map(prepared: Prepared, model: Model, config: DetectionConfig, seed: int) -> MapResult:
    """The map of a detection recipe: reconstruct, residual, and what else the recipe multiplies.

    The residuals of the timesteps are averaged; each is taken against the mean of its draws.

    Raises:
        InputError: the recipe needs an atlas that the run does not have.
    """
    draws, earlier = restored_slices_timed(prepared, model, config, seed)
    restored = draws.mean(1)
    pseudo_healthy = restored.mean(0)

    def filtered(values: Tensor) -> Tensor:
        return _filtered(values, prepared, config.median_mm)

    candidates = (
        (config.intensity_power, 0.0, lambda: filtered(_intensity(prepared, config.residual))),
        (
            config.normative_power,
            FLOOR,
            lambda: filtered(_unusual(prepared, model, config.residual)),
        ),
        (config.asymmetry_power, FLOOR, lambda: _one_sided(prepared, model, config)),
        (
            config.residual_power,
            FLOOR if config.standardise else RAW_FLOOR,
            lambda: filtered(_residual(prepared, restored, model, config)),
        ),
        (
            config.ssim_power,
            RAW_FLOOR,
            lambda: filtered(dissimilarity_map(prepared.slices, pseudo_healthy, prepared.brain)),
        ),
        (config.spread_power, RAW_FLOOR, lambda: filtered(_spread(draws))),
    )
    factors = [Factor(make(), power, floor) for power, floor, make in candidates if power]
    anomaly_map = product_map(factors) * prepared.brain
    if config.smoothing_mm:
        anomaly_map = blur(anomaly_map, prepared.brain, prepared.grid, config.smoothing_mm)
    anomaly_map *= edge_weight(prepared.brain, prepared.grid, config.edge_mm)
    anomaly_map /= case_level(anomaly_map[prepared.brain].numpy(), config.case_quantile)
    return MapResult(anomaly_map, pseudo_healthy, evaluations_per_slice(config), earlier)


def _intensity(prepared: Prepared, residual: str) -> Tensor:
    """Normalised intensity, or darkness where the recipe looks for what is too dark."""
    method = _dark if residual == "negative" else _bright
    return method(prepared).anomaly_map


def _residual(
    prepared: Prepared, restored: Tensor, model: Model, config: DetectionConfig
) -> Tensor:
    differences = prepared.slices - restored
    if config.standardise:
        z = z_scores(RESIDUAL, stacked(differences), prepared, model)
        n_timesteps, _, n_channels = differences.shape[:3]
        differences = z.unflatten(1, (n_timesteps, n_channels)).transpose(0, 1)
    kind = RESIDUALS[config.residual]
    return kind(differences).mean((0, 2))[:, None] * prepared.brain


def _spread(draws: Tensor) -> Tensor:
    """Standard deviation over the draws ``(T, D, N, C, H, W)``, ``(N, 1, H, W)``."""
    return draws.std(1, correction=0).mean((0, 2))[:, None]


def _unusual(prepared: Prepared, model: Model, residual: str) -> Tensor:
    """How unusual the intensity is at its place; darker, brighter or either, by the residual."""
    z = z_scores(INTENSITY, prepared.slices, prepared, model)
    kind = RESIDUALS["absolute" if residual == "squared" else residual]
    return kind(z).mean(1, keepdim=True)


def _one_sided(prepared: Prepared, model: Model, config: DetectionConfig) -> Tensor:
    """How much more unusual the intensity is at its place than on the other side of the brain."""
    if not prepared.brain.any():
        return torch.zeros_like(prepared.brain, dtype=torch.float32)
    z = z_scores(INTENSITY, prepared.slices, prepared, model).mean(1, keepdim=True)
    smooth = _filtered(z, prepared, config.median_mm)
    plane = find_midplane(prepared.slices, prepared.brain, prepared.grid)
    return asymmetry(smooth, plane, prepared.brain, prepared.grid, config.residual)


def _filtered(values: Tensor, prepared: Prepared, median_mm: float) -> Tensor:
    return median_filter(values, prepared.grid, median_mm) * prepared.brain


def _of_the_run(recipe: Callable[[DetectionConfig], DetectionConfig], summary: str) -> Method:
    """A method that starts from the run's own recipe."""

    def compute(prepared: Prepared, model: Model | None, seed: int) -> MapResult:
        assert model is not None
        return recipe_map(prepared, model, _within(recipe(model.config.detection), model), seed)

    return Method(compute, summary, noise="simplex", recipe=recipe)


def _fixed_recipe(config: DetectionConfig) -> MapFunction:
    def compute(prepared: Prepared, model: Model | None, seed: int) -> MapResult:
        assert model is not None
        return recipe_map(prepared, model, _within(config, model), seed)

    return compute


def _within(config: DetectionConfig, model: Model) -> DetectionConfig:
    """A recipe whose timesteps a short diffusion has too."""
    last = model.scheduler.num_train_timesteps - 1
    return replace(config, timesteps=tuple(min(t, last) for t in config.timesteps))


def _bright(prepared: Prepared, model: Model | None = None, seed: int = 0) -> MapResult:
    intensity = (prepared.slices.mean(1, keepdim=True) + 1) / 2
    return MapResult(intensity * prepared.brain)


def _dark(prepared: Prepared, model: Model | None = None, seed: int = 0) -> MapResult:
    intensity = (1 - prepared.slices.mean(1, keepdim=True)) / 2
    return MapResult(intensity * prepared.brain)


def _bright_median(prepared: Prepared, model: Model | None, seed: int) -> MapResult:
    smooth = median_filter(_bright(prepared).anomaly_map, prepared.grid, BASELINE_MEDIAN_MM)
    return MapResult(smooth * prepared.brain)


def _normative(prepared: Prepared, model: Model | None, seed: int) -> MapResult:
    assert model is not None
    unusual = _unusual(prepared, model, "absolute")
    return MapResult(_filtered(unusual, prepared, BASELINE_MEDIAN_MM))


def _blur_residual(prepared: Prepared, model: Model | None, seed: int) -> MapResult:
    blurred = blur(prepared.slices, prepared.brain, prepared.grid, BLUR_SIGMA_MM)
    restored = torch.where(prepared.brain, blurred, prepared.slices)
    return MapResult(residual_map(prepared.slices, restored, prepared.brain, "absolute"), restored)


OURS, FIRST_STEP = "anomap", "brain_damage"
METHODS: dict[str, Method] = {
    OURS: _of_the_run(lambda recipe: recipe, "the full recipe of the run"),
    "intensity": Method(_bright, "normalised intensity, bright is anomalous"),
    "intensity_dark": Method(_dark, "normalised intensity, dark is anomalous"),
    "intensity_median": Method(
        _bright_median,
        "intensity after a 3-D median filter",
        settings={"median_mm": BASELINE_MEDIAN_MM},
    ),
    "normative": Method(
        _normative,
        "|z| of the intensity at its place among healthy brains, after a 3-D median filter",
        settings={"median_mm": BASELINE_MEDIAN_MM},
        atlas=True,
    ),
    "blur_residual": Method(
        _blur_residual,
        "distance to a Gaussian blur of the image",
        settings={"sigma_mm": BLUR_SIGMA_MM},
    ),
    "brain_damage": Method(
        _fixed_recipe(BRAIN_DAMAGE),
        "one-shot x_0 at t = 200, squared error",
        settings=asdict(BRAIN_DAMAGE),
        noise="simplex",
    ),
    "gaussian_one_shot": Method(
        _fixed_recipe(BRAIN_DAMAGE),
        "the same with Gaussian noise (DDPM)",
        settings=asdict(BRAIN_DAMAGE),
        noise="gaussian",
    ),
    "dae": Method(
        _fixed_recipe(DAE),
        "denoising autoencoder: coarse noise in training, none at test",
        settings=asdict(DAE),
        noise="coarse",
    ),
    "anoddpm_chain": Method(
        _fixed_recipe(ANODDPM),
        "partial chain of 251 steps from t = 250 with simplex noise",
        settings=asdict(ANODDPM),
        noise="simplex",
        by_default=False,
    ),
}

_STEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    # From brain_damage's one-shot to the recipe of a run: what is taken over at each step.
    "with_way_back": (
        "the way back of the recipe (one-shot, chain, DDIM)",
        ("reconstruction", "chain_stride", "coherent_noise"),
    ),
    "with_residual": ("the sign and norm of the residual", ("residual",)),
    "with_draws": ("several draws of noise", ("draws",)),
    "with_timesteps": ("several timesteps", ("timesteps",)),
    "with_median": ("a 3-D median filter", ("median_mm",)),
    "with_edge": ("less weight at the brain's edge", ("edge_mm",)),
    "with_z_scores": ("the residual standardised at its place", ("standardise",)),
    "with_intensity": ("the intensity as a factor", ("intensity_power",)),
    "with_place": ("how unusual the intensity is at its place", ("normative_power",)),
    "with_asymmetry": ("left against right", ("asymmetry_power",)),
    "with_structure": ("structure (SSIM)", ("ssim_power",)),
    "with_spread": ("the spread over draws", ("spread_power",)),
    "with_residual_power": ("the residual's own power among the factors", ("residual_power",)),
    "with_smoothing": ("a Gaussian on the map", ("smoothing_mm",)),
    "with_level": ("division by the case's own level", ("case_quantile",)),
}


def _step(name: str) -> Method:
    """One step of the ladder, on top of those before it; the last step is the recipe itself."""
    names = list(_STEPS)
    taken = [key for step in names[: names.index(name) + 1] for key in _STEPS[step][1]]

    def recipe(full: DetectionConfig) -> DetectionConfig:
        return replace(BRAIN_DAMAGE, **{key: getattr(full, key) for key in taken})

    return replace(_of_the_run(recipe, f"the step before, and {_STEPS[name][0]}"), by_default=False)


LADDER = (FIRST_STEP, *_STEPS, OURS)
"""Methods of an ablation: one lever at a time, each on top of those before."""
METHODS |= {name: _step(name) for name in _STEPS}


def select_methods(asked: str | Sequence[str] | None) -> list[str]:
    """Method names from what a user asks for: None (the default ones), "all", "ladder", or names.

    Raises:
        InputError: an unknown name.
    """
    if asked is None:
        return [name for name, method in METHODS.items() if method.by_default]
    names = asked.split(",") if isinstance(asked, str) else list(asked)
    if names == ["all"]:
        return [name for name in METHODS if name not in _STEPS]
    if names == ["ladder"]:
        return list(LADDER)
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise InputError(f"no method is called {unknown[0]!r}; there are {', '.join(METHODS)}")
    return names


def runnable(names: Sequence[str], models: Mapping[str, Model]) -> tuple[list[str], dict[str, str]]:
    """The methods whose network is at hand, and name -> reason for the others.

    Args:
        models: by the noise they were trained with.
    """
    ready, left_out = [], {}
    for name in names:
        noise = METHODS[name].noise
        if noise is not None and noise not in models:
            left_out[name] = (
                f"needs a run trained with `--noise {noise}`; give it as a further --model"
            )
        elif missing := missing_atlases(name, model_for(name, models)):
            left_out[name] = missing
        elif name in _STEPS and _changes_nothing(name, models[str(noise)]):
            left_out[name] = "changes nothing in the recipe of this run"
        else:
            ready.append(name)
    return ready, left_out


def _changes_nothing(step: str, model: Model) -> bool:
    """Whether the recipe of a run is the same with a step of the ladder as without."""
    before = METHODS[LADDER[LADDER.index(step) - 1]].recipe
    here = METHODS[step].recipe
    assert here is not None
    full = model.config.detection
    return here(full) == (before(full) if before is not None else BRAIN_DAMAGE)


def needed_atlases(name: str, model: Model | None) -> set[str]:
    """Names of the run's atlases that a method uses."""
    method = METHODS[name]
    needed = {INTENSITY} if method.atlas else set()
    if method.recipe is not None and model is not None:
        recipe = method.recipe(model.config.detection)
        needed |= {INTENSITY} if recipe.normative_power or recipe.asymmetry_power else set()
        needed |= {RESIDUAL} if needs_residual_atlas(recipe) else set()
    return needed


def missing_atlases(name: str, model: Model | None) -> str | None:
    """Why a method cannot run for want of an atlas of the run; None if it can."""
    needed = needed_atlases(name, model)
    lacking = needed - set(model.atlases if model is not None else ())
    if not lacking:
        return None
    where = model.path if model is not None else "no run is given"
    return (
        f"{where}: no atlas of the {' and '.join(sorted(lacking))} of healthy brains for these "
        "weights and this recipe; `anomap train ... --resume` makes it"
    )


def model_for(name: str, models: Mapping[str, Model]) -> Model | None:
    """The model that a method needs, None where it needs none."""
    method = METHODS[name]
    if method.noise is not None:
        return models[method.noise]
    return next(iter(models.values()), None) if method.atlas else None
