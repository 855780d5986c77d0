"""The map of a recipe, factor by factor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from small_models import map_of

from pipeline.cases.transforms import Prepared
from pipeline.detection.case_work import CaseWork
from pipeline.detection.recipe import FLOOR, RAW_FLOOR, recipe_map
from pipeline.maps.scoring import blur, dissimilarity_map
from pipeline.run.model import Model


def test_the_map_is_the_product_of_its_factors(prepared: Prepared, model: Model) -> None:
    settings = {"median_mm": 0.0, "edge_mm": 0.0, "draws": 1, "timesteps": (200,)}
    settings |= {"smoothing_mm": 0.0, "case_quantile": 0.0, "ssim_power": 0.0}
    recipe = replace(model.config.detection, standardise=False, **settings)

    def fused_map(
        intensity: float, normative: float, asymmetry: float, residual: float
    ) -> torch.Tensor:
        powers = {"intensity_power": intensity, "normative_power": normative}
        powers |= {"asymmetry_power": asymmetry, "residual_power": residual}
        config = replace(recipe, **powers)
        return recipe_map(CaseWork(prepared), model, config, 0).anomaly_map[prepared.brain]

    parts = [fused_map(*row) for row in torch.eye(4).tolist()]
    intensity, normative, one_sided, residual = parts
    fused = fused_map(1.0, 0.5, 0.25, 2.0)
    expected = intensity * (FLOOR + normative) ** 0.5 * (RAW_FLOOR + residual) ** 2
    expected *= (FLOOR + one_sided) ** 0.25
    torch.testing.assert_close(fused, expected)
    torch.testing.assert_close(
        intensity, map_of("intensity", prepared, {}).anomaly_map[prepared.brain]
    )
    assert len({round(float(part.sum()), 4) for part in parts}) == 4


def test_the_standardised_residual_is_that_of_the_atlas(prepared: Prepared, model: Model) -> None:
    settings = {"median_mm": 0.0, "edge_mm": 0.0, "smoothing_mm": 0.0, "residual": "absolute"}
    settings |= {"case_quantile": 0.0}
    powers = {"intensity_power": 0.0, "normative_power": 0.0, "residual_power": 1.0}
    powers |= {"asymmetry_power": 0.0, "ssim_power": 0.0}
    recipe = replace(model.config.detection, standardise=True, **settings, **powers)
    anomaly_map = recipe_map(CaseWork(prepared), model, recipe, 3).anomaly_map[:, 0].numpy()
    brain = prepared.brain[:, 0].numpy()
    differences = prepared.slices - CaseWork(prepared).restored(model, recipe, 3).slices.mean(1)
    template = model.atlases["intensity"].template
    assert template is not None
    z = model.atlases["residual"].z_scores(
        differences[:, :, 0].swapaxes(0, 1).numpy(), brain, CaseWork(prepared).placement(template)
    )
    np.testing.assert_allclose(anomaly_map, np.abs(z).mean(1) * brain, rtol=1e-5)
    # Seed 3 is not the seed of the atlas, which is made of this very brain.
    assert anomaly_map.max() > 0.1


def test_a_recipe_for_dark_lesions_sees_them(prepared: Prepared, model: Model) -> None:
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
            float(recipe_map(CaseWork(p), model, recipe, 0).anomaly_map[middle, 0, row, column])
            for p in (prepared, changed)
        )
        assert (after > before + 1) == sees


def test_the_map_is_smoothed_within_the_brain(prepared: Prepared, model: Model) -> None:
    recipe = replace(model.config.detection, smoothing_mm=0.0, edge_mm=0.0, case_quantile=0.0)
    sharp = recipe_map(CaseWork(prepared), model, recipe, 0).anomaly_map
    smooth = recipe_map(CaseWork(prepared), model, replace(recipe, smoothing_mm=9.0), 0).anomaly_map
    expected = blur(sharp, prepared.brain, prepared.grid, 9.0) * prepared.brain
    torch.testing.assert_close(smooth, expected)
    assert float(smooth[prepared.brain].std()) < float(sharp[prepared.brain].std())


def test_a_case_is_divided_by_its_own_level(prepared: Prepared, model: Model) -> None:
    plain = replace(model.config.detection, case_quantile=0.0)
    before = recipe_map(CaseWork(prepared), model, plain, 0).anomaly_map
    after = recipe_map(CaseWork(prepared), model, replace(plain, case_quantile=0.75), 0).anomaly_map
    torch.testing.assert_close(after, before / before[prepared.brain].quantile(0.75))


def test_structure_and_spread_are_factors_too(prepared: Prepared, model: Model) -> None:
    settings = {"median_mm": 0.0, "edge_mm": 0.0, "smoothing_mm": 0.0, "case_quantile": 0.0}
    settings |= {"intensity_power": 0.0, "normative_power": 0.0, "asymmetry_power": 0.0}
    settings |= {"ssim_power": 0.0}
    alone = replace(model.config.detection, **settings, residual_power=0.0, draws=3)
    structure = recipe_map(CaseWork(prepared), model, replace(alone, ssim_power=1.0), 0)
    expected = dissimilarity_map(prepared.slices, structure.pseudo_healthy, prepared.brain)
    torch.testing.assert_close(structure.anomaly_map, expected)
    spread = recipe_map(CaseWork(prepared), model, replace(alone, spread_power=1.0), 0).anomaly_map
    draws = CaseWork(prepared).restored(model, alone, 0).slices
    expected = draws.std(1, correction=0).mean((0, 2))[:, None] * prepared.brain
    torch.testing.assert_close(spread, expected)
    both = recipe_map(
        CaseWork(prepared), model, replace(alone, ssim_power=2.0, spread_power=0.5), 0
    )
    product = (RAW_FLOOR + structure.anomaly_map) ** 2 * (RAW_FLOOR + spread) ** 0.5
    torch.testing.assert_close(both.anomaly_map, product * prepared.brain)
