"""What a configuration cannot be."""

from __future__ import annotations

import dataclasses

import pytest

from pipeline.errors import InputError
from pipeline.run.config import RunConfig
from pipeline.run.settings import override


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("network", "giant", "tiny, small, base, paper"),
        ("diffusion.noise", "perlin", "simplex, gaussian, coarse"),
        ("diffusion.schedule", "sigmoid", "linear, cosine"),
        ("diffusion.prediction_type", "score", "epsilon, sample"),
        ("detection.residual", "l2", "absolute, squared"),
        ("detection.reconstruction", "full", "one_shot, chain"),
        ("detection.timesteps", [1000], "0..999"),
        ("detection.timesteps", [-1], "0..999"),
        ("detection.draws", 0, "draws"),
        ("diffusion.num_train_timesteps", 0, "detection.timesteps"),
        ("training.timestep_range", [10, 10], "training.timestep_range"),
        ("training.timestep_range", [0, 1001], "training.timestep_range"),
        ("training.epochs", 0, "training.epochs"),
        ("training.batch_size", -1, "training.batch_size"),
        ("validation_fraction", 0.0, "validation_fraction"),
        ("validation_fraction", 1, "validation_fraction"),
        ("hold_out", -1, "hold_out"),
        ("grid.size", 60, "multiple of 8"),
    ],
)
def test_an_impossible_value_is_refused_with_what_is_possible(
    key: str, value: object, named: str
) -> None:
    with pytest.raises(InputError) as caught:
        override(RunConfig(), {key: value})
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("detection.timesteps", []),
        ("detection.chain_stride", 0),
        ("detection.residual_power", -1.0),
        ("detection.median_mm", -1.0),
        ("detection.false_positive_rate", 0.0),
        ("detection.false_positive_rate", 2.0),
        ("training.timestep_range", [0, 10, 20]),
        ("training.learning_rate", float("nan")),
        ("training.learning_rate", -1.0),
        ("training.slices_per_epoch", 0),
        ("training.ema_decay", 1.5),
        ("modalities", []),
        ("modalities", ["flair", "flair"]),
        ("grid.size", 0),
        ("grid.spacing_mm", 0.0),
        ("grid.slice_spacing_mm", -3.0),
        ("diffusion.noise_parameters", {"octave": 3}),
        ("diffusion.noise_parameters", {"octaves": "6"}),
    ],
    ids=str,
)
def test_a_value_that_would_fail_hours_later_is_refused_at_once(key: str, value: object) -> None:
    with pytest.raises(InputError):
        override(RunConfig(), {key: value})


def test_a_map_needs_a_factor() -> None:
    powers = ("intensity_power", "normative_power", "residual_power")
    with pytest.raises(InputError, match="is above 0"):
        override(RunConfig(), {f"detection.{name}": 0.0 for name in powers})


@pytest.mark.parametrize("change", [{"draws": 1}, {"reconstruction": "clean"}])
def test_a_spread_needs_draws_that_differ(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match="spread_power needs noise"):
        RunConfig(detection=dataclasses.replace(RunConfig().detection, spread_power=1.0, **change))


@pytest.mark.parametrize("stage", ["training", "detection"])
def test_coherent_noise_needs_a_noise_in_3_d(stage: str) -> None:
    key = f"{stage}.coherent_noise"
    assert override(RunConfig(), {key: True}) != RunConfig()
    with pytest.raises(
        InputError, match=r"coherent_noise needs a noise in 3-D: simplex; got.*coarse"
    ):
        override(RunConfig(), {"diffusion.noise": "coarse", key: True})
