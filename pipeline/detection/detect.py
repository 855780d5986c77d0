"""Detection in cases, with results on disk; what is finished is not done again."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from pipeline.cases.case import Case
from pipeline.cases.loop import Apart, Execution, each_case
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.case_work import CaseWork
from pipeline.detection.detector import Detector, input_files
from pipeline.detection.source_maps import (
    Spent,
    case_result,
    claim_result,
    least_bytes,
    to_source,
    write_result,
)
from pipeline.errors import InputError, LaterVersionError
from pipeline.files.case_name import case_folder
from pipeline.files.folder.disk import check_room, refusing
from pipeline.files.folder.lock import locked
from pipeline.files.names import (
    DICOM_RESULTS,
    EDITED,
    FINDINGS,
    FINDINGS_TABLE,
    MAP_OBJECT,
    RESULT,
    SEG_OBJECT,
    SUMMARY_OBJECT,
)
from pipeline.files.record.result import CaseResult, InputFile, Provenance
from pipeline.files.record.stored import is_whole
from pipeline.files.writing import make_folder, remove
from pipeline.stages import stage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DetectedCases:
    """What became of the cases.

    Attributes:
        folder: holds ``<case>/`` of each that is done.
        done: names, those included that were done before.
        failed: case, or path without one -> reason.
    """

    folder: Path
    done: tuple[str, ...]
    failed: dict[str, str] = field(default_factory=dict)


def detect_cases(
    cases: Sequence[Case],
    detectors: Mapping[str, Detector],
    transforms: CaseTransforms,
    out_dirs: Mapping[str, Path],
    *,
    description: str = "detecting",
    execution: Execution = Execution(),
) -> dict[str, str]:
    """Run detectors on cases; each leaves ``out_dirs[name]/<case>/``.

    What lies in there is told by `pipeline.detection.source_maps.write_result`.
    A case that is done by the same weights and settings is skipped, so a broken-off run goes on
    where it stopped. A case that fails does not stop the others; one that another process is at
    work on, or that would replace a file that is not ours, has failed.

    Returns:
        Case name -> reason for those that failed.

    Raises:
        InputError: an output folder cannot be written to, or its disk has too little room.
        TooManyFailuresError: more cases failed than are allowed.
    """
    for folder in out_dirs.values():
        make_folder(folder)
        new = [case for case in cases if not (case_folder(folder, case.name) / RESULT).exists()]
        check_room(folder, least_bytes(new))

    def detect_all(case: Case) -> None:
        folders = {name: case_folder(out_dirs[name], case.name) for name in detectors}
        with contextlib.ExitStack() as held:
            for folder in folders.values():
                held.enter_context(locked(folder))
            detect_missing(case, folders)

    def detect_missing(case: Case, folders: Mapping[str, Path]) -> None:
        known = [file for folder in folders.values() for file in recorded_inputs(folder)]
        inputs = input_files(case, known)
        records = {n: d.provenance(inputs, transforms) for n, d in detectors.items()}
        todo = {
            name: record
            for name, record in records.items()
            if execution.overwrite or not is_done(folders[name], record)
        }
        if not todo:
            return
        for name, record in todo.items():
            claim_result(folders[name], record.modalities, least_bytes([case]))
        work = CaseWork(transforms(case))
        for name, record in todo.items():
            if (check := detectors[name].check) is not None:
                check(work.prepared)
            detect_case(work, detectors[name], folders[name], record)

    by_name, work = {case.name: case for case in cases}, Apart(detect_all)
    return each_case(by_name, work, description=description, execution=execution).failed


def recorded_inputs(folder: Path) -> tuple[InputFile, ...]:
    """The inputs of the result in a folder, none where there is none."""
    result = _result_in(folder)
    return () if result is None or result.provenance is None else result.provenance.inputs


def _result_in(folder: Path) -> CaseResult | None:
    """The result in a folder; None where it is torn, or of something else: it is made anew."""
    try:
        return CaseResult.of(folder)
    except LaterVersionError:
        raise
    except InputError:
        return None


def is_done(folder: Path, provenance: Provenance) -> bool:
    """Whether the folder holds a finished result of the same inputs, weights and settings.

    Its files must be those that were written: one that was cut short or replaced is made anew.

    Raises:
        InputError: it holds a finished result of others.
    """
    result = _result_in(folder)
    if result is None or result.provenance is None:
        return False
    if changed := result.provenance.changes(provenance):
        raise InputError(
            f"{folder}: holds a result with other {', '.join(changed)}; give --overwrite to "
            "replace it, or another output folder"
        )
    return _has_its_files(folder, result)


def begin_anew(folder: Path) -> None:
    """Remove the record of a result that is made again; what somebody changed in it is kept.

    Raises:
        InputError: that cannot be moved.
    """
    result = _result_in(folder)
    if changed := [] if result is None else _changed_files(folder, result):
        aside = next(p for n in count(1) if not (p := folder / f"{EDITED}-{n}").exists())
        with refusing(aside):
            aside.mkdir()
            for path in changed:
                path.rename(aside / path.name)
        names = ", ".join(path.name for path in changed)
        logger.warning("note: %s: changed since it was written; kept in %s", names, aside)
    remove(folder / RESULT)
    of_it = [DICOM_RESULTS + "/" + name for name in (SEG_OBJECT, MAP_OBJECT, SUMMARY_OBJECT)]
    for name in (FINDINGS, FINDINGS_TABLE, *of_it):  # made of the result that goes
        remove(folder / name)


def _changed_files(folder: Path, result: CaseResult) -> list[Path]:
    """Whole files that are not those that were written: a mask that was corrected, say."""
    known = {folder / file.name: file for file in result.files if file.sha256 is not None}
    return [path for path, file in known.items() if not file.holds(path) and is_whole(path)]


def _has_its_files(folder: Path, result: CaseResult) -> bool:
    for file in result.files:
        if not file.holds(folder / file.name):
            logger.warning(
                "note: %s: not the file that was written; made again", folder / file.name
            )
            return False
    return True


def notes_of_results(folders: Iterable[Path], names: Iterable[str]) -> dict[str, list[str]]:
    """Case -> what is to be known of it, from the results below the folders; none of the torn."""
    below = list(folders)
    notes: dict[str, list[str]] = {}
    for name in names:
        for folder in below:
            with contextlib.suppress(InputError):
                result = CaseResult.of(case_folder(folder, name))
                notes.setdefault(name, []).extend(result.notes if result is not None else ())
    return notes


def detect_case(
    work: CaseWork, detector: Detector, folder: Path, provenance: Provenance
) -> CaseResult:
    """Compute one case's map, bring it to the source grid and write everything.

    Returns:
        The content of ``result.json``.
    """
    start = time.monotonic()
    begin_anew(folder)
    prepared = work.prepared
    with stage("map"):
        found = detector.compute(work)
        maps = to_source(prepared, detector, found)
    seconds = time.monotonic() - start + found.earlier_seconds
    spent = Spent(found.evaluations, seconds)
    result = case_result(prepared, detector, maps, spent, provenance, detector.unlike(work))
    with stage("write"):
        return write_result(folder, prepared.source_affine, prepared.source_brain, maps, result)
