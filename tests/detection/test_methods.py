"""Every registered method keeps the contract of a map."""

from __future__ import annotations

import time
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.loop import QUIET
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.detection.methods import (
    BRAIN_DAMAGE,
    FLOOR,
    LADDER,
    METHODS,
    RAW_FLOOR,
    model_for,
    needed_atlases,
    recipe_map,
    runnable,
    select_methods,
)
from pipeline.detection.normative import make_atlases, placed, restored_slices
from pipeline.detection.reconstruction import reconstruction_of
from pipeline.errors import InputError
from pipeline.files.nifti import write_volume
from pipeline.maps.scoring import blur, dissimilarity_map
from pipeline.run.config import DetectionConfig, override, preset_config
from pipeline.run.model import Model, make_scheduler


class _Zero(nn.Module):
    def forward(self, x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A striped ellipsoid with a bright ball."""
    x, y, z = np.meshgrid(*[np.arange(32) - 16.0] * 3, indexing="ij")
    inside = (x / 12) ** 2 + (y / 14) ** 2 + (z / 11) ** 2 < 1
    image = 100 + 30 * np.cos(x) + 100 * ((x - 4) ** 2 + y**2 + z**2 < 9)
    path = tmp_path_factory.mktemp("methods") / "a_flair.nii.gz"
    write_volume(path, np.where(inside, image, 0).astype("f4"), np.diag([5.0, 5.0, 5.0, 1.0]))
    grid = override(
        preset_config("tiny", ("flair",)),
        {"grid.size": 32, "grid.spacing_mm": 6.0, "grid.slice_spacing_mm": 12.0},
    ).grid
    return CaseTransforms(("flair",), grid)(Case("a", "a", {"flair": ImageFile(path)}))


def _models(prepared: Prepared) -> dict[str, Model]:
    """One for each noise, with atlases of the brain itself."""
    models = {}
    for noise in ("simplex", "gaussian", "coarse"):
        config = override(preset_config("tiny", ("flair",)), {"diffusion.noise": noise})
        scheduler = make_scheduler(config.diffusion)
        model = Model(config, _Zero(), scheduler, torch.device("cpu"))
        atlases, _ = make_atlases(
            [prepared.case],
            model,
            prepared._transforms,
            residual=noise == "simplex",
            execution=QUIET,
        )
        models[noise] = replace(model, atlases=atlases)
    return models


@pytest.mark.parametrize("name", METHODS)
def test_a_map_is_finite_not_negative_and_zero_outside_the_brain(
    name: str, prepared: Prepared
) -> None:
    result = METHODS[name].compute(prepared, model_for(name, _models(prepared)), 0)
    assert result.anomaly_map.shape == prepared.brain.shape
    assert torch.isfinite(result.anomaly_map).all()
    assert result.anomaly_map.min() >= 0
    assert (result.anomaly_map[~prepared.brain] == 0).all()
    assert result.anomaly_map.max() > 0
    assert (result.evaluations == 0) == (METHODS[name].noise is None)
    if result.pseudo_healthy is not None:
        assert result.pseudo_healthy.shape == prepared.slices.shape
        assert (result.pseudo_healthy[~prepared.brain.expand_as(prepared.slices)] == -1).all()


def test_bright_and_dark_intensity_add_up_to_one(prepared: Prepared) -> None:
    bright, dark = (
        METHODS[name].compute(prepared, None, 0).anomaly_map[prepared.brain]
        for name in ("intensity", "intensity_dark")
    )
    torch.testing.assert_close(bright + dark, torch.ones_like(bright))


def test_the_chain_asks_the_network_251_times(prepared: Prepared) -> None:
    result = METHODS["anoddpm_chain"].compute(prepared, _models(prepared)["simplex"], 0)
    assert result.evaluations == 251
    assert not METHODS["anoddpm_chain"].by_default


def test_methods_without_their_network_are_left_out_with_a_reason(prepared: Prepared) -> None:
    names = select_methods("all")
    ready, left_out = runnable(names, {"simplex": _models(prepared)["simplex"]})
    assert list(left_out) == ["gaussian_one_shot", "dae"]
    assert "coarse" in left_out["dae"]
    assert "gaussian" in left_out["gaussian_one_shot"]
    assert set(ready) | set(left_out) == set(METHODS) - set(LADDER[1:-1])


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(InputError, match="magic"):
        select_methods("anomap,magic")


def test_methods_without_their_atlas_are_left_out_with_a_reason(prepared: Prepared) -> None:
    bare = {"simplex": replace(_models(prepared)["simplex"], atlases={})}
    ready, left_out = runnable(["anomap", "normative", "brain_damage", "intensity"], bare)
    assert ready == ["brain_damage", "intensity"]
    assert "no atlas of the intensity and residual" in left_out["anomap"]
    assert "no atlas of the intensity of" in left_out["normative"]
    assert "--resume" in left_out["normative"]
    _, left_out = runnable(["normative"], {})
    assert "no run is given" in left_out["normative"]


def test_the_map_is_the_product_of_its_factors(prepared: Prepared) -> None:
    model = _models(prepared)["simplex"]
    settings = {"median_mm": 0.0, "edge_mm": 0.0, "draws": 1, "timesteps": (200,)}
    settings |= {"smoothing_mm": 0.0, "case_quantile": 0.0, "ssim_power": 0.0}
    recipe = replace(model.config.detection, standardise=False, **settings)

    def map_of(
        intensity: float, normative: float, asymmetry: float, residual: float
    ) -> torch.Tensor:
        powers = {"intensity_power": intensity, "normative_power": normative}
        powers |= {"asymmetry_power": asymmetry, "residual_power": residual}
        config = replace(recipe, **powers)
        return recipe_map(prepared, model, config, 0).anomaly_map[prepared.brain]

    parts = [map_of(*row) for row in torch.eye(4).tolist()]
    intensity, normative, one_sided, residual = parts
    fused = map_of(1.0, 0.5, 0.25, 2.0)
    expected = intensity * (FLOOR + normative) ** 0.5 * (RAW_FLOOR + residual) ** 2
    expected *= (FLOOR + one_sided) ** 0.25
    torch.testing.assert_close(fused, expected)
    torch.testing.assert_close(
        intensity, METHODS["intensity"].compute(prepared, None, 0).anomaly_map[prepared.brain]
    )
    assert len({round(float(part.sum()), 4) for part in parts}) == 4


def test_the_standardised_residual_is_that_of_the_atlas(prepared: Prepared) -> None:
    model = _models(prepared)["simplex"]
    settings = {"median_mm": 0.0, "edge_mm": 0.0, "smoothing_mm": 0.0, "residual": "absolute"}
    settings |= {"case_quantile": 0.0}
    powers = {"intensity_power": 0.0, "normative_power": 0.0, "residual_power": 1.0}
    powers |= {"asymmetry_power": 0.0, "ssim_power": 0.0}
    recipe = replace(model.config.detection, standardise=True, **settings, **powers)
    anomaly_map = recipe_map(prepared, model, recipe, 3).anomaly_map[:, 0].numpy()
    brain = prepared.brain[:, 0].numpy()
    differences = prepared.slices - restored_slices(prepared, model, recipe, 3).mean(1)
    template = model.atlases["intensity"].template
    assert template is not None
    z = model.atlases["residual"].z_scores(
        differences[:, :, 0].swapaxes(0, 1).numpy(), brain, placed(prepared, template)
    )
    np.testing.assert_allclose(anomaly_map, np.abs(z).mean(1) * brain, rtol=1e-5)
    # Seed 3 is not the seed of the atlas, which is made of this very brain.
    assert anomaly_map.max() > 0.1


def test_a_recipe_for_dark_lesions_sees_them(prepared: Prepared) -> None:
    model = _models(prepared)["simplex"]
    middle = len(prepared.slices) // 2
    row, column = prepared.brain[middle, 0].nonzero().float().mean(0).long().tolist()
    dark = prepared.slices.clone()
    dark[middle, 0, row, column] = -0.99
    changed = replace(prepared, slices=dark)
    settings = {"median_mm": 0.0, "normative_power": 1.0, "residual_power": 0.0}
    settings |= {"case_quantile": 0.0}
    for residual, intensity, sees in (
        ("absolute", 0.0, True),
        ("negative", 0.0, True),
        ("negative", 1.0, True),
        ("positive", 0.0, False),
    ):
        settings |= {"residual": residual, "intensity_power": intensity}
        recipe = replace(model.config.detection, **settings)
        before, after = (
            float(recipe_map(p, model, recipe, 0).anomaly_map[middle, 0, row, column])
            for p in (prepared, changed)
        )
        assert (after > before + 1) == sees


def test_the_map_is_smoothed_within_the_brain(prepared: Prepared) -> None:
    model = _models(prepared)["simplex"]
    recipe = replace(model.config.detection, smoothing_mm=0.0, edge_mm=0.0, case_quantile=0.0)
    sharp = recipe_map(prepared, model, recipe, 0).anomaly_map
    smooth = recipe_map(prepared, model, replace(recipe, smoothing_mm=9.0), 0).anomaly_map
    expected = blur(sharp, prepared.brain, prepared.grid, 9.0) * prepared.brain
    torch.testing.assert_close(smooth, expected)
    assert float(smooth[prepared.brain].std()) < float(sharp[prepared.brain].std())


def test_a_case_is_divided_by_its_own_level(prepared: Prepared) -> None:
    model = _models(prepared)["simplex"]
    plain = replace(model.config.detection, case_quantile=0.0)
    before = recipe_map(prepared, model, plain, 0).anomaly_map
    after = recipe_map(prepared, model, replace(plain, case_quantile=0.75), 0).anomaly_map
    torch.testing.assert_close(after, before / before[prepared.brain].quantile(0.75))


def test_structure_and_spread_are_factors_too(prepared: Prepared) -> None:
    model = _models(prepared)["simplex"]
    settings = {"median_mm": 0.0, "edge_mm": 0.0, "smoothing_mm": 0.0, "case_quantile": 0.0}
    settings |= {"intensity_power": 0.0, "normative_power": 0.0, "asymmetry_power": 0.0}
    settings |= {"ssim_power": 0.0}
    alone = replace(model.config.detection, **settings, residual_power=0.0, draws=3)
    structure = recipe_map(prepared, model, replace(alone, ssim_power=1.0), 0)
    expected = dissimilarity_map(prepared.slices, structure.pseudo_healthy, prepared.brain)
    torch.testing.assert_close(structure.anomaly_map, expected)
    spread = recipe_map(prepared, model, replace(alone, spread_power=1.0), 0).anomaly_map
    draws = restored_slices(prepared, model, alone, 0)
    expected = draws.std(1, correction=0).mean((0, 2))[:, None] * prepared.brain
    torch.testing.assert_close(spread, expected)
    both = recipe_map(prepared, model, replace(alone, ssim_power=2.0, spread_power=0.5), 0)
    product = (RAW_FLOOR + structure.anomaly_map) ** 2 * (RAW_FLOOR + spread) ** 0.5
    torch.testing.assert_close(both.anomaly_map, product * prepared.brain)


# The ladder ---------------------------------------------------------------------------------------


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
        recipe = METHODS[name].recipe
        assert recipe is not None
        here = recipe(full)
        assert here != before, name
        changed = {f.name for f in fields(full) if getattr(here, f.name) != getattr(before, f.name)}
        assert all(getattr(here, key) == getattr(full, key) for key in changed)
        before = here
    # What is left concerns the mask, which the run's own method adds.
    mask = {"min_component_ml": 1, "half_height": 0.4}
    assert replace(before, **mask) == full


def test_steps_that_change_nothing_in_a_recipe_are_left_out(prepared: Prepared) -> None:
    models = {"simplex": _models(prepared)["simplex"]}
    ready, left_out = runnable(select_methods("ladder"), models)
    assert ready[0] == "brain_damage"
    assert ready[-1] == "anomap"
    assert "changes nothing" in left_out["with_way_back"]
    assert "with_asymmetry" in ready
    no_residual = replace(models["simplex"].config.detection, residual_power=0.0)
    config = replace(models["simplex"].config, detection=no_residual)
    ready_too, _ = runnable(
        select_methods("ladder"), {"simplex": replace(models["simplex"], config=config)}
    )
    assert "with_residual_power" in ready_too
    for name in ready_too:
        model = replace(models["simplex"], config=config)
        assert METHODS[name].compute(prepared, model, 0).anomaly_map.max() > 0
    assert set(ready) | set(left_out) == set(LADDER)


def test_the_last_step_is_the_map_of_the_recipe(prepared: Prepared) -> None:
    model = _models(prepared)["simplex"]
    last, ours = (METHODS[name].compute(prepared, model, 0) for name in LADDER[-2:])
    torch.testing.assert_close(last.anomaly_map, ours.anomaly_map)
    assert last.evaluations == ours.evaluations


def test_recipes_that_differ_in_the_map_alone_share_the_network_s_work(prepared: Prepared) -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
            Counting.calls += 1
            time.sleep(0.01)
            return torch.zeros_like(x)

    fresh = replace(prepared)
    assert fresh.memo == {}
    model = replace(_models(prepared)["simplex"], network=Counting())
    recipe = model.config.detection
    first = recipe_map(fresh, model, recipe, 0)
    asked = Counting.calls
    assert asked > 0
    assert first.earlier_seconds == 0
    again = recipe_map(fresh, model, replace(recipe, median_mm=0.0, smoothing_mm=3.0), 0)
    assert Counting.calls == asked
    assert 0.01 * asked <= again.earlier_seconds < 60
    changes = {"reconstruction": "chain", "timesteps": (100,), "draws": recipe.draws + 1}
    changes |= {"coherent_noise": True, "chain_stride": 50}
    assert len(changes) == len(reconstruction_of(recipe))
    walk = replace(recipe, reconstruction="ddim", chain_stride=60, timesteps=(120,))
    walk = replace(walk, standardise=False)
    recipe_map(fresh, model, walk, 0)
    for other in (
        *((model, replace(walk, **{key: value}), 0) for key, value in changes.items()),
        (model, recipe, 1),
        (replace(model), recipe, 0),
    ):
        before = Counting.calls
        assert recipe_map(fresh, *other).earlier_seconds == 0
        assert Counting.calls > before


def test_a_short_diffusion_has_the_methods_of_fixed_timesteps_too(prepared: Prepared) -> None:
    long = _models(prepared)["simplex"]
    diffusion = replace(long.config.diffusion, num_train_timesteps=50)
    recipe = replace(long.config.detection, timesteps=(40,), standardise=False)
    training = replace(long.config.training, timestep_range=(0, 50))
    config = replace(long.config, diffusion=diffusion, detection=recipe, training=training)
    short = replace(long, config=config, scheduler=make_scheduler(diffusion))
    for name in ("brain_damage", "with_residual"):
        assert METHODS[name].compute(prepared, short, 0).evaluations == 1


def test_a_result_depends_on_the_atlases_that_its_method_uses_alone(prepared: Prepared) -> None:
    model = _models(prepared)["simplex"]
    assert needed_atlases("anomap", model) == {"intensity", "residual"}
    assert needed_atlases("normative", model) == {"intensity"}
    for name in ("brain_damage", "anoddpm_chain", "intensity", "with_median"):
        assert needed_atlases(name, model) == set()
