"""What is computed of a case is computed once."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import nn

from pipeline.cases.transforms import Prepared
from pipeline.detection.case_work import CaseWork
from pipeline.detection.recipe import recipe_map
from pipeline.detection.reconstruction import reconstruction_of
from pipeline.run.model import Model


def test_recipes_that_differ_in_the_map_alone_share_the_network_s_work(
    prepared: Prepared, model: Model
) -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
            Counting.calls += 1
            time.sleep(0.01)
            return torch.zeros_like(x)

    fresh = CaseWork(prepared)
    model = replace(model, network=Counting())
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
    before = Counting.calls
    assert recipe_map(CaseWork(prepared), model, walk, 0).earlier_seconds == 0
    assert Counting.calls > before
    for other in (
        *((model, replace(walk, **{key: value}), 0) for key, value in changes.items()),
        (model, recipe, 1),
        (replace(model), recipe, 0),
    ):
        before = Counting.calls
        assert recipe_map(fresh, *other).earlier_seconds == 0
        assert Counting.calls > before


def test_the_noise_does_not_ask_for_the_name_of_a_case(prepared: Prepared, model: Model) -> None:
    recipe = model.config.detection
    first = CaseWork(prepared).restored(model, recipe, 0).slices
    renamed = replace(prepared, case=replace(prepared.case, name="b", subject="b"))
    assert torch.equal(CaseWork(renamed).restored(model, recipe, 0).slices, first)
    other = replace(prepared, content="another brain")
    assert not torch.equal(CaseWork(other).restored(model, recipe, 0).slices, first)
