"""Every registered method keeps the contract of a map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.cases import Case, ImageFile
from pipeline.config import override, preset_config
from pipeline.errors import InputError
from pipeline.methods import METHODS, model_for, runnable, select_methods
from pipeline.model import Model, make_scheduler
from pipeline.nifti import write_volume
from pipeline.transforms import CaseTransforms, Prepared


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


def _models() -> dict[str, Model]:
    models = {}
    for noise in ("simplex", "gaussian", "coarse"):
        config = override(preset_config("tiny", ("flair",)), {"diffusion.noise": noise})
        scheduler = make_scheduler(config.diffusion)
        models[noise] = Model(config, _Zero(), scheduler, torch.device("cpu"))
    return models


@pytest.mark.parametrize("name", METHODS)
def test_a_map_is_finite_not_negative_and_zero_outside_the_brain(
    name: str, prepared: Prepared
) -> None:
    result = METHODS[name].compute(prepared, model_for(name, _models()), 0)
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
    result = METHODS["anoddpm_chain"].compute(prepared, _models()["simplex"], 0)
    assert result.evaluations == 251
    assert not METHODS["anoddpm_chain"].by_default


def test_methods_without_their_network_are_left_out_with_a_reason() -> None:
    names = select_methods("all")
    ready, left_out = runnable(names, {"simplex": _models()["simplex"]})
    assert list(left_out) == ["gaussian_one_shot"]
    assert "gaussian" in left_out["gaussian_one_shot"]
    assert set(ready) | set(left_out) == set(METHODS)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(InputError, match="magic"):
        select_methods("anomap,magic")
