"""Methods by name: a prepared case to its anomaly map. Ours, and what it is compared with.

What is no method (filter, smoothing, weight at the edge, level of the case, half height, small
parts) is the same for all: every method takes it over from the recipe of the run, and the same
methods without any of it are there under ``<name>_raw``.

To add a method: enter a recipe in `BASELINES` (no network), or a recipe and the noise that its
network was trained with in `NETWORK_METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pipeline.detection.case_work import CaseWork
from pipeline.detection.normative import INTENSITY, RESIDUAL, mean_brain
from pipeline.detection.recipe import (
    MapResult,
    RestoredMap,
    finished_map,
    image_factors,
    lesion_factor,
    recipe_map,
    settings_of,
    structure_factor,
)
from pipeline.errors import InputError
from pipeline.maps.lesions.network import weights_sha256
from pipeline.maps.scoring import Factor, blur, residual_map
from pipeline.run.config import DetectionConfig
from pipeline.run.model import Model, needs_residual_atlas

BLUR_SIGMA_MM = 8.0

FINISH = (
    *("median_mm", "smoothing_mm", "edge_mm", "case_quantile"),
    *("half_height", "min_component_ml"),
)
"""Settings of a recipe that say nothing of what is anomalous: all methods of a table share them."""
RAW = DetectionConfig(residual_power=0, median_mm=0, edge_mm=0, min_component_ml=0)
"""No factor and no step: what the recipes of plain methods start from."""
_OF_IMAGE = ("residual", "intensity_power", "normative_power", "asymmetry_power")

BRAIN_DAMAGE = replace(RAW, timesteps=(200,), draws=1, residual="squared", residual_power=1)
"""One-shot x_0 at t = 200 and the squared error: brain_damage's rule, with the network of a run."""

ANODDPM = replace(BRAIN_DAMAGE, reconstruction="chain", timesteps=(250,))
"""The partial chain from t = 250 with simplex noise in every reverse step (Wyatt et al. 2022).

AnoDDPM's lambda of 250 on the linear schedule with raw noise (standard deviation 0.48) has a noise
to signal ratio of 0.46; t = 250 on the cosine schedule with unit variance has 0.43.
"""


DAE = replace(BRAIN_DAMAGE, reconstruction="clean", residual="absolute")
"""A denoising autoencoder (after Kascenas et al., MIDL 2022): trained with coarse noise, which is
left out at test; the absolute error."""


# Kinds of methods ---------------------------------------------------------------------------------


Recipe = Callable[[DetectionConfig], DetectionConfig]
Further = Callable[[CaseWork, Model | None], tuple[Factor, Tensor | None]]
"""A factor that a recipe has no name for, and the image that it was taken against, if any."""


@dataclass(frozen=True)
class ReadyMethod:
    """A method with the run that it needs.

    Attributes:
        compute: the map of a case; gets the seed of the noise.
        settings: all that it does, for the record.
        min_component_ml, half_height: of its masks; see `DetectionConfig`.
        false_positive_rate: of its threshold, where no other is asked for.
        weights_sha256, atlases_sha256: of the run, as far as the map depends on them.
    """

    compute: Callable[[CaseWork, int], MapResult]
    settings: Mapping[str, Any]
    min_component_ml: float = 0.0
    half_height: float = 0.0
    false_positive_rate: float = 0.01
    weights_sha256: str | None = None
    atlases_sha256: str | None = None


@dataclass(frozen=True)
class PlainMethod:
    """A map without a network: of the image alone, or against the atlas of the intensity.

    Attributes:
        recipe: what it makes of the run's own recipe, of which its image factors are taken.
        further: one more factor.
        of_atlas: whether that needs the atlas.
        evaluations: of the lesion network a slice.
    """

    recipe: Recipe
    summary: str
    further: Further | None = None
    of_atlas: bool = False
    evaluations: int = 0
    by_default: bool = True

    def needed_atlases(self, recipe: DetectionConfig) -> set[str]:
        """Names of the atlases that it uses of a run of this recipe."""
        own = self.recipe(recipe)
        uses = self.of_atlas or own.normative_power or own.asymmetry_power
        return {INTENSITY} if uses else set()

    def missing(self, models: Mapping[str, Model]) -> str | None:
        """What it lacks with these runs, by their noise; None where it can be computed."""
        full = _recipe_of(models)
        if self.evaluations and not weights_sha256():
            return "the weights of the lesion network are not in this copy of anomap"
        if self.further is None and not _has_image_factor(self.recipe(full)):
            return "the recipe of this run has no factor without its network"
        for model in models.values():
            return _missing_atlases(self.needed_atlases(full), model.atlases, str(model.path))
        return _missing_atlases(self.needed_atlases(full), {}, "no run is given")

    def ready(self, models: Mapping[str, Model]) -> ReadyMethod:
        """The method with its run; the recipe of the run for simplex noise counts, or the first's.

        Raises:
            InputError: it lacks something; see `missing`.
        """
        if (reason := self.missing(models)) is not None:
            raise InputError(reason)
        full = _recipe_of(models)
        own = self.recipe(full)
        model = next(iter(models.values()), None)
        used = model if self.needed_atlases(full) else None
        return ReadyMethod(
            partial(self._map, used, own),
            settings_of(own, (*_OF_IMAGE, *FINISH), asks_lesions=bool(self.evaluations)),
            min_component_ml=own.min_component_ml,
            half_height=own.half_height,
            false_positive_rate=full.false_positive_rate,
            weights_sha256=used.weights_sha256 if used else None,
            atlases_sha256=used.atlases_sha256 if used else None,
        )

    def _map(
        self, model: Model | None, own: DetectionConfig, work: CaseWork, seed: int
    ) -> MapResult:
        factors = image_factors(work, model, own)
        healthy = None
        if self.further is not None:
            factor, healthy = self.further(work, model)
            factors.append(factor)
        made = finished_map(factors, work.prepared, own)
        return MapResult(made, healthy, evaluations=self.evaluations)


@dataclass(frozen=True)
class NetworkMethod:
    """A recipe with the network of a run.

    Attributes:
        recipe: what it makes of the run's own recipe.
        noise: what the network must have been trained with.
    """

    recipe: Recipe
    summary: str
    noise: str = "simplex"
    by_default: bool = True

    def needed_atlases(self, recipe: DetectionConfig) -> set[str]:
        """Names of the atlases that it uses of a run of this recipe."""
        own = self.recipe(recipe)
        needed = {INTENSITY} if own.normative_power or own.asymmetry_power else set()
        return needed | ({RESIDUAL} if needs_residual_atlas(own) else set())

    def missing(self, models: Mapping[str, Model]) -> str | None:
        """See `PlainMethod.missing`."""
        if self.noise not in models:
            return f"needs a run trained with `--noise {self.noise}`; give it as a further --model"
        model = models[self.noise]
        needed = self.needed_atlases(_recipe_of(models))
        return _missing_atlases(needed, model.atlases, str(model.path))

    def ready(self, models: Mapping[str, Model]) -> ReadyMethod:
        """See `PlainMethod.ready`."""
        if (reason := self.missing(models)) is not None:
            raise InputError(reason)
        model = models[self.noise]
        full = _recipe_of(models)
        own = self.recipe(full)
        return ReadyMethod(
            partial(self._map, model, own),
            settings_of(own),
            min_component_ml=own.min_component_ml,
            half_height=own.half_height,
            false_positive_rate=full.false_positive_rate,
            weights_sha256=model.weights_sha256,
            atlases_sha256=model.atlases_sha256 if self.needed_atlases(full) else None,
        )

    def compute(self, work: CaseWork, model: Model, seed: int) -> RestoredMap:
        """The map of a case by the recipe of one run."""
        return self._map(model, self.recipe(model.config.detection), work, seed)

    def _map(self, model: Model, own: DetectionConfig, work: CaseWork, seed: int) -> RestoredMap:
        """The map of a case, by the recipe with timesteps that a short diffusion has too."""
        last = model.scheduler.num_train_timesteps - 1
        within = replace(own, timesteps=tuple(min(t, last) for t in own.timesteps))
        return recipe_map(work, model, within, seed)


Method = PlainMethod | NetworkMethod


def _recipe_of(models: Mapping[str, Model]) -> DetectionConfig:
    """The recipe whose steps all methods share: of the run for ours, or of the first; or `RAW`."""
    model = models.get("simplex") or next(iter(models.values()), None)
    return RAW if model is None else model.config.detection


def _has_image_factor(recipe: DetectionConfig) -> bool:
    return bool(recipe.intensity_power or recipe.normative_power or recipe.asymmetry_power)


def _missing_atlases(needed: set[str], atlases: Mapping[str, Any], where: str) -> str | None:
    """What is said of the atlases that a run lacks; None if it lacks none."""
    if not (lacking := needed - set(atlases)):
        return None
    return (
        f"{where}: no atlas of the {' and '.join(sorted(lacking))} of healthy brains for these "
        "weights and this recipe; `anomap train ... --resume` makes it"
    )


# The methods --------------------------------------------------------------------------------------


# Functions with names, so that a detector can be handed to another process.


def _own(full: DetectionConfig) -> DetectionConfig:
    """The run's own recipe."""
    return full


def _fixed(rule: DetectionConfig, full: DetectionConfig) -> DetectionConfig:
    """A rule, with the steps that all methods of a run share."""
    return _with_settings(rule, FINISH, full)


def _without_network(full: DetectionConfig) -> DetectionConfig:
    """The run's own recipe less all that needs its network."""
    return replace(full, residual_power=0, ssim_power=0, spread_power=0, lesion_power=0)


def _partly(keys: Sequence[str], full: DetectionConfig) -> DetectionConfig:
    """`RAW` with some settings of the run's own recipe, and all that concerns the mask alone."""
    return _with_settings(RAW, (*keys, "half_height", "min_component_ml"), full)


def _raw(recipe: Recipe, full: DetectionConfig) -> DetectionConfig:
    """A recipe without the steps that all methods share."""
    return _with_settings(recipe(full), FINISH, RAW)


def _with_settings(
    recipe: DetectionConfig, keys: Sequence[str], of: DetectionConfig
) -> DetectionConfig:
    return replace(recipe, **{key: getattr(of, key) for key in keys})


def _blur_residual(work: CaseWork, model: Model | None) -> tuple[Factor, Tensor | None]:
    prepared = work.prepared
    blurred = blur(prepared.slices, prepared.brain, prepared.grid, BLUR_SIGMA_MM)
    restored = torch.where(prepared.brain, blurred, prepared.slices)
    distance = residual_map(prepared.slices, restored, prepared.brain, "absolute")
    return Factor(distance, 1.0, 0.0), restored


def _unlike_atlas(work: CaseWork, model: Model | None) -> tuple[Factor, Tensor | None]:
    if model is None:
        raise InputError("no run is given, so there is no atlas")
    mean = mean_brain(work, model)
    power = model.config.detection.ssim_power or 1.0
    return structure_factor(work.prepared, mean, power), mean


def _likely_lesion(work: CaseWork, model: Model | None) -> tuple[Factor, Tensor | None]:
    return lesion_factor(work, 1.0), work.marked().healthy


OURS = "anomap"
BRIGHT = replace(RAW, residual="positive", intensity_power=1.0)
DARK = replace(BRIGHT, residual="negative")
AT_PLACE = replace(RAW, residual="absolute", normative_power=1.0)
BASELINES: dict[str, PlainMethod] = {
    "no_network": PlainMethod(
        _without_network, "the recipe of the run less all that its network adds"
    ),
    "atlas_ssim": PlainMethod(
        _without_network,
        "the same, and the structure (SSIM) against the mean healthy brain in place of the "
        "restored image",
        further=_unlike_atlas,
        of_atlas=True,
    ),
    "intensity": PlainMethod(partial(_fixed, BRIGHT), "normalised intensity, bright is anomalous"),
    "intensity_dark": PlainMethod(partial(_fixed, DARK), "normalised intensity, dark is anomalous"),
    "normative": PlainMethod(
        partial(_fixed, AT_PLACE), "|z| of the intensity at its place among healthy brains"
    ),
    "blur_residual": PlainMethod(
        partial(_fixed, RAW), "distance to a Gaussian blur of the image", further=_blur_residual
    ),
}
"""Those of `METHODS` without a network."""
LESION_NETWORK = PlainMethod(
    partial(_fixed, RAW), "the network for any contrast alone", _likely_lesion, evaluations=1
)
NETWORK_METHODS: dict[str, NetworkMethod] = {
    OURS: NetworkMethod(_own, "the full recipe of the run"),
    "brain_damage": NetworkMethod(
        partial(_fixed, BRAIN_DAMAGE),
        "brain_damage's rule on the run's network: one-shot x_0 at t = 200, squared error",
    ),
    "gaussian_one_shot": NetworkMethod(
        partial(_fixed, BRAIN_DAMAGE), "the same with Gaussian noise (DDPM)", noise="gaussian"
    ),
    "dae": NetworkMethod(
        partial(_fixed, DAE),
        "denoising autoencoder: coarse noise in training, none at test",
        noise="coarse",
    ),
    "anoddpm_chain": NetworkMethod(
        partial(_fixed, ANODDPM),
        "partial chain of 251 steps from t = 250 with simplex noise",
        by_default=False,
    ),
}
"""Those of `METHODS` that need a network, the steps of the ladder among them."""

_PLAIN_STEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    # What is taken over from the recipe of a run at each step, the network last.
    "with_intensity": ("the normalised intensity", ("residual", "intensity_power")),
    "with_place": ("how unusual the intensity is at its place", ("normative_power",)),
    "with_asymmetry": ("left against right", ("asymmetry_power",)),
    "with_median": ("a 3-D median filter", ("median_mm",)),
    "with_edge": ("less weight at the brain's edge", ("edge_mm",)),
    "with_smoothing": ("a Gaussian on the map", ("smoothing_mm",)),
    "with_level": ("division by the case's own level", ("case_quantile",)),
}
_RESTORING = ("reconstruction", "chain_stride", "coherent_noise", "draws", "timesteps")
_NETWORK_STEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "with_structure": ("structure (SSIM) against the restored image", (*_RESTORING, "ssim_power")),
    "with_spread": ("the spread over draws", (*_RESTORING, "spread_power")),
    "with_residual": ("the residual", (*_RESTORING, "residual_power", "standardise")),
    "with_lesions": ("the network for any contrast", ("lesion_power",)),
}
_STEPS = {**_PLAIN_STEPS, **_NETWORK_STEPS}


def _step(name: str) -> Method:
    """One step of the ladder, on top of those before it; the last step is the recipe itself."""
    names = list(_STEPS)
    taken = [key for step in names[: names.index(name) + 1] for key in _STEPS[step][1]]
    kind = PlainMethod if name in _PLAIN_STEPS else NetworkMethod
    summary = f"the step before, and {_STEPS[name][0]}"
    return kind(partial(_partly, taken), summary, by_default=False)


def _raw_of(method: Method) -> Method:
    return replace(
        method,
        recipe=partial(_raw, method.recipe),
        summary=f"{method.summary}; without any further step",
        by_default=False,
    )


_OF_BOTH: dict[str, Method] = {OURS: NETWORK_METHODS[OURS], **BASELINES}
_OF_BOTH |= {"lesion_network": LESION_NETWORK, **NETWORK_METHODS}
RAW_METHODS = {f"{name}_raw": _raw_of(method) for name, method in _OF_BOTH.items()}
"""Every method without the steps that all share."""
LADDER = (*_STEPS, OURS)
"""Methods of an ablation: one lever at a time, each on top of those before, the network last."""
METHODS: dict[str, Method] = {
    **_OF_BOTH,
    **{name: _step(name) for name in _STEPS},
    **RAW_METHODS,
}
NETWORK_METHODS |= {n: m for n, m in METHODS.items() if isinstance(m, NetworkMethod)}
