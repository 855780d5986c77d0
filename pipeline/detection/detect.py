"""Detection in cases, with results on disk; what is finished is not done again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.cases.case import Case
from pipeline.cases.loop import Execution, each_case
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.case_work import CaseWork
from pipeline.detection.detector import Detector
from pipeline.detection.source_maps import Spent, case_result, to_source, write_result
from pipeline.errors import InputError, LaterVersionError
from pipeline.files.names import RESULT
from pipeline.files.nifti import make_folder
from pipeline.files.record.result import CaseResult, Provenance


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
    where it stopped. A case that fails does not stop the others.

    Returns:
        Case name -> reason for those that failed.

    Raises:
        InputError: an output folder cannot be written to.
        TooManyFailuresError: more cases failed than are allowed.
    """
    for folder in out_dirs.values():
        make_folder(folder)

    def detect_all(case: Case) -> None:
        records = {n: d.provenance(case, transforms) for n, d in detectors.items()}
        todo = {
            name: record
            for name, record in records.items()
            if execution.overwrite or not is_done(out_dirs[name] / case.name, record)
        }
        if not todo:
            return
        work = CaseWork(transforms(case))
        for name, record in todo.items():
            if (check := detectors[name].check) is not None:
                check(work.prepared)
            detect_case(work, detectors[name], out_dirs[name] / case.name, record)

    by_name = {case.name: case for case in cases}
    return each_case(by_name, detect_all, description=description, execution=execution).failed


def is_done(folder: Path, provenance: Provenance) -> bool:
    """Whether the folder holds a finished result of the same inputs, weights and settings.

    Raises:
        InputError: it holds a finished result of others.
    """
    try:
        result = CaseResult.of(folder)
    except LaterVersionError:
        raise
    except InputError:  # torn, or of something else: it is made anew
        return False
    if result is None or result.provenance is None:
        return False
    if changed := result.provenance.changes(provenance):
        raise InputError(
            f"{folder}: holds a result with other {', '.join(changed)}; give --overwrite to "
            "replace it, or another output folder"
        )
    return all((folder / name).is_file() for name in result.files)


def detect_case(
    work: CaseWork, detector: Detector, folder: Path, provenance: Provenance
) -> CaseResult:
    """Compute one case's map, bring it to the source grid and write everything.

    Returns:
        The content of ``result.json``.
    """
    start = time.monotonic()
    (folder / RESULT).unlink(missing_ok=True)
    prepared = work.prepared
    found = detector.compute(work)
    maps = to_source(prepared, detector, found)
    seconds = time.monotonic() - start + found.earlier_seconds
    spent = Spent(found.evaluations, seconds)
    result = case_result(prepared, detector, maps, spent, provenance)
    return write_result(folder, prepared.source_affine, prepared.source_brain, maps, result)
