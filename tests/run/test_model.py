"""A run folder to its model, and what a folder that is none is told."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_models import Zero, untrained

from pipeline.errors import InputError
from pipeline.files.names import ATLASES, CONFIG, WEIGHTS
from pipeline.run.config import RunConfig
from pipeline.run.model import (
    atlases_made_for,
    load_model,
    needs_residual_atlas,
    usable_device,
)
from pipeline.run.settings import dump_config, override


@pytest.fixture
def run(made_run: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(made_run, tmp_path / "run"))


def test_a_model_knows_where_it_is_from_and_what_it_was_made_for(run: Path) -> None:
    model = load_model(run, torch.device("cpu"))
    assert model.path == run
    assert len(model.weights_sha256) == 64
    assert set(model.atlases) == {"intensity", "residual"}
    assert model.atlases_sha256 is not None
    assert not model.network.training


def test_a_run_without_atlases_is_a_model_all_the_same(run: Path) -> None:
    (run / ATLASES).unlink()
    model = load_model(run, torch.device("cpu"))
    assert model.atlases == {}
    assert model.atlases_sha256 is None


@pytest.mark.parametrize("key", ["detection.draws", "detection.chain_stride"])
def test_atlases_of_another_reconstruction_are_not_used(run: Path, key: str) -> None:
    config = load_model(run, torch.device("cpu")).config
    (run / CONFIG).write_text(dump_config(override(config, {key: 5})))
    assert load_model(run, torch.device("cpu")).atlases == {}


def test_a_map_of_other_factors_uses_the_same_atlases(run: Path) -> None:
    config = load_model(run, torch.device("cpu")).config
    (run / CONFIG).write_text(dump_config(override(config, {"detection.smoothing_mm": 3.0})))
    assert set(load_model(run, torch.device("cpu")).atlases) == {"intensity", "residual"}


def test_what_atlases_are_made_for_changes_with_the_weights() -> None:
    config = RunConfig()
    assert atlases_made_for(config, "a") == atlases_made_for(config, "a")
    assert atlases_made_for(config, "a") != atlases_made_for(config, "b")


def test_the_residual_has_an_atlas_where_it_counts_and_is_standardised() -> None:
    recipe = replace(RunConfig().detection, standardise=True, residual_power=1.0)
    assert needs_residual_atlas(recipe)
    assert not needs_residual_atlas(replace(recipe, standardise=False))
    assert not needs_residual_atlas(replace(recipe, residual_power=0.0))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a run; expected config\.yaml and model\.pt"):
        load_model(tmp_path)


def test_a_training_that_is_not_finished_is_told_how_it_goes_on(run: Path) -> None:
    (run / WEIGHTS).unlink()
    with pytest.raises(InputError, match=r"not finished \(no model\.pt\).*--resume"):
        load_model(run)


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_torn_weights_are_refused_by_their_path(run: Path, content: bytes) -> None:
    (run / WEIGHTS).write_bytes(content)
    with pytest.raises(InputError, match=r"not a file of PyTorch, or torn.*--resume") as caught:
        load_model(run)
    assert str(run / WEIGHTS) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_refused(run: Path) -> None:
    config = load_model(run, torch.device("cpu")).config
    (run / CONFIG).write_text(dump_config(override(config, {"network": "small"})))
    with pytest.raises(InputError, match="not the weights of this configuration"):
        load_model(run)


def test_two_models_are_the_same_if_they_are_one_object() -> None:
    model = untrained(RunConfig(), Zero())
    assert model == model
    assert model != replace(model)
    assert len({model, replace(model)}) == 2


def test_a_device_that_is_not_there_is_refused_by_its_name() -> None:
    assert usable_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="--device nonsense: not usable here"):
        usable_device("nonsense")
    if not torch.cuda.is_available():
        assert usable_device(None) == torch.device("cpu")
        with pytest.raises(InputError, match="--device cuda:7: not usable here"):
            usable_device("cuda:7")


@pytest.mark.parametrize(("noise", "restores_from"), [("mixed", "simplex"), ("coarse", "coarse")])
def test_a_network_of_mixed_noises_restores_from_simplex(noise: str, restores_from: str) -> None:
    config = override(RunConfig(), {"diffusion.noise": noise})
    assert untrained(config, Zero()).noise == restores_from
