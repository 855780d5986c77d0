"""``cases.csv``: a row a method and case, written and read here alone."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import InputError
from pipeline.files.limits import MAX_TABLE_BYTES
from pipeline.files.names import CASE_SCORES
from pipeline.files.strict_json import read_text
from pipeline.files.texts import brief, quoted, without_folders
from pipeline.files.writing import write_text
from pipeline.scores.case_metrics import METRICS
from pipeline.scores.evaluate import CaseScores, MethodScores

MEASURED = ("score", "lesion_ml", "lesion_outside_ml", "brain_ml")
"""Numbers of a case that are no metric; see `CaseScores`."""
STATED = ("p_value", "evaluations_per_slice", "seconds")
"""Numbers of a case that its ``result.json`` may state."""
_FORMULA = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")
"""How texts begin that spreadsheets take for formulas, the wide characters of some included."""
_WORDS = ("method", "case", "subject", "healthy", "marked", "error")

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
        is_marked: whether its voxels are known to be lesion or not; None where it could not be
            scored, or nothing says it.
    """

    method: str
    case: str
    subject: str = ""
    healthy: bool | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    is_marked: bool | None = None

    @classmethod
    def of(cls, method: str, case: CaseScores) -> CaseRow:
        """The row of a case that was scored."""
        measured = {key: float(getattr(case, key)) for key in MEASURED}
        stated = {key: float(getattr(case, key)) for key in STATED}
        numbers = {**measured, **case.values, **stated}
        return cls(
            *(method, case.name, case.subject, case.healthy, _known(numbers)),
            is_marked=case.is_marked,
        )

    @classmethod
    def parse(cls, cells: Mapping[str, str | None]) -> CaseRow:
        """The row of a line of the file, whose numbers may be those of an earlier version.

        Raises:
            ValueError: a cell is not what its column says.
            KeyError: it lacks a method or a case.
        """
        words = {key: _as_meant(cells.get(key) or "") for key in _WORDS}
        values = {key: float(text) for key, text in cells.items() if key not in _WORDS and text}
        return cls(
            _as_meant(cells["method"] or ""),
            _as_meant(cells["case"] or ""),
            words["subject"],
            _truth(words, "healthy"),
            _known(values),
            words["error"],
            _truth(words, "marked"),
        )

    def cells(self) -> dict[str, Cell]:
        """As it is written, by column."""
        return {
            "method": self.method,
            "case": self.case,
            "subject": self.subject,
            "healthy": "" if self.healthy is None else str(self.healthy),
            "marked": "" if self.is_marked is None else str(self.is_marked),
            **self.numbers,
            "error": self.error,
        }


def _known(values: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in values.items() if math.isfinite(value)}


def _truth(words: Mapping[str, str], column: str) -> bool | None:
    cell = words[column]
    if cell not in ("True", "False", ""):
        raise ValueError(f"{column}: expected True or False, got {quoted(cell)}")
    return cell == "True" if cell else None


def rows_of(name: str, method: MethodScores) -> list[CaseRow]:
    """The cases of a method, those that failed last, whose reasons name no folders.

    Args:
        name: that the method goes by in the table.
    """
    scored = [CaseRow.of(name, case) for case in method.cases]
    reasons = {case: without_folders(reason) for case, reason in method.failures.items()}
    failed = [CaseRow(name, case, error=reason) for case, reason in reasons.items()]
    return scored + failed


def write_rows(folder: Path, rows: Iterable[CaseRow]) -> None:
    """Write ``cases.csv``.

    Raises:
        InputError: the folder cannot be written to.
    """
    words = ("method", "case", "subject", "healthy", "marked")
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
        lines = csv.DictReader(io.StringIO(read_text(path, MAX_TABLE_BYTES), newline=""))
        return [CaseRow.parse(line) for line in lines]
    except KeyError as error:
        reason = f"no column {error}"
    except (OSError, ValueError, TypeError, csv.Error) as error:
        reason = brief(error)
    raise InputError(f"{path}: not the scores of cases ({reason}); delete or redo it")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    """Comma-separated text with a heading; numbers that are not finite, and missing ones, empty."""
    lines = [_line(columns)]
    for row in rows:
        cells = {key: _written(value) for key, value in row.items()}
        lines.append(_line([cells.get(column, "") for column in columns]))
    return "".join(lines)


def _line(cells: Sequence[str]) -> str:
    """Ended as everywhere here; csv quotes what holds an end of line only where it writes it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _written(value: Cell) -> str:
    """A cell; a text that a spreadsheet would compute gets an apostrophe before it."""
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    text = "" if value is None else value
    return f"'{text}" if _computed(text) else text


def _as_meant(cell: str) -> str:
    """The text that `_written` made a cell of."""
    return cell[1:] if cell.startswith("'") and _computed(cell[1:]) else cell


def _computed(text: str) -> bool:
    """Whether it begins as a formula; with apostrophes before it too, so that none is lost."""
    return text.lstrip("'").startswith(_FORMULA)
