"""``cases.csv``: a row a method and case, written and read here alone."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import InputError
from pipeline.files.names import CASE_SCORES
from pipeline.files.nifti import write_text
from pipeline.scores.case_metrics import METRICS
from pipeline.scores.evaluate import CaseScores, MethodScores

MEASURED = ("score", "lesion_ml", "lesion_outside_ml", "brain_ml")
"""Numbers of a case that are no metric; see `CaseScores`."""
STATED = ("p_value", "evaluations_per_slice", "seconds")
"""Numbers of a case that its ``result.json`` may state."""
_WORDS = ("method", "case", "subject", "healthy", "error")

Cell = str | float | None


@dataclass(frozen=True)
class CaseRow:
    """A case that one method was scored on, or why it could not be.

    Attributes:
        method, case, subject: names.
        healthy: True where it has no lesion; None where it could not be scored.
        numbers: `MEASURED`, every metric of `METRICS` and `STATED` by name, in this order; what is
            undefined or not known is left out.
        error: why it could not be scored, "" where it was.
    """

    method: str
    case: str
    subject: str = ""
    healthy: bool | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    @classmethod
    def of(cls, method: str, case: CaseScores) -> CaseRow:
        """The row of a case that was scored."""
        measured = {key: float(getattr(case, key)) for key in MEASURED}
        stated = {key: float(getattr(case, key)) for key in STATED}
        numbers = {**measured, **case.values, **stated}
        return cls(method, case.name, case.subject, case.healthy, _known(numbers))

    @classmethod
    def parse(cls, cells: Mapping[str, str | None]) -> CaseRow:
        """The row of a line of the file, whose numbers may be those of an earlier version.

        Raises:
            ValueError: a cell is not what its column says.
            KeyError: it lacks a method or a case.
        """
        words = {key: cells.get(key) or "" for key in _WORDS}
        values = {key: float(text) for key, text in cells.items() if key not in _WORDS and text}
        return cls(
            cells["method"] or "",
            cells["case"] or "",
            words["subject"],
            _healthy(words["healthy"]),
            _known(values),
            words["error"],
        )

    def cells(self) -> dict[str, Cell]:
        """As it is written, by column."""
        return {
            "method": self.method,
            "case": self.case,
            "subject": self.subject,
            "healthy": "" if self.healthy is None else str(self.healthy),
            **self.numbers,
            "error": self.error,
        }


def _known(values: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in values.items() if math.isfinite(value)}


def _healthy(cell: str) -> bool | None:
    if cell not in ("True", "False", ""):
        raise ValueError(f"healthy: expected True or False, got {cell!r}")
    return cell == "True" if cell else None


def rows_of(name: str, method: MethodScores) -> list[CaseRow]:
    """The cases of a method, those that failed last.

    Args:
        name: that the method goes by in the table.
    """
    scored = [CaseRow.of(name, case) for case in method.cases]
    failed = [CaseRow(name, case, error=reason) for case, reason in method.failures.items()]
    return scored + failed


def write_rows(folder: Path, rows: Iterable[CaseRow]) -> None:
    """Write ``cases.csv``.

    Raises:
        InputError: the folder cannot be written to.
    """
    words = ("method", "case", "subject", "healthy")
    columns = (*words, *MEASURED, *METRICS, *STATED, "error")
    write_text(folder / CASE_SCORES, csv_text(columns, [row.cells() for row in rows]))


def read_rows(folder: Path) -> list[CaseRow]:
    """The rows of ``cases.csv`` in the order of the file, none where there is no such file.

    Raises:
        InputError: there is one that cannot be read.
    """
    path = folder / CASE_SCORES
    if not path.is_file():
        return []
    try:
        lines = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        return [CaseRow.parse(line) for line in lines]
    except KeyError as error:
        reason = f"no column {error}"
    except (OSError, ValueError, TypeError, csv.Error) as error:
        reason = str(error)
    raise InputError(f"{path}: not the scores of cases ({reason}); delete or redo it")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    """Comma-separated text with a heading; numbers that are not finite, and missing ones, empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _written(value) for key, value in row.items()})
    return text.getvalue()


def _written(value: Cell) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "" if value is None else value
