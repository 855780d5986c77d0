"""Configurations: round trips, overrides, and what a wrong one is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pipeline.diffusion.network import NETWORKS, slice_multiple
from pipeline.errors import InputError
from pipeline.run.config import (
    PRESETS,
    RunConfig,
    dump_config,
    from_dict,
    load_config,
    override,
    preset_config,
    to_dict,
)

# Round trips --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_survives_the_way_to_a_file_and_back(name: str, tmp_path: Path) -> None:
    config = override(
        preset_config(name, ("t1", "flair")),
        {"seed": 7, "diffusion.noise_parameters": {"octaves": 4}, "training.flip": False},
    )
    assert from_dict(to_dict(config)) == config
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(path) == config


def test_the_file_lists_every_setting() -> None:
    text = dump_config(RunConfig())
    for record in (RunConfig(), *(getattr(RunConfig(), n) for n in ("training", "detection"))):
        assert all(f"{field.name}:" in text for field in dataclasses.fields(record))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_names_itself_and_fits_its_network(name: str) -> None:
    config = PRESETS[name]
    assert config.preset == name
    assert config.network in NETWORKS
    assert config.grid.size % slice_multiple(config.network) == 0


def test_the_paper_preset_is_brain_damage_s_recipe() -> None:
    config = PRESETS["paper"]
    training, detection, diffusion = config.training, config.detection, config.diffusion
    assert training.learning_rate == 1e-4
    assert training.warmup_steps == 1500
    assert training.epochs == 250
    assert training.batch_size == 8
    assert training.slices_per_epoch is None
    assert config.grid.size == 128
    assert detection.reconstruction == "one_shot"
    assert detection.timesteps == (200,)
    assert detection.draws == 1
    assert detection.residual == "squared"
    assert detection.median_mm == detection.edge_mm == 0
    assert (diffusion.schedule, diffusion.noise) == ("cosine", "simplex")
    assert diffusion.num_train_timesteps == 1000
    assert diffusion.prediction_type == "epsilon"


@pytest.mark.parametrize(
    ("modalities", "residual"),
    [
        (("flair",), "positive"),
        (("t2", "flair"), "positive"),
        (("t1",), "absolute"),
        (("flair", "t1"), "absolute"),
    ],
)
def test_the_sign_of_the_residual_follows_the_modality(
    modalities: tuple[str, ...], residual: str
) -> None:
    config = preset_config("tiny", modalities)
    assert config.modalities == modalities
    assert config.detection.residual == residual
    assert preset_config("paper", modalities).detection.residual == "squared"


# Overrides ----------------------------------------------------------------------------------------


def test_an_override_changes_its_setting_and_nothing_else() -> None:
    config = RunConfig()
    changed = override(
        config,
        {
            "training.epochs": 3,
            "grid.spacing_mm": 2,
            "training.slices_per_epoch": None,
            "detection.timesteps": [50, 60],
            "diffusion.noise_parameters.octaves": 4,
        },
    )
    assert changed.training.epochs == 3
    assert changed.grid.spacing_mm == 2.0
    assert isinstance(changed.grid.spacing_mm, float)
    assert changed.training.slices_per_epoch is None
    assert changed.detection.timesteps == (50, 60)
    assert changed.diffusion.noise_parameters == {"octaves": 4}
    back = {
        "training.epochs": config.training.epochs,
        "grid.spacing_mm": config.grid.spacing_mm,
        "training.slices_per_epoch": config.training.slices_per_epoch,
        "detection.timesteps": list(config.detection.timesteps),
        "diffusion.noise_parameters": {},
    }
    assert override(changed, back) == config
    assert config == RunConfig()


@pytest.mark.parametrize(
    "key", ["epochs", "training.epoch", "trainin.epochs", "training.epochs.more", "", "seed.x", "."]
)
def test_an_unknown_setting_is_refused_by_its_name(key: str) -> None:
    with pytest.raises(InputError, match="there is no setting") as caught:
        override(RunConfig(), {key: 1})
    assert repr(key) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.epochs", "three"),
        ("training.epochs", 2.5),
        ("training.epochs", True),
        ("training.epochs", None),
        ("training.learning_rate", "fast"),
        ("training.flip", 1),
        ("modalities", "flair"),
        ("modalities", [1]),
        ("detection.timesteps", 200),
        ("detection.timesteps", ["200"]),
        ("grid", 64),
        ("network", 3),
        ("diffusion.noise_parameters", [4]),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_its_name(key: str, value: object) -> None:
    with pytest.raises(InputError) as caught:
        override(RunConfig(), {key: value})
    message = str(caught.value)
    assert key.rsplit(".", maxsplit=1)[-1] in message
    assert "\n" not in message


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


@pytest.mark.parametrize("stage", ["training", "detection"])
def test_coherent_noise_needs_a_noise_in_3_d(stage: str) -> None:
    key = f"{stage}.coherent_noise"
    assert override(RunConfig(), {key: True}) != RunConfig()
    with pytest.raises(
        InputError, match=r"coherent_noise needs a noise in 3-D: simplex; got.*coarse"
    ):
        override(RunConfig(), {"diffusion.noise": "coarse", key: True})


def test_an_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(InputError, match=r"tiny, small, base, paper.*huge"):
        preset_config("huge", ("t1",))


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training: [", "not a readable configuration"),
        ("- a\n- b\n", "expected a table"),
        ("", "expected a table"),
        ("training: 3\n", "expected a table"),
        ("epochs: 3\n", "unknown setting 'epochs'"),
        ("training:\n  epochs: many\n", "expected int, got 'many'"),
        ("1: 2\nseeds: 3\n", "unknown setting"),
    ],
)
def test_a_broken_file_is_refused_with_its_path(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")


def test_numbers_in_scientific_notation_are_numbers(tmp_path: Path) -> None:
    """YAML 1.1 reads ``5e-4`` as text; people write it all the same."""
    path = tmp_path / "config.yaml"
    path.write_text("training:\n  learning_rate: 5e-4\n")
    assert load_config(path).training.learning_rate == 5e-4


@pytest.mark.parametrize("change", [{"draws": 1}, {"reconstruction": "clean"}])
def test_a_spread_needs_draws_that_differ(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match="spread_power needs noise"):
        RunConfig(detection=dataclasses.replace(RunConfig().detection, spread_power=1.0, **change))
