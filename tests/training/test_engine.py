"""Training: resumed, with extra cases, with workers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trainings import rows_of, train_quietly

from pipeline.cases.case import Case
from pipeline.errors import InputError
from pipeline.files.record.datalist import Datalist
from pipeline.run.config import RunConfig
from pipeline.run.settings import override
from pipeline.training import distributed
from pipeline.training.engine import Training
from pipeline.training.event_file import EventFile


def test_a_resumed_training_ends_as_an_unbroken_one(
    controls: list[Case], config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_quietly(controls, config, tmp_path / "whole")

    after_epoch = Training._after_epoch

    def broken_off(self: Training, events: EventFile | None) -> None:
        after_epoch(self, events)
        if self.trainer.state.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Training, "_after_epoch", broken_off)
    with pytest.raises(KeyboardInterrupt):
        train_quietly(controls, config, tmp_path / "parts")
    assert not (tmp_path / "parts" / "model.pt").exists()
    monkeypatch.setattr(Training, "_after_epoch", after_epoch)
    train_quietly(controls, config, tmp_path / "parts", resume=True)

    whole, parts = (
        torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    rows = [rows_of(tmp_path / name) for name in ("whole", "parts")]
    assert rows[0] == rows[1]
    assert [row["epoch"] for row in rows[0]] == ["1", "2", "3"]


def test_extra_cases_are_trained_on_and_listed_apart(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    train_quietly(controls[:-1], config, tmp_path / "a", extra=controls[-1:])
    train_quietly(controls[:-1], config, tmp_path / "b")
    listed = _datalist(tmp_path / "a")
    assert len(listed["extra"]) == 1
    without = _datalist(tmp_path / "b").sections
    assert "extra" not in without
    assert [len(listed[name]) for name in without] == [len(part) for part in without.values()]
    weights = [
        torch.load(tmp_path / run / "model.pt", weights_only=True)["out.2.conv.weight"]
        for run in "ab"
    ]
    assert not torch.equal(*weights)


def _datalist(run_dir: Path) -> Datalist:
    return Datalist.read(run_dir / "datalist.json")


def test_coherent_noise_is_what_training_and_validation_see(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    losses = []
    for coherent in (False, True):
        settings = {"training.coherent_noise": coherent, "training.epochs": 1}
        train_quietly(controls, override(config, settings), tmp_path / str(coherent))
        row = rows_of(tmp_path / str(coherent))[0]
        losses.append((row["train_loss"], row["val_loss"]))
    assert losses[0][0] != losses[1][0]
    assert losses[0][1] != losses[1][1]


@pytest.mark.slow
def test_loading_in_workers_changes_nothing(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    for name, workers in (("alone", 0), ("helped", 2)):
        with_workers = override(config, {"training.workers": workers})
        train_quietly(controls, with_workers, tmp_path / name)
    assert rows_of(tmp_path / "alone") == rows_of(tmp_path / "helped")


def test_a_training_is_not_resumed_by_another_number_of_processes(
    controls: list[Case], config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = override(config, {"training.epochs": 1})
    train_quietly(controls, one, tmp_path)
    monkeypatch.setattr(distributed, "n_processes", lambda: 2)
    with pytest.raises(InputError, match="by another number of processes than the 2 of now"):
        train_quietly(controls, one, tmp_path, resume=True)


def test_losses_that_the_disk_did_not_take_are_written_by_the_next_training(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    train_quietly(controls, config, tmp_path)
    before = rows_of(tmp_path)
    for name in ("loss.csv", "model.pt"):
        (tmp_path / name).unlink()
    train_quietly(controls, config, tmp_path, resume=True)
    assert rows_of(tmp_path) == before
