"""Networks that learn to undo anomalies: trained, loaded, and what they do to a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from trainings import rows_of, train_quietly

from pipeline.cases.case import Case
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.reconstruction import evaluations_per_slice, reconstruct
from pipeline.diffusion.anomalies import with_anomalies
from pipeline.errors import InputError
from pipeline.run.config import RunConfig
from pipeline.run.model import Model, load_model
from pipeline.run.settings import override
from pipeline.run.words import DEGRADATIONS, degradation_settings


def run_of(config: RunConfig, cases: list[Case], folder: Path, **settings: Any) -> Model:
    changed = {key.replace("__", "."): value for key, value in settings.items()}
    train_quietly(cases, override(config, changed), folder)
    return load_model(folder, torch.device("cpu"))


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_each_degradation_trains_and_restores(
    name: str, controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    changed = override(config, degradation_settings(name) | {"mirrored": True})
    train_quietly(controls, changed, tmp_path / "run")
    assert all(float(row["train_loss"]) < 2 for row in rows_of(tmp_path / "run"))
    model = load_model(tmp_path / "run", torch.device("cpu"))
    assert model.config == changed
    prepared = CaseTransforms(("flair",), changed.grid)(controls[0])
    restored = reconstruct(model, prepared.slices, changed.detection, content="a", seed=0)
    n_timesteps, n_draws = restored.shape[:2]
    assert n_timesteps * n_draws == evaluations_per_slice(changed.detection)
    assert restored.isfinite().all()
    again = reconstruct(model, prepared.slices, changed.detection, content="b", seed=1)
    assert torch.equal(restored, again) is (name == "anomaly")  # it draws nothing


def test_a_network_learns_to_undo_anomalies(
    phantoms: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    """After 60 steps the restored image is nearer to the healthy one than the anomalous one is."""
    steps = {"training.epochs": 1, "training.slices_per_epoch": 240, "training.batch_size": 4}
    changed = override(config, degradation_settings("anomaly") | steps)
    model = run_of(changed, phantoms, tmp_path / "run", training__learning_rate=2e-3)
    prepared = CaseTransforms(("flair",), changed.grid)(phantoms[0])
    healthy, brain = prepared.slices, prepared.brain
    generator = torch.Generator().manual_seed(5)
    anomalous = with_anomalies(healthy, brain, changed.grid.spacing_mm, generator)
    restored = reconstruct(model, anomalous, changed.detection, content="a", seed=0).mean((0, 1))
    strong = (anomalous - healthy).abs() > 0.3
    before, after = ((one - healthy).abs()[strong].mean() for one in (anomalous, restored))
    assert after < 0.75 * before


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_anomalies_are_undone_by_a_network_that_answers_with_the_image(
    prediction: str, config: RunConfig
) -> None:
    settings = degradation_settings("both") | {"diffusion.prediction_type": prediction}
    with pytest.raises(InputError, match=r"both needs diffusion\.prediction_type sample"):
        override(config, settings)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("diffusion.prediction_type", "epsilon", "needs diffusion.prediction_type sample"),
        ("detection.reconstruction", "chain", "needs detection.reconstruction one_shot or ddim"),
        ("detection.draws", 3, "needs detection.draws 1"),
    ],
)
def test_what_draws_nothing_takes_no_settings_of_noise(
    key: str, value: object, said: str, config: RunConfig
) -> None:
    with pytest.raises(InputError, match=said):
        override(config, degradation_settings("anomaly") | {key: value})
