"""Which methods are run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_models import map_of

from pipeline.cases.transforms import Prepared
from pipeline.detection.methods.choice import runnable, select_methods
from pipeline.detection.methods.table import LADDER, METHODS, RAW_METHODS
from pipeline.errors import InputError
from pipeline.run.model import Model


def test_methods_without_their_network_are_left_out_with_a_reason(
    prepared: Prepared, models: dict[str, Model]
) -> None:
    names = select_methods("all")
    ready, left_out = runnable(names, {"simplex": models["simplex"]})
    assert list(left_out) == ["gaussian_one_shot", "dae"]
    assert "coarse" in left_out["dae"]
    assert "gaussian" in left_out["gaussian_one_shot"]
    assert set(ready) | set(left_out) == set(METHODS) - set(LADDER[:-1]) - set(RAW_METHODS)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(InputError, match="magic"):
        select_methods("anomap,magic")


def test_methods_without_their_atlas_are_left_out_with_a_reason(
    prepared: Prepared, models: dict[str, Model]
) -> None:
    bare = {"simplex": replace(models["simplex"], atlases={})}
    ready, left_out = runnable(["anomap", "normative", "brain_damage", "intensity"], bare)
    assert ready == ["brain_damage", "intensity"]
    assert "no atlas of the intensity and residual" in left_out["anomap"]
    assert "no atlas of the intensity of" in left_out["normative"]
    assert "--resume" in left_out["normative"]
    _, left_out = runnable(["normative"], {})
    assert "no run is given" in left_out["normative"]


def test_steps_that_change_nothing_in_a_recipe_are_left_out(
    prepared: Prepared, model: Model
) -> None:
    models = {"simplex": model}
    ready, left_out = runnable(select_methods("ladder"), models)
    assert ready[0] == "with_intensity"
    assert ready[-1] == "anomap"
    assert "changes nothing" in left_out["with_spread"]
    assert "with_asymmetry" in ready
    no_residual = replace(models["simplex"].config.detection, residual_power=0.0)
    config = replace(models["simplex"].config, detection=no_residual)
    ready_too, _ = runnable(
        select_methods("ladder"), {"simplex": replace(models["simplex"], config=config)}
    )
    assert "with_residual" not in ready_too
    for name in ready_too:
        model = replace(models["simplex"], config=config)
        assert map_of(name, prepared, {"simplex": model}).anomaly_map.max() > 0
    assert set(ready) | set(left_out) == set(LADDER)


def test_raw_takes_the_default_methods_without_the_steps_that_all_share() -> None:
    raw = select_methods("raw")
    assert raw == [f"{name}_raw" for name in select_methods(None)]
    assert set(raw) <= set(RAW_METHODS)
