"""Every registered method keeps the contract of a map."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from small_models import map_of

from pipeline.cases.transforms import Prepared
from pipeline.detection.methods import BRAIN_DAMAGE, LADDER, METHODS, NETWORK_METHODS
from pipeline.run.config import DetectionConfig
from pipeline.run.model import Model, make_scheduler


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
    assert (result.evaluations == 0) == (name not in NETWORK_METHODS)
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


def test_the_ladder_climbs_from_brain_damage_to_the_recipe_one_lever_at_a_time() -> None:
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
        median_mm=5,
        smoothing_mm=2,
        edge_mm=3,
        case_quantile=0.5,
        min_component_ml=1,
        half_height=0.4,
    )
    before = BRAIN_DAMAGE
    for name in LADDER[1:-1]:
        here = NETWORK_METHODS[name].recipe(full)
        assert here != before, name
        changed = {f.name for f in fields(full) if getattr(here, f.name) != getattr(before, f.name)}
        assert all(getattr(here, key) == getattr(full, key) for key in changed)
        before = here
    # What is left concerns the mask, which the run's own method adds.
    mask = {"min_component_ml": 1, "half_height": 0.4}
    assert replace(before, **mask) == full


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
    for name in ("brain_damage", "with_residual"):
        assert map_of(name, prepared, {"simplex": short}).evaluations == 1


def test_a_result_depends_on_the_atlases_that_its_method_uses_alone(
    model: Model,
) -> None:
    recipe = model.config.detection
    assert METHODS["anomap"].needed_atlases(recipe) == {"intensity", "residual"}
    assert METHODS["normative"].needed_atlases(recipe) == {"intensity"}
    for name in ("brain_damage", "anoddpm_chain", "intensity", "with_median"):
        assert METHODS[name].needed_atlases(recipe) == set()
