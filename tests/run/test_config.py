"""What a configuration cannot be."""

from __future__ import annotations

import dataclasses

import pytest

from pipeline.errors import InputError
from pipeline.run.config import BOUNDS, RunConfig
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
        ("diffusion.num_train_timesteps", 0, "diffusion.num_train_timesteps"),
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


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("diffusion.num_train_timesteps", 10**9),
        ("grid.size", 4096),
        ("grid.slice_spacing_mm", 0.001),
        ("training.epochs", 10**9),
        ("training.slices_per_epoch", 10**9),
        ("training.batch_size", 10**6),
        ("training.workers", 1000),
        ("detection.draws", 10**6),
        ("detection.timesteps", list(range(101))),
        ("diffusion.noise_parameters", {"octaves": 10**9}),
        ("diffusion.noise_parameters", {"octaves": 10**5000}),
        ("diffusion.noise_parameters", {"x" * 200: 1}),
        ("training.epochs", 10**5000),
        ("training.learning_rate", 10**5000),
        ("seed", 10**5000),
        ("modalities", ["x" * 201]),
        ("modalities", ["../flair"]),
        ("modalities", [str(i) for i in range(17)]),
        ("network", "x" * 200),
    ],
    ids=range(19),
)
def test_what_would_take_more_than_is_stated_is_refused_in_a_short_line(
    key: str, value: object
) -> None:
    with pytest.raises(InputError) as caught:
        override(RunConfig(), {key: value})
    line = str(caught.value)
    assert key.split(".")[0] in line
    assert line.isprintable()
    assert len(line) < 400
    assert "x" * 81 not in line


def test_each_number_has_bounds_and_a_step_of_a_training_too() -> None:
    for section in ("", "grid", "diffusion", "training", "detection"):
        record = getattr(RunConfig(), section) if section else RunConfig()
        for field in dataclasses.fields(record):
            value = getattr(record, field.name)
            dotted = f"{section}.{field.name}".strip(".")
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert dotted in BOUNDS
    largest = {"training.batch_size": 1024, "grid.size": 128}
    assert override(RunConfig(), largest).training.batch_size == 1024
    with pytest.raises(InputError, match=r"grid\.size.* is 16,777,216 at most; got 33,554,432"):
        override(RunConfig(), largest | {"training.batch_size": 2048})


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
