"""Configurations as values and files: round trips, overrides, and what a wrong one is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.run.config import RunConfig
from pipeline.run.presets import PRESETS, preset_config
from pipeline.run.settings import dump_config, from_dict, load_config, override, to_dict


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_survives_the_way_to_a_file_and_back(name: str, tmp_path: Path) -> None:
    config = override(
        preset_config(name, ("t1", "flair")),
        {"seed": 7, "diffusion.schedule": "linear", "training.flip": False},
    )
    assert from_dict(to_dict(config)) == config
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(path) == config


def test_the_file_lists_every_setting() -> None:
    text = dump_config(RunConfig())
    for record in (RunConfig(), *(getattr(RunConfig(), n) for n in ("training", "detection"))):
        assert all(f"{field.name}:" in text for field in dataclasses.fields(record))


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


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(c + 1)}: &{chr(c + 1)} [{', '.join([f'*{chr(c)}'] * 9)}]\n" for c in range(97, 106)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "an alias ('a'); write the value out"),
        ("a: &a\n  <<: *a\n", "an alias"),
        ("seed: !!python/object/apply:os.system [ls]\n", "a tag ("),
        ("seed: !!int 3\n", "a tag ("),
        ("seed: 1\nseed: 2\n", "the key 'seed' twice"),
        ("{a: 1, a: 2}", "the key 'a' twice"),
        ("? [a]\n: 1\n", "one that is no text"),
        ("[" * 5000, "deep in each other"),
        ("{a: " * 5000, "deep in each other"),
        ("- " * 5000, "deep in each other"),
        ("seed: 2026-13-45\n", "month must be in 1..12"),
        ("seed: 0b_\n", "not a readable configuration"),
        ("seed: " + "9" * 5000, "not a readable configuration"),
        ("seed: 0x" + "f" * 5000, "got a number of 20000 bits"),
        ("seed: [0x" + "f" * 5000 + "]", "got [a number of 20000 bits]"),
        ("seed: " + "x" * 5000, "expected int, got 'xxx"),
        ("x" * 300_000, "more than 262,144 bytes"),
        ("seed: 1\n---\nseed: 2\n", "not a readable configuration"),
        ("seed: \x07\n", "not a readable configuration"),
        ("x" * 200 + ": 1\n", "unknown setting"),
        ("x" * 200 + ": [\n", "not a readable configuration"),
    ],
    ids=range(21),
)
def test_a_hostile_file_is_refused_in_a_short_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_config(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert said in line
    assert line.isprintable()
    assert len(line) < 500 + len(str(path))
    assert "x" * 81 not in line


def test_bytes_that_are_no_text_are_refused_and_a_byte_order_mark_is_not(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"seed: \xff\n")
    with pytest.raises(InputError, match=r"config\.yaml: not a readable configuration"):
        load_config(path)
    path.write_text("seed: 3\n", encoding="utf-8-sig")
    assert load_config(path).seed == 3


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")


def test_numbers_in_scientific_notation_are_numbers(tmp_path: Path) -> None:
    """YAML 1.1 reads ``5e-4`` as text; people write it all the same."""
    path = tmp_path / "config.yaml"
    path.write_text("training:\n  learning_rate: 5e-4\n")
    assert load_config(path).training.learning_rate == 5e-4
