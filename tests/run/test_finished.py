"""Which files of a run are those that it had when it was finished."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from records import SOFTWARE

from pipeline.errors import InputError
from pipeline.files.names import ATLASES, CALIBRATION, RUN_RECORD, WEIGHTS
from pipeline.files.record.run import RunRecord
from pipeline.run.finished import calibration_of, changed_files, forget_changed, record_files
from pipeline.run.model import load_model


@pytest.fixture
def run(made_run: Path, tmp_path: Path) -> Path:
    """A finished one that may be changed."""
    folder = Path(shutil.copytree(made_run, tmp_path / "run"))
    RunRecord(software=SOFTWARE, people={"training": 3}).write(folder / RUN_RECORD)
    record_files(folder)
    return folder


def test_a_finished_run_may_be_copied(run: Path, tmp_path: Path) -> None:
    assert changed_files(run) == []
    for path in run.iterdir():
        path.write_bytes(path.read_bytes())
    assert changed_files(run) == []
    assert changed_files(Path(shutil.copytree(run, tmp_path / "copy"))) == []
    assert RunRecord.read(run / RUN_RECORD).people == {"training": 3}


@pytest.mark.parametrize("name", [WEIGHTS, ATLASES, CALIBRATION])
@pytest.mark.parametrize("spoil", ["cut", "one bit", "gone"])
def test_a_file_that_is_not_the_one_is_named_and_forgotten(
    run: Path, name: str, spoil: str
) -> None:
    path = run / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content if spoil == "one bit" else content[:50]))
    if spoil == "gone":
        path.unlink()
    assert changed_files(run) == [name]
    forget_changed(run)
    assert name not in RunRecord.read(run / RUN_RECORD).files
    assert len(RunRecord.read(run / RUN_RECORD).files) == 2


def test_weights_with_a_wrong_bit_are_refused(run: Path) -> None:
    path = run / WEIGHTS
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"model\.pt: not the file that the finished run had"):
        load_model(run)


def test_a_run_of_a_former_version_is_asked_for_its_files_alone(run: Path) -> None:
    RunRecord(software=SOFTWARE).write(run / RUN_RECORD)
    assert changed_files(run) == []
    (run / RUN_RECORD).unlink()
    assert changed_files(run) == []
    (run / ATLASES).unlink()
    assert changed_files(run) == [ATLASES]
    forget_changed(run)
    assert not (run / RUN_RECORD).exists()


def test_thresholds_that_were_edited_are_refused(run: Path) -> None:
    calibration = calibration_of(run)
    cases = ("somebody", *calibration.cases[1:])
    calibration.model_copy(update={"cases": cases}).write(run / CALIBRATION)
    with pytest.raises(InputError, match=r"calibration\.json: not the file that the finished run"):
        calibration_of(run)
