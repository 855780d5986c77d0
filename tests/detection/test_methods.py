"""Every registered method keeps the contract of a map."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from small_models import map_of

from pipeline.cases.transforms import Prepared
from pipeline.detection.methods.kinds import FINISH, RAW
from pipeline.detection.methods.table import LADDER, METHODS, NETWORK_METHODS, RAW_METHODS
from pipeline.run.config import DetectionConfig
from pipeline.run.model import Model, make_scheduler

PLAIN = {name for name in METHODS if name not in NETWORK_METHODS} - {
    "lesion_network",
    "lesion_network_raw",
}
"""Those that ask no network at all."""


@pytest.mark.parametrize("name", METHODS)
def test_a_map_is_finite_not_negative_and_zero_outside_the_brain(
    name: str, prepared: Prepared, models: dict[str, Model]
) -> None:
    result = map_of(name, prepared, models)
    assert result.anomaly_map.shape == prepared.brain.shape
    assert torch.isfinite(result.anomaly_map).all()
    assert result.anomaly_map.min() >= 0
    assert (result.anomaly_map[~prepared.brain] == 0).all()
    assert result.anomaly_map.max() > 0
    assert (result.evaluations == 0) == (name in PLAIN)
    if result.pseudo_healthy is not None:
        assert result.pseudo_healthy.shape == prepared.slices.shape
        assert (result.pseudo_healthy[~prepared.brain.expand_as(prepared.slices)] == -1).all()


def test_bright_and_dark_intensity_add_up_to_one(prepared: Prepared) -> None:
    bright, dark = (
        map_of(name, prepared, {}).anomaly_map[prepared.brain]
        for name in ("intensity", "intensity_dark")
    )
    torch.testing.assert_close(bright + dark, torch.ones_like(bright))


def test_the_chain_asks_the_network_251_times(prepared: Prepared, models: dict[str, Model]) -> None:
    result = map_of("anoddpm_chain", prepared, models)
    assert result.evaluations == 251
    assert not METHODS["anoddpm_chain"].by_default


def test_the_ladder_climbs_one_lever_at_a_time_and_the_network_comes_last() -> None:
    full = DetectionConfig(
        reconstruction="ddim",
        timesteps=(100, 300),
        draws=2,
        coherent_noise=True,
        chain_stride=7,
        residual="positive",
        standardise=True,
        intensity_power=0.5,
        normative_power=0.6,
        asymmetry_power=0.7,
        residual_power=0.8,
        ssim_power=0.9,
        spread_power=1.1,
        lesion_power=1.2,
        median_mm=5,
        smoothing_mm=2,
        edge_mm=3,
        case_quantile=0.5,
        min_component_ml=1,
        half_height=0.4,
    )
    before = replace(RAW, half_height=0.4, min_component_ml=1)
    for name in LADDER[:-1]:
        here = METHODS[name].recipe(full)
        assert here != before, name
        changed = {f.name for f in fields(full) if getattr(here, f.name) != getattr(before, f.name)}
        assert all(getattr(here, key) == getattr(full, key) for key in changed)
        before = here
    assert before == full
    asks = [name in NETWORK_METHODS for name in LADDER]
    assert asks == sorted(asks)


def test_what_is_no_method_is_the_same_for_all_and_for_none(model: Model) -> None:
    full = model.config.detection
    steps = {key: getattr(full, key) for key in FINISH}
    assert any(steps.values())
    for name, method in METHODS.items():
        if name in LADDER[:-1]:
            continue
        own = method.recipe(full)
        expected = dict.fromkeys(FINISH, 0) if name in RAW_METHODS else steps
        assert {key: getattr(own, key) for key in FINISH} == expected, name


def test_without_its_network_a_recipe_is_what_the_ladder_has_before_it(
    prepared: Prepared, model: Model
) -> None:
    models = {"simplex": model}
    plain = [name for name in LADDER if name not in NETWORK_METHODS]
    last, alone = (map_of(name, prepared, models) for name in (plain[-1], "no_network"))
    torch.testing.assert_close(last.anomaly_map, alone.anomaly_map)
    assert alone.pseudo_healthy is None


def test_structure_against_the_atlas_differs_from_that_against_what_was_restored(
    prepared: Prepared, model: Model
) -> None:
    models = {"simplex": model}
    found = {n: map_of(n, prepared, models) for n in ("atlas_ssim", "no_network", "with_structure")}
    maps = [result.anomaly_map for result in found.values()]
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[0], maps[2])
    healthy = found["atlas_ssim"].pseudo_healthy
    assert healthy is not None
    mean = model.atlases["intensity"].mean
    inside = healthy[prepared.brain]
    assert inside.min() >= mean.min() - 1e-5
    assert inside.max() <= mean.max() + 1e-5


def test_a_recipe_without_an_image_factor_has_nothing_without_its_network(model: Model) -> None:
    residual = replace(RAW, residual_power=1)
    bare = replace(model, config=replace(model.config, detection=residual))
    assert "no factor without its network" in str(METHODS["no_network"].missing({"simplex": bare}))
    assert METHODS["atlas_ssim"].missing({"simplex": bare}) is None


def test_the_last_step_is_the_map_of_the_recipe(prepared: Prepared, model: Model) -> None:
    last, ours = (map_of(name, prepared, {"simplex": model}) for name in LADDER[-2:])
    torch.testing.assert_close(last.anomaly_map, ours.anomaly_map)
    assert last.evaluations == ours.evaluations


def test_a_short_diffusion_has_the_methods_of_fixed_timesteps_too(
    prepared: Prepared, models: dict[str, Model]
) -> None:
    long = models["simplex"]
    diffusion = replace(long.config.diffusion, num_train_timesteps=50)
    recipe = replace(long.config.detection, timesteps=(40,), standardise=False)
    training = replace(long.config.training, timestep_range=(0, 50))
    config = replace(long.config, diffusion=diffusion, detection=recipe, training=training)
    short = replace(long, config=config, scheduler=make_scheduler(diffusion))
    for name in ("brain_damage", "with_structure"):
        n_evaluations = {"brain_damage": 1, "with_structure": recipe.draws}[name]
        assert map_of(name, prepared, {"simplex": short}).evaluations == n_evaluations


def test_a_result_depends_on_the_atlases_that_its_method_uses_alone(
    model: Model,
) -> None:
    recipe = model.config.detection
    assert METHODS["anomap"].needed_atlases(recipe) == {"intensity", "residual"}
    assert METHODS["normative"].needed_atlases(recipe) == {"intensity"}
    assert METHODS["atlas_ssim"].needed_atlases(recipe) == {"intensity"}
    for name in ("brain_damage", "anoddpm_chain", "intensity", "with_intensity"):
        assert METHODS[name].needed_atlases(recipe) == set()
