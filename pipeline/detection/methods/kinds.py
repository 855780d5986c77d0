"""What a method is: with the network of a run, or without; and the run that it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from pipeline.detection.case_work import CaseWork
from pipeline.detection.normative import INTENSITY, RESIDUAL
from pipeline.detection.recipe import (
    MapResult,
    RestoredMap,
    finished_map,
    image_factors,
    recipe_map,
    settings_of,
)
from pipeline.errors import InputError
from pipeline.maps.lesions.network import weights_sha256
from pipeline.maps.scoring import Factor
from pipeline.run.config import DetectionConfig
from pipeline.run.model import Model, needs_residual_atlas

FINISH = (
    *("median_mm", "smoothing_mm", "edge_mm", "case_quantile"),
    *("half_height", "min_component_ml"),
)
"""Settings of a recipe that say nothing of what is anomalous: all methods of a table share them."""
RAW = DetectionConfig(residual_power=0, median_mm=0, edge_mm=0, min_component_ml=0)
"""No factor and no step: what the recipes of plain methods start from."""
_OF_IMAGE = ("residual", "intensity_power", "normative_power", "asymmetry_power")


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
        identity: of a function that is not ours, for the record.
    """

    recipe: Recipe
    summary: str
    further: Further | None = None
    of_atlas: bool = False
    evaluations: int = 0
    identity: tuple[tuple[str, str], ...] = ()
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
            {
                **settings_of(own, (*_OF_IMAGE, *FINISH), asks_lesions=bool(self.evaluations)),
                **dict(self.identity),
            },
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
