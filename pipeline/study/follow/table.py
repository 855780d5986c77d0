"""``results.csv``: a row for each finished case of a folder, with labels or without."""

from __future__ import annotations

from pathlib import Path

from pipeline.cases.loop import QUIET, Outcomes, each_case
from pipeline.files.folder.parts import clear_parts_of
from pipeline.files.names import RESULT, RESULTS_TABLE
from pipeline.files.record.result import CaseResult
from pipeline.files.writing import write_text
from pipeline.scores.case_rows import Cell, csv_text

COLUMNS = (
    *("case", "score", "p_value", "healthy_cases", "anomalous_ml", "brain_ml"),
    *("anomalous_pixels", "brain_pixels", "notes"),
)


def write_results_table(folder: Path) -> None:
    """Write the table of all results below a folder, those of former commands among them.

    Where there are none, and never was a table, none is written.

    Args:
        folder: holds ``<case>/result.json``.

    Raises:
        InputError: the table cannot be written, or a file that is not ours is there.
    """
    clear_parts_of(folder / RESULTS_TABLE)
    # One that is torn, or of another program, is made again or told of elsewhere.
    rows = [_row(result) for result in results_below(folder).done.values()]
    if rows or (folder / RESULTS_TABLE).exists():
        write_text(folder / RESULTS_TABLE, csv_text(_columns(rows), rows))


def results_below(folder: Path) -> Outcomes[CaseResult]:
    """The finished results of the cases below a folder, and why others cannot be read."""
    return each_case(
        {path.parent.name: path for path in sorted(folder.glob(f"[!.]*/{RESULT}"))},
        CaseResult.read,
        description="read",
        execution=QUIET,
    )


def _row(result: CaseResult) -> dict[str, Cell]:
    row: dict[str, Cell] = {"case": result.case, "notes": "; ".join(result.notes)}
    for column in COLUMNS[1:-1]:
        value = getattr(result, column)
        row[column] = str(value) if isinstance(value, int) else value
    return row


def _columns(rows: list[dict[str, Cell]]) -> list[str]:
    """Pixels and millilitres only where there are any."""
    sizes = {c for c in COLUMNS if c.endswith(("_ml", "_pixels"))}
    return [c for c in COLUMNS if c not in sizes or any(row[c] is not None for row in rows)]
