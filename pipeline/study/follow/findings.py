"""``anomap findings``: those of cases whose masks were corrected, made anew."""

from __future__ import annotations

from pathlib import Path

from pipeline.cases.loop import Apart, Execution, each_case
from pipeline.detection.detect import DetectedCases
from pipeline.errors import InputError, printable
from pipeline.files.folder.lock import locked
from pipeline.files.folder.ownership import claim
from pipeline.files.names import ANOMALY_MASK, FINDINGS, FINDINGS_TABLE
from pipeline.findings.folder import find_again, with_masks


def remake_findings(
    folder: Path | str, *, execution: Execution = Execution(progress=False)
) -> DetectedCases:
    """Make ``findings.json`` and ``findings.csv`` anew beside the masks below a folder.

    Args:
        folder: that detect or fuse left, or the folder of one case.
        execution: how.

    Raises:
        InputError: there is no mask.
        TooManyFailuresError: more cases failed than are allowed.
    """
    folder = Path(folder)
    one = (folder / ANOMALY_MASK).is_file()
    below = [folder] if one else with_masks(folder)
    if not below:
        raise InputError(
            f"{folder}: no mask in it; expected <case>/{ANOMALY_MASK}, as detect leaves"
        )

    def work(case: Path) -> None:
        with locked(case):
            claim(case, (FINDINGS, FINDINGS_TABLE))
            find_again(case)

    cases = {printable(path.resolve().name): path for path in below}
    made = each_case(cases, Apart(work), description="findings", execution=execution)
    root = folder.resolve().parent if one else folder
    return DetectedCases(root, tuple(made.done), made.failed)
