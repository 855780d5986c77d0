"""Which files of a run are those that were there when it was finished, by their hashes."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import InputError, LaterVersionError
from pipeline.files.names import ATLASES, CALIBRATION, WEIGHTS
from pipeline.files.provenance import command_line, software
from pipeline.files.record.calibration import Calibration
from pipeline.files.record.run import RunRecord
from pipeline.files.record.stored import StoredFile

FINISHED = (WEIGHTS, ATLASES, CALIBRATION)
"""Files of a run that needs no more training."""


def record_files(run_dir: Path) -> None:
    """Note in ``run.json`` what the files of a finished run are."""
    record = _record_of(run_dir) or RunRecord(software=software(), command=command_line())
    paths = [run_dir / name for name in FINISHED]
    files = {path.name: StoredFile.of(path) for path in paths if path.is_file()}
    record.model_copy(update={"files": files}).write(run_dir / RunRecord.FILE)


def is_recorded(run_dir: Path) -> bool:
    """Whether ``run.json`` says what the files of a finished run are."""
    record = _record_of(run_dir)
    return record is not None and all(name in record.files for name in FINISHED)


def changed_files(run_dir: Path) -> list[str]:
    """Names of the files of a finished run that are missing, torn or not those that it had.

    Of a run of a former version, which did not say what they were, those that are missing.

    Raises:
        LaterVersionError: the run was made by a later version.
    """
    record = _record_of(run_dir)
    files = {} if record is None else record.files
    return [
        name
        for name in FINISHED
        if not (files[name].holds(run_dir / name) if name in files else (run_dir / name).is_file())
    ]


def forget_changed(run_dir: Path) -> None:
    """Take what is missing or torn out of ``run.json``: the training makes it anew."""
    record = _record_of(run_dir)
    if record is not None and (changed := changed_files(run_dir)):
        kept = {name: file for name, file in record.files.items() if name not in changed}
        record.model_copy(update={"files": kept}).write(run_dir / RunRecord.FILE)


def check_unchanged(path: Path) -> None:
    """See that a file of a run is the one that the finished run had, if that is recorded.

    Raises:
        InputError: it is another one.
    """
    record = _record_of(path.parent)
    known = None if record is None else record.files.get(path.name)
    if known is not None and not known.holds(path):
        raise InputError(
            f"{path}: not the file that the finished run had, by its SHA-256: torn, or replaced; "
            "copy it again, or `anomap train ... --resume` makes it anew"
        )


def calibration_of(run_dir: Path) -> Calibration:
    """The calibration of a run, which is the one that it was finished with.

    Raises:
        InputError: it is missing, not a calibration, or another one.
    """
    calibration = Calibration.of(run_dir)
    check_unchanged(run_dir / CALIBRATION)
    return calibration


def _record_of(run_dir: Path) -> RunRecord | None:
    """The record of a run; None where there is none, or it is torn: it only describes the run."""
    try:
        return RunRecord.of(run_dir)
    except LaterVersionError:
        raise
    except InputError:
        return None
