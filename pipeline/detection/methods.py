"""Methods by name: a prepared case to its anomaly map. Ours, and what it is compared with.

To add a method: write a function from a prepared case to a map and enter it in `BASELINES`, or name
a recipe and the noise that its network was trained with and enter it in `NETWORK_METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import torch

from pipeline.cases.transforms import Prepared
from pipeline.detection.case_work import CaseWork
from pipeline.detection.normative import INTENSITY, RESIDUAL
from pipeline.detection.recipe import (
    MapResult,
    RestoredMap,
    brightness,
    darkness,
    in_brain_median,
    recipe_map,
    unusual,
)
from pipeline.errors import InputError
from pipeline.maps.scoring import blur, residual_map
from pipeline.run.config import DetectionConfig
from pipeline.run.model import Model, needs_residual_atlas

BASELINE_MEDIAN_MM = 10.0
BLUR_SIGMA_MM = 8.0

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


# Kinds of methods ---------------------------------------------------------------------------------


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


class Method(Protocol):
    """A way to an anomaly map. Runs are given by the noise that they restore from."""

    @property
    def summary(self) -> str:
        """One line for tables."""

    @property
    def by_default(self) -> bool:
        """Whether a benchmark runs it unasked."""

    def needed_atlases(self, recipe: DetectionConfig) -> set[str]:
        """Names of the atlases that it uses of a run of this recipe."""

    def missing(self, models: Mapping[str, Model]) -> str | None:
        """What it lacks with these runs; None where it can be computed."""

    def ready(self, models: Mapping[str, Model]) -> ReadyMethod:
        """The method with its run.

        Raises:
            InputError: it lacks something; see `missing`.
        """


@dataclass(frozen=True)
class PlainMethod:
    """A map of the image alone.

    Attributes:
        compute: the map of a prepared case.
        settings: all that it does, for the record.
    """

    compute: Callable[[Prepared], MapResult]
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    by_default: bool = True

    def needed_atlases(self, recipe: DetectionConfig) -> set[str]:
        """None."""
        return set()

    def missing(self, models: Mapping[str, Model]) -> str | None:
        """Nothing."""
        return None

    def ready(self, models: Mapping[str, Model]) -> ReadyMethod:
        """See `Method.ready`; no run is used."""
        return ReadyMethod(self._map, self.settings)

    def _map(self, work: CaseWork, seed: int) -> MapResult:
        return self.compute(work.prepared)


@dataclass(frozen=True)
class AtlasMethod:
    """A map of the image against the atlas of the intensity, whatever noise a run is of.

    Attributes:
        compute: the map of a case.
        settings: all that it does, for the record.
    """

    compute: Callable[[CaseWork, Model], MapResult]
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    by_default: bool = True

    def needed_atlases(self, recipe: DetectionConfig) -> set[str]:
        """That of the intensity."""
        return {INTENSITY}

    def missing(self, models: Mapping[str, Model]) -> str | None:
        """The atlas, or a run; see `Method.missing`."""
        for model in models.values():
            return _missing_atlases({INTENSITY}, model.atlases, str(model.path))
        return _missing_atlases({INTENSITY}, {}, "no run is given")

    def ready(self, models: Mapping[str, Model]) -> ReadyMethod:
        """See `Method.ready`; of several runs the first is used."""
        if (reason := self.missing(models)) is not None:
            raise InputError(reason)
        model = next(iter(models.values()))
        return ReadyMethod(
            partial(self._map, model),
            self.settings,
            false_positive_rate=model.config.detection.false_positive_rate,
            weights_sha256=model.weights_sha256,
            atlases_sha256=model.atlases_sha256,
        )

    def _map(self, model: Model, work: CaseWork, seed: int) -> MapResult:
        return self.compute(work, model)


@dataclass(frozen=True)
class NetworkMethod:
    """A recipe with the network of a run.

    Attributes:
        recipe: what it makes of the run's own recipe.
        noise: what the network must have been trained with.
    """

    recipe: Callable[[DetectionConfig], DetectionConfig]
    summary: str
    noise: str = "simplex"
    by_default: bool = True

    def needed_atlases(self, recipe: DetectionConfig) -> set[str]:
        """Names of the atlases that it uses of a run of this recipe."""
        own = self.recipe(recipe)
        needed = {INTENSITY} if own.normative_power or own.asymmetry_power else set()
        return needed | ({RESIDUAL} if needs_residual_atlas(own) else set())

    def missing(self, models: Mapping[str, Model]) -> str | None:
        """A run of its noise, or atlases of that; see `Method.missing`."""
        if self.noise not in models:
            return f"needs a run trained with `--noise {self.noise}`; give it as a further --model"
        model = models[self.noise]
        needed = self.needed_atlases(model.config.detection)
        return _missing_atlases(needed, model.atlases, str(model.path))

    def ready(self, models: Mapping[str, Model]) -> ReadyMethod:
        """See `Method.ready`."""
        if (reason := self.missing(models)) is not None:
            raise InputError(reason)
        model = models[self.noise]
        full = model.config.detection
        own = self.recipe(full)
        return ReadyMethod(
            partial(self._map, model),
            asdict(own),
            min_component_ml=own.min_component_ml,
            half_height=own.half_height,
            false_positive_rate=full.false_positive_rate,
            weights_sha256=model.weights_sha256,
            atlases_sha256=model.atlases_sha256 if self.needed_atlases(full) else None,
        )

    def compute(self, work: CaseWork, model: Model, seed: int) -> RestoredMap:
        """The map of a case, by the recipe with timesteps that a short diffusion has too."""
        own = self.recipe(model.config.detection)
        last = model.scheduler.num_train_timesteps - 1
        within = replace(own, timesteps=tuple(min(t, last) for t in own.timesteps))
        return recipe_map(work, model, within, seed)

    def _map(self, model: Model, work: CaseWork, seed: int) -> RestoredMap:
        return self.compute(work, model, seed)


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


def _brightness(prepared: Prepared) -> MapResult:
    return MapResult(brightness(prepared))


def _darkness(prepared: Prepared) -> MapResult:
    return MapResult(darkness(prepared))


def _median_of_brightness(prepared: Prepared) -> MapResult:
    return MapResult(in_brain_median(brightness(prepared), prepared, BASELINE_MEDIAN_MM))


def _median_of_unusual(work: CaseWork, model: Model) -> MapResult:
    how_unusual = unusual(work, model, "absolute")
    return MapResult(in_brain_median(how_unusual, work.prepared, BASELINE_MEDIAN_MM))


def _blur_residual(prepared: Prepared) -> MapResult:
    blurred = blur(prepared.slices, prepared.brain, prepared.grid, BLUR_SIGMA_MM)
    restored = torch.where(prepared.brain, blurred, prepared.slices)
    return MapResult(residual_map(prepared.slices, restored, prepared.brain, "absolute"), restored)


def _own(full: DetectionConfig) -> DetectionConfig:
    """The run's own recipe."""
    return full


def _fixed(recipe: DetectionConfig, full: DetectionConfig) -> DetectionConfig:
    """A recipe, whatever the run's own."""
    return recipe


def _partly(keys: Sequence[str], full: DetectionConfig) -> DetectionConfig:
    """`BRAIN_DAMAGE` with some settings of the run's own recipe."""
    return replace(BRAIN_DAMAGE, **{key: getattr(full, key) for key in keys})


OURS, FIRST_STEP = "anomap", "brain_damage"
BASELINES: dict[str, PlainMethod | AtlasMethod] = {
    "intensity": PlainMethod(_brightness, "normalised intensity, bright is anomalous"),
    "intensity_dark": PlainMethod(_darkness, "normalised intensity, dark is anomalous"),
    "intensity_median": PlainMethod(
        _median_of_brightness,
        "intensity after a 3-D median filter",
        settings={"median_mm": BASELINE_MEDIAN_MM},
    ),
    "normative": AtlasMethod(
        _median_of_unusual,
        "|z| of the intensity at its place among healthy brains, after a 3-D median filter",
        settings={"median_mm": BASELINE_MEDIAN_MM},
    ),
    "blur_residual": PlainMethod(
        _blur_residual,
        "distance to a Gaussian blur of the image",
        settings={"sigma_mm": BLUR_SIGMA_MM},
    ),
}
"""Those of `METHODS` without a network."""
NETWORK_METHODS: dict[str, NetworkMethod] = {
    OURS: NetworkMethod(_own, "the full recipe of the run"),
    "brain_damage": NetworkMethod(
        partial(_fixed, BRAIN_DAMAGE), "one-shot x_0 at t = 200, squared error"
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


def _step(name: str) -> NetworkMethod:
    """One step of the ladder, on top of those before it; the last step is the recipe itself."""
    names = list(_STEPS)
    taken = [key for step in names[: names.index(name) + 1] for key in _STEPS[step][1]]
    summary = f"the step before, and {_STEPS[name][0]}"
    return NetworkMethod(partial(_partly, taken), summary, by_default=False)


LADDER = (FIRST_STEP, *_STEPS, OURS)
"""Methods of an ablation: one lever at a time, each on top of those before."""
NETWORK_METHODS |= {name: _step(name) for name in _STEPS}
METHODS: dict[str, Method] = {OURS: NETWORK_METHODS[OURS], **BASELINES, **NETWORK_METHODS}
