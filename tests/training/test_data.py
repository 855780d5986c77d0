"""Splits, and what a run folder holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from trainings import train_quietly

from pipeline.cases.case import Case
from pipeline.errors import InputError
from pipeline.run.config import RunConfig


def test_a_run_folder_says_who_was_used_for_what(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    train_quietly(controls, replace(config, hold_out=1), tmp_path / "run")
    datalist = json.loads((tmp_path / "run" / "datalist.json").read_text())
    sizes = {name: len(entries) for name, entries in datalist.items() if isinstance(entries, list)}
    assert sizes == {"training": 3, "validation": 1, "test": 1}
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_another_run_in_the_folder_is_not_overwritten(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    train_quietly(controls, config, tmp_path)
    with pytest.raises(InputError, match="--resume"):
        train_quietly(controls, config, tmp_path)
    with pytest.raises(InputError, match="differs"):
        train_quietly(controls, replace(config, seed=9), tmp_path, resume=True)


def test_too_few_subjects_are_refused_before_any_work(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="too few"):
        train_quietly(controls[:1], config, tmp_path)
    assert not list(tmp_path.iterdir())
