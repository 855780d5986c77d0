"""Training as a command and as a function: which cases, when nothing is left to do."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from folders import all_names_in
from study_cases import FLAIR

from pipeline import Execution, InputError, TrainOptions, train
from pipeline.cases.find import find_cases
from pipeline.cases.listing import write_datalist
from pipeline.cases.loop import QUIET
from pipeline.files.folder.lock import locked
from pipeline.files.record.datalist import Datalist
from pipeline.files.record.run import RunRecord
from pipeline.study.train import run_config, training_cases

SMALL = {
    **{"grid.size": 32, "grid.spacing_mm": 6.5, "grid.slice_spacing_mm": 16.0},
    **{"training.epochs": 1, "training.slices_per_epoch": 8, "training.batch_size": 4},
    **{"detection.timesteps": [100], "detection.draws": 1, "validation_fraction": 0.5},
}


@pytest.mark.slow
def test_a_run_is_left_that_says_who_was_used(brains: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = TrainOptions(settings=SMALL, extra=(tmp_path / "extra",))
    shutil.copytree(brains / "healthy/phantom_h001", tmp_path / "extra/healthy/other")
    selection = replace(FLAIR, leave_out=("other",))
    with pytest.raises(InputError, match="'phantom_h001' was already found elsewhere"):
        train(brains / "healthy", run, options=options, selection=FLAIR, execution=QUIET)
    for path in (tmp_path / "extra/healthy/other").iterdir():
        path.rename(path.with_name(path.name.replace("phantom_h001", "other")))
    made = train(brains / "healthy", run, options=options, selection=FLAIR, execution=QUIET)
    assert (made.path, made.failed, made.was_finished) == (run, {}, False)
    datalist = Datalist.of(run)
    assert datalist is not None
    assert {name: len(cases) for name, cases in datalist.sections.items()} == {
        "training": 1,
        "validation": 1,
        "extra": 1,
    }
    record = RunRecord.read(run / "run.json")
    assert record.people == {"training": 1, "validation": 1, "extra": 1}
    again = replace(options, resume=True)
    finished = train(brains / "healthy", run, options=again, selection=FLAIR, execution=QUIET)
    assert finished.was_finished
    # As a training leaves it that is killed in its last step.
    record.model_copy(update={"files": {}}).write(run / "run.json")
    (run / ".part-0123abcd-run.json").touch()
    assert train(
        brains / "healthy", run, options=again, selection=FLAIR, execution=QUIET
    ).was_finished
    assert RunRecord.read(run / "run.json") == record
    assert not list(run.glob(".part-*"))
    good = (run / "model.pt").read_bytes()
    (run / "model.pt").write_bytes(good[:-1000])
    mended = train(brains / "healthy", run, options=again, selection=FLAIR, execution=QUIET)
    assert not mended.was_finished
    assert (run / "model.pt").read_bytes() == good
    assert train(
        brains / "healthy", run, options=again, selection=FLAIR, execution=QUIET
    ).was_finished
    (run / "model.pt").unlink()
    with pytest.raises(InputError, match="every case is left out"):
        train(brains / "healthy", run, options=again, selection=selection, execution=QUIET)


def test_a_modality_is_needed(brains: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="say which modality to train on"):
        train(brains / "healthy", tmp_path / "run")


def test_settings_are_those_of_the_preset_and_the_users() -> None:
    options = TrainOptions(settings={"training.epochs": 3, "seed": 7})
    config = run_config(options, FLAIR)
    assert (config.preset, config.training.epochs, config.seed) == ("tiny", 3, 7)
    with pytest.raises(InputError, match="there is no setting"):
        run_config(TrainOptions(settings={"training.epoch": 3}), FLAIR)
    with pytest.raises(InputError, match="preset is one of"):
        run_config(TrainOptions(preset="huge"), FLAIR)


def test_a_device_that_is_not_there_is_told_before_cases_are_looked_for(tmp_path: Path) -> None:
    execution = Execution(progress=False, device="cuda:77")
    with pytest.raises(InputError, match="--device cuda:77"):
        train("nowhere", tmp_path / "run", selection=FLAIR, execution=execution)


def test_further_cases_are_found_by_the_same_words(brains: Path, tmp_path: Path) -> None:
    """Section, label scheme and names to leave out hold for ``--extra`` as well."""
    first, second = find_cases(brains / "healthy", modalities=["flair"]).cases
    here, there = (replace(case, name=name) for case, name in ((first, "here"), (second, "there")))
    main, extra = tmp_path / "main.json", tmp_path / "extra.json"
    write_datalist(main, {"training": [first], "test": [second]})
    write_datalist(extra, {"training": [here], "test": [there]})
    selection = replace(FLAIR, section="training")
    found = training_cases(main, (extra,), selection)
    assert [case.name for case in found.cases] == ["phantom_h000"]
    assert [case.name for case in found.extra] == ["here"]
    healthy = replace(selection, healthy=True)
    found = training_cases(main, (brains / "healthy/phantom_h001",), healthy)
    assert [case.name for case in found.extra] == ["phantom_h001"]
    everything = replace(FLAIR, leave_out=("there", "phantom_h001"))
    found = training_cases(main, (extra,), everything)
    assert [case.name for case in (*found.cases, *found.extra)] == ["phantom_h000", "here"]
    with pytest.raises(InputError, match="--leave-out nobody: no case of that name"):
        training_cases(main, (extra,), replace(FLAIR, leave_out=("nobody",)))
    with pytest.raises(InputError, match="'phantom_h000' was already found elsewhere"):
        training_cases(main, (brains / "healthy",), FLAIR)
    with pytest.raises(InputError, match="missing: no such file or folder"):
        training_cases([main, tmp_path / "missing"], (), FLAIR)
    with pytest.raises(InputError, match="missing: no such file or folder"):
        training_cases(main, (extra, tmp_path / "missing"), FLAIR)


def test_a_run_folder_is_not_shared_and_holds_nobody_elses_files(
    brains: Path, tmp_path: Path
) -> None:
    run, options = tmp_path / "run", TrainOptions(settings=SMALL)

    def refusal() -> str:
        with pytest.raises(InputError) as caught:
            train(brains / "healthy", run, options=options, selection=FLAIR, execution=QUIET)
        return str(caught.value)

    with locked(run):
        assert refusal().startswith(f"{run}: in use by another anomap (process ")
    run.mkdir()
    (run / "model.pt").write_text("somebody's")
    assert refusal().startswith(f"{run}/model.pt: there is a file that anomap did not write")
    assert all_names_in(run) == {"model.pt"}


def test_too_little_room_for_checkpoints_is_told_before_any_slice(
    brains: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = SimpleNamespace(f_bavail=20_000, f_frsize=1000, f_blocks=1000)
    monkeypatch.setattr(os, "statvfs", lambda path: told)
    options = TrainOptions(settings=SMALL)
    with pytest.raises(InputError, match=r"run: 20.0 MB are free there, and at least 5\d.\d MB"):
        train(
            brains / "healthy", tmp_path / "run", options=options, selection=FLAIR, execution=QUIET
        )
    assert not (tmp_path / "run" / "cache").exists()
