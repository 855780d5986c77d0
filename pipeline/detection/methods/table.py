"""Methods by name: a prepared case to its anomaly map. Ours, and what it is compared with.

What is no method (filter, smoothing, weight at the edge, level of the case, half height, small
parts) is the same for all: every method takes it over from the recipe of the run, and the same
methods without any of it are there under ``<name>_raw``.

To add a method: enter a recipe in `BASELINES` (no network), or a recipe and the noise that its
network was trained with in `NETWORK_METHODS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from pipeline.detection.case_work import CaseWork
from pipeline.detection.methods.kinds import (
    FINISH,
    RAW,
    Method,
    NetworkMethod,
    PlainMethod,
    Recipe,
)
from pipeline.detection.normative import mean_brain
from pipeline.detection.recipe import lesion_factor, structure_factor
from pipeline.errors import InputError
from pipeline.maps.lesions.network import VIEWS
from pipeline.maps.scoring import Factor, blur, residual_map
from pipeline.run.config import DetectionConfig
from pipeline.run.model import Model
from pipeline.run.presets import DAE_TIMESTEP

BLUR_SIGMA_MM = 8.0

BRAIN_DAMAGE = replace(RAW, timesteps=(200,), draws=1, residual="squared", residual_power=1)
"""One-shot x_0 at t = 200 and the squared error: brain_damage's rule, with the network of a run."""

ANODDPM = replace(BRAIN_DAMAGE, reconstruction="chain", timesteps=(250,))
"""The partial chain from t = 250 with simplex noise in every reverse step (Wyatt et al. 2022).

AnoDDPM's lambda of 250 on the linear schedule with raw noise (standard deviation 0.48) has a noise
to signal ratio of 0.46; t = 250 on the cosine schedule with unit variance has 0.43.
"""


DAE = replace(BRAIN_DAMAGE, reconstruction="clean", timesteps=(DAE_TIMESTEP,), residual="absolute")
"""A denoising autoencoder (Kascenas et al., MIDL 2022): trained with coarse noise (``--preset
dae``), which is left out at test; the absolute error."""


# Functions with names, so that a detector can be handed to another process.


def _own(full: DetectionConfig) -> DetectionConfig:
    """The run's own recipe."""
    return full


def fixed(rule: DetectionConfig, full: DetectionConfig) -> DetectionConfig:
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
    "intensity": PlainMethod(partial(fixed, BRIGHT), "normalised intensity, bright is anomalous"),
    "intensity_dark": PlainMethod(partial(fixed, DARK), "normalised intensity, dark is anomalous"),
    "normative": PlainMethod(
        partial(fixed, AT_PLACE), "|z| of the intensity at its place among healthy brains"
    ),
    "blur_residual": PlainMethod(
        partial(fixed, RAW), "distance to a Gaussian blur of the image", further=_blur_residual
    ),
}
"""Those of `METHODS` without a network."""
LESION_NETWORK = PlainMethod(
    partial(fixed, RAW),
    "the network for any contrast alone",
    _likely_lesion,
    evaluations=len(VIEWS),
)
NETWORK_METHODS: dict[str, NetworkMethod] = {
    OURS: NetworkMethod(_own, "the full recipe of the run"),
    "brain_damage": NetworkMethod(
        partial(fixed, BRAIN_DAMAGE),
        "brain_damage's rule on the run's network: one-shot x_0 at t = 200, squared error",
    ),
    "gaussian_one_shot": NetworkMethod(
        partial(fixed, BRAIN_DAMAGE), "the same with Gaussian noise (DDPM)", noise="gaussian"
    ),
    "dae": NetworkMethod(
        partial(fixed, DAE),
        "denoising autoencoder: coarse noise in training, none at test",
        noise="coarse",
    ),
    "anoddpm_chain": NetworkMethod(
        partial(fixed, ANODDPM),
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


def raw_of(method: Method) -> Method:
    """A method without the steps that all share."""
    return replace(
        method,
        recipe=partial(_raw, method.recipe),
        summary=f"{method.summary}; without any further step",
        by_default=False,
    )


_OF_BOTH: dict[str, Method] = {OURS: NETWORK_METHODS[OURS], **BASELINES}
_OF_BOTH |= {"lesion_network": LESION_NETWORK, **NETWORK_METHODS}
RAW_METHODS = {f"{name}_raw": raw_of(method) for name, method in _OF_BOTH.items()}
"""Every method without the steps that all share."""
LADDER = (*_STEPS, OURS)
"""Methods of an ablation: one lever at a time, each on top of those before, the network last."""
METHODS: dict[str, Method] = {
    **_OF_BOTH,
    **{name: _step(name) for name in _STEPS},
    **RAW_METHODS,
}
NETWORK_METHODS |= {n: m for n, m in METHODS.items() if isinstance(m, NetworkMethod)}
