"""All choices of a run, as plain records; each value stands once. Written to `config.yaml`."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline import entry_points
from pipeline.cases.grid import Grid
from pipeline.diffusion.network import NETWORKS, slice_multiple
from pipeline.diffusion.scheduler import PREDICTIONS, SCHEDULES
from pipeline.errors import InputError
from pipeline.files.case_name import CaseName
from pipeline.files.limits import (
    MAX_BATCH_PIXELS,
    MAX_BATCH_SIZE,
    MAX_DRAWS,
    MAX_EPOCHS,
    MAX_GRID_SIZE,
    MAX_MODALITIES,
    MAX_RECONSTRUCTIONS,
    MAX_SLICES_PER_EPOCH,
    MAX_TIMESTEPS,
    MAX_WORKERS,
    MIN_SPACING_MM,
)
from pipeline.files.texts import brief, quoted
from pipeline.maps.scoring import RESIDUALS
from pipeline.noise.depths import DEPTHS
from pipeline.noise.noises import NOISES, VolumeNoise, make_noise, noise_kind
from pipeline.run.words import DEGRADATIONS, FALSE_POSITIVE_RATES

LOSSES = ("l2", "l1")
RECONSTRUCTIONS = ("one_shot", "chain", "ddim", "clean")


@dataclass(frozen=True)
class DiffusionConfig:
    """The diffusion process; see `SimplexDDPMScheduler` and `pipeline.noise.noises`.

    Attributes:
        noise: name in `NOISES`.
        noise_parameters: its arguments.
        noise_depth: at which depth of a noise in 3-D a field is cut: ``fixed``, ``typical`` or
            ``timestep``; see `pipeline.noise.depths`.
        min_beta: the schedule's betas are raised to it; 0 leaves them.
        clip_sample: the restored image is clipped to [-1, 1].
        degradation: what training degrades images by: ``noise``, painted lesions that are mixed in
            without noise (``anomaly``, a cold diffusion), or noise on images with such lesions
            (``both``). The network is to undo all of it.
    """

    num_train_timesteps: int = 1000
    schedule: str = "cosine"
    prediction_type: str = "epsilon"
    noise: str = "simplex"
    noise_parameters: dict[str, float | bool] = field(default_factory=dict)
    noise_depth: str = "fixed"
    min_beta: float = 0.0
    clip_sample: bool = True
    degradation: str = "noise"


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is trained.

    Attributes:
        epochs: passes; each is checkpointed.
        slices_per_epoch: slices drawn for one pass; None takes every slice once.
        batch_size: slices a step.
        learning_rate: peak rate of AdamW; cosine decay to 0 at the end.
        warmup_steps: steps of linear warm-up, at most a tenth of all steps are used.
        ema_decay: of the exponential moving average of the weights, which is what is kept.
        timestep_range: t is drawn from [first, last).
        rotate_degrees, translate_mm, scale: bounds of the random affine, either way.
        flip: mirror left and right half of the time.
        contrast: intensities are raised to a random power, in exp(-contrast) .. exp(contrast).
        bias_field: largest coefficient of a random smooth field that multiplies intensities.
        blur_mm: largest standard deviation of a random Gaussian blur, as of a coarser scan.
        loss: ``l2`` or ``l1``, of the network's prediction.
        coherent_noise: every sample's field is a slice of a 3-D noise, at one of a few depths.
        bfloat16: autocast on CUDA.
        workers: processes that load and augment slices; 0 is none. It changes no result.
    """

    epochs: int = 30
    slices_per_epoch: int | None = 1024
    batch_size: int = 16
    learning_rate: float = 5e-4
    warmup_steps: int = 100
    ema_decay: float = 0.995
    timestep_range: tuple[int, int] = (0, 1000)
    rotate_degrees: float = 8.0
    translate_mm: float = 6.0
    scale: float = 0.08
    flip: bool = True
    contrast: float = 0.0
    bias_field: float = 0.0
    blur_mm: float = 0.0
    loss: str = "l2"
    coherent_noise: bool = False
    bfloat16: bool = False
    workers: int = 0


@dataclass(frozen=True)
class DetectionConfig:
    """The recipe from image to map.

    Attributes:
        reconstruction: ``one_shot`` (one evaluation), ``chain`` (walk back step by step) or
            ``ddim`` (the same without drawing noise on the way) or ``clean`` (one evaluation
            without any noise, as of a denoising autoencoder).
        timesteps: each t gives a reconstruction; their residuals are averaged.
        draws: noise fields for each t; their reconstructions are averaged.
        coherent_noise: the fields of a case's slices are slices of one 3-D noise.
        chain_stride: timesteps between two evaluations of chain and ddim.
        residual: ``absolute``, ``squared``, ``positive`` (brighter than healthy) or ``negative``.
        standardise: the residual of each timestep is taken in standard deviations from what
            healthy brains show at that place.
        intensity_power, normative_power, asymmetry_power, residual_power: the map is the product
            of the normalised intensity (``negative``: of darkness), of how unusual it is at its
            place (by the sign of ``residual``), of how much more so than on the other side of the
            brain, and of the residual, each to its power; 0 leaves one out.
        ssim_power, spread_power: further factors: how much image and pseudo-healthy image differ
            in structure (multi-scale SSIM), and how much the draws of one timestep differ.
        lesion_power: one more: the probability of a lesion, by the network for any contrast; see
            `pipeline.maps.lesions`.
        median_mm: edge of the 3-D median filter on each factor of the map; 0 is none.
        smoothing_mm: standard deviation of a 3-D Gaussian on the map; 0 is none.
        case_quantile: the map is divided by this quantile of its values in the brain; 0 is off.
        edge_mm: within this distance of the brain's border the map is scaled down linearly.
        min_component_ml: smaller connected parts of the mask are dropped.
        false_positive_rate: share of healthy brain voxels above the threshold.
        half_height: a case's mask is cut at this share of the height from the case's median to
            the upper quartile of what exceeds the threshold, where that is higher; 0 is off.
    """

    reconstruction: str = "one_shot"
    timesteps: tuple[int, ...] = (100, 200, 300)
    draws: int = 3
    coherent_noise: bool = False
    chain_stride: int = 1
    residual: str = "absolute"
    standardise: bool = False
    intensity_power: float = 0.0
    normative_power: float = 0.0
    asymmetry_power: float = 0.0
    residual_power: float = 1.0
    ssim_power: float = 0.0
    spread_power: float = 0.0
    lesion_power: float = 0.0
    median_mm: float = 10.0
    smoothing_mm: float = 0.0
    case_quantile: float = 0.0
    edge_mm: float = 4.0
    min_component_ml: float = 0.5
    false_positive_rate: float = 0.01
    half_height: float = 0.0


"""The rates at which thresholds are tabulated."""

_TINY, _MANY, _SEEDS = 1e-9, 1e9, 2**63 - 1
BOUNDS: dict[str, tuple[float, float]] = {
    # Lowest and highest value of every number that has bounds.
    "grid.size": (8, MAX_GRID_SIZE),
    "grid.spacing_mm": (MIN_SPACING_MM, 50),
    "grid.slice_spacing_mm": (MIN_SPACING_MM, 50),
    "diffusion.num_train_timesteps": (1, MAX_TIMESTEPS),
    "diffusion.min_beta": (0, 0.5),
    "training.epochs": (1, MAX_EPOCHS),
    "training.slices_per_epoch": (1, MAX_SLICES_PER_EPOCH),
    "training.batch_size": (1, MAX_BATCH_SIZE),
    "training.learning_rate": (_TINY, 1),
    "training.warmup_steps": (0, _MANY),
    "training.ema_decay": (0, 1 - _TINY),
    "training.rotate_degrees": (0, 180),
    "training.translate_mm": (0, 1000),
    "training.scale": (0, 0.9),
    "training.contrast": (0, 2),
    "training.bias_field": (0, 1),
    "training.blur_mm": (0, 100),
    "training.workers": (0, MAX_WORKERS),
    "detection.draws": (1, MAX_DRAWS),
    "detection.chain_stride": (1, MAX_TIMESTEPS),
    "detection.intensity_power": (0, 10),
    "detection.normative_power": (0, 10),
    "detection.asymmetry_power": (0, 10),
    "detection.residual_power": (0, 10),
    "detection.ssim_power": (0, 10),
    "detection.spread_power": (0, 10),
    "detection.lesion_power": (0, 10),
    "detection.case_quantile": (0, 0.99),
    "detection.median_mm": (0, 1000),
    "detection.smoothing_mm": (0, 1000),
    "detection.edge_mm": (0, 1000),
    "detection.min_component_ml": (0, _MANY),
    "detection.false_positive_rate": (min(FALSE_POSITIVE_RATES), max(FALSE_POSITIVE_RATES)),
    "detection.half_height": (0, 1),
    "validation_fraction": (_TINY, 1 - _TINY),
    "hold_out": (0, _MANY),
    "seed": (-_SEEDS, _SEEDS),
}


@dataclass(frozen=True)
class RunConfig:
    """One training and the detection that goes with it.

    Attributes:
        modalities: channels of the network, in this order.
        network: name in `NETWORKS`.
        mirrored: the network sees the mirror image of a slice beside it.
        seed: of everything that is drawn.
        validation_fraction: share of the healthy subjects kept for validation loss and calibration.
        hold_out: number of healthy subjects that are not touched at all; they are listed in
            ``datalist.json`` under "test".
    """

    modalities: tuple[str, ...] = ("flair",)
    preset: str = "tiny"
    network: str = "tiny"
    mirrored: bool = False
    grid: Grid = field(default_factory=Grid)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    detection: DetectionConfig = field(default_factory=DetectionConfig)
    validation_fraction: float = 0.2
    hold_out: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        _check_choices(self)
        _check_bounds(self)
        _check_modalities(self.modalities)
        _check_factors(self.detection)
        _check_timesteps(self)
        _check_noise_parameters(self.diffusion)
        _check_coherent_noise(self)
        _check_degradation(self)
        _check_grid_fits(self)


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """See that a setting is one of its possible values.

    Raises:
        InputError: it is not; the message lists them.
    """
    if value not in choices:
        raise InputError(f"{name} is one of {', '.join(choices)}; got {quoted(value)}")


def _check_choices(config: RunConfig) -> None:
    check_choice("network", config.network, NETWORKS)
    _check_noise(config.diffusion.noise)
    check_choice("diffusion.schedule", config.diffusion.schedule, SCHEDULES)
    check_choice("diffusion.prediction_type", config.diffusion.prediction_type, PREDICTIONS)
    check_choice("diffusion.noise_depth", config.diffusion.noise_depth, DEPTHS)
    check_choice("diffusion.degradation", config.diffusion.degradation, DEGRADATIONS)
    check_choice("training.loss", config.training.loss, LOSSES)
    check_choice("detection.residual", config.detection.residual, RESIDUALS)
    check_choice("detection.reconstruction", config.detection.reconstruction, RECONSTRUCTIONS)


def _check_noise(name: str) -> None:
    known = (*NOISES, *entry_points.names_of_group(entry_points.NOISES))
    check_choice("diffusion.noise", name, known)
    try:
        noise_kind(name)
    except ValueError as error:
        raise InputError(f"diffusion.noise: {brief(error)}") from error


def _check_bounds(config: RunConfig) -> None:
    for dotted, (low, high) in BOUNDS.items():
        value = _setting(config, dotted)
        # A comparison with NaN is false, so NaN is refused too.
        if value is not None and not low <= value <= high:
            raise InputError(f"{dotted} lies in {low:g} to {high:g}; got {quoted(value)}")


def _setting(config: object, dotted: str) -> Any:
    for name in dotted.split("."):
        config = getattr(config, name)
    return config


def _check_modalities(modalities: tuple[str, ...]) -> None:
    if not modalities or len(set(modalities)) < len(modalities):
        raise InputError(f"modalities are one or more, each once; got {quoted(modalities)}")
    if len(modalities) > MAX_MODALITIES:
        raise InputError(f"modalities are {MAX_MODALITIES} at most; got {len(modalities)}")
    try:
        for modality in modalities:
            CaseName(modality)  # it stands in names of files
    except InputError as error:
        raise InputError(f"modalities: {error}") from error


def _check_factors(recipe: DetectionConfig) -> None:
    powers = [f.name for f in dataclasses.fields(recipe) if f.name.endswith("_power")]
    if not any(getattr(recipe, power) for power in powers):
        raise InputError(f"one of detection.{', '.join(powers)} is above 0")
    if recipe.spread_power and (recipe.draws < 2 or recipe.reconstruction == "clean"):
        raise InputError("detection.spread_power needs noise, and detection.draws of 2 or more")


def _check_timesteps(config: RunConfig) -> None:
    steps = config.diffusion.num_train_timesteps
    timesteps = config.detection.timesteps
    if len(timesteps) > MAX_RECONSTRUCTIONS:
        raise InputError(
            f"detection.timesteps are {MAX_RECONSTRUCTIONS} at most; got {len(timesteps)}"
        )
    if not timesteps or any(not 0 <= t < steps for t in timesteps):
        raise InputError(f"detection.timesteps lie in 0..{steps - 1}; got {quoted(timesteps)}")
    drawn = config.training.timestep_range
    if len(drawn) != 2 or not 0 <= drawn[0] < drawn[1] <= steps:
        raise InputError(
            f"training.timestep_range is [first, last) in 0..{steps}; got {quoted(drawn)}"
        )


def _check_noise_parameters(diffusion: DiffusionConfig) -> None:
    fields = dataclasses.fields(typing.cast(Any, NOISES[diffusion.noise]))
    switches = {f.name: isinstance(f.default, bool) for f in fields}
    for name, value in diffusion.noise_parameters.items():
        is_number = isinstance(value, int | float)
        if not is_number or switches.get(name) is not isinstance(value, bool):
            raise InputError(
                f"diffusion.noise_parameters: {diffusion.noise} takes {_taken(switches)}; got "
                f"{quoted(name)}: {quoted(value)}"
            )
    try:
        make_noise(diffusion.noise, **diffusion.noise_parameters)
    except ValueError as error:
        raise InputError(f"diffusion.noise_parameters: {brief(error)}") from error


def _taken(switches: dict[str, bool]) -> str:
    """What the parameters of a noise are, by whether each is a switch."""
    numbers = ", ".join(sorted(name for name, is_one in switches.items() if not is_one))
    others = ", ".join(sorted(name for name, is_one in switches.items() if is_one))
    text = f"numbers for {numbers or 'nothing'}"
    return f"{text}, true or false for {others}" if others else text


def _check_coherent_noise(config: RunConfig) -> None:
    coherent = config.training.coherent_noise or config.detection.coherent_noise
    if coherent and not issubclass(NOISES[config.diffusion.noise], VolumeNoise):
        volume_noises = [name for name, kind in NOISES.items() if issubclass(kind, VolumeNoise)]
        raise InputError(
            f"coherent_noise needs a noise in 3-D: {', '.join(volume_noises)}; got "
            f"diffusion.noise: {config.diffusion.noise}"
        )


def _check_degradation(config: RunConfig) -> None:
    """An anomaly is undone by a network that answers with the image; alone, nothing is drawn."""
    degradation = config.diffusion.degradation
    if degradation == "noise":
        return
    needed = {"diffusion.prediction_type": ["sample"]}
    if degradation == "anomaly":
        needed |= {"detection.reconstruction": ["one_shot", "ddim"], "detection.draws": ["1"]}
    for name, allowed in needed.items():
        if (value := str(_setting(config, name))) not in allowed:
            raise InputError(
                f"diffusion.degradation: {degradation} needs {name} {' or '.join(allowed)}; got "
                f"{quoted(value)}"
            )


def _check_grid_fits(config: RunConfig) -> None:
    multiple = slice_multiple(config.network)
    if config.grid.size % multiple:
        raise InputError(
            f"grid.size is a multiple of {multiple} for the network {config.network!r}; "
            f"got {config.grid.size}"
        )
    pixels = config.training.batch_size * config.grid.size**2 * len(config.modalities)
    if pixels > MAX_BATCH_PIXELS:
        raise InputError(
            f"training.batch_size * grid.size**2 * modalities is {MAX_BATCH_PIXELS:,} at most; "
            f"got {pixels:,}"
        )
