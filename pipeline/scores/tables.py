"""Scores of methods as files and tables: a summary, curves, a row a case, a row a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeline.cases.case import Case
from pipeline.cases.listing import write_datalist
from pipeline.files.names import CURVES, DATALIST, SUMMARY, TABLE, TABLE_CSV
from pipeline.files.nifti import write_text
from pipeline.files.record.summary import Mean, MethodSummary, Summary
from pipeline.scores.case_rows import Cell, csv_text, rows_of, write_rows
from pipeline.scores.evaluate import MethodScores
from pipeline.scores.summary import curves, summarise

COLUMNS: dict[str, Callable[[MethodSummary], Mean]] = {
    "AUROC": lambda method: method.mean_of("auroc"),
    "AUPRC": lambda method: method.mean_of("auprc"),
    "Dice oracle": lambda method: method.mean_of("dice_oracle"),
    "Dice at threshold": lambda method: method.mean_of("dice_at_threshold"),
    "image AUROC": lambda m: Mean(mean=m.image_auroc, ci95=m.image_auroc_ci95),
    "slice AUROC": lambda method: Mean(mean=method.slice_auroc),
    "healthy FP mL": lambda m: Mean(mean=m.healthy_fp_ml, ci95=m.healthy_fp_ml_ci95),
    "pooled AUPRC": lambda method: Mean(mean=method.pooled.auprc),
    "pooled Dice": lambda method: Mean(mean=method.pooled.dice_oracle),
    "NFE/slice": lambda method: Mean(mean=method.evaluations_per_slice),
    "s/case": lambda method: Mean(mean=method.seconds_per_case),
}
"""Heading of the table to the number in a method's summary, with its interval."""


def write_results(
    out_dir: Path,
    methods: Mapping[str, MethodScores],
    cohort_name: str,
    cases: Sequence[Case] = (),
) -> Summary:
    """Write what a table and a report need; return the summary.

    ``cases.csv`` (a row a method and case), ``table.md``, ``table.csv``, ``summary.json``,
    ``curves.json`` and, where the cases are given, ``datalist.json``: where their images and labels
    lie.

    Raises:
        InputError: the folder cannot be written to.
    """
    summary = summarise(methods, cohort_name)
    rows = [row for name, method in methods.items() for row in rows_of(name, method)]
    write_rows(out_dir, rows)
    curves(methods).write(out_dir / CURVES)
    if cases:
        write_datalist(out_dir / DATALIST, {"test": cases})
    write_text(out_dir / TABLE, format_table(summary))
    write_text(out_dir / TABLE_CSV, format_csv(summary))
    summary.write(out_dir / SUMMARY)
    return summary


def format_csv(summary: Summary) -> str:
    """The content of table.csv."""
    columns = ["Method", *COLUMNS]
    columns[2:2] = ["AUROC low", "AUROC high"]
    rows: list[dict[str, Cell]] = []
    for name, method in summary.methods.items():
        means = {heading: value_of(method).mean for heading, value_of in COLUMNS.items()}
        low, high = COLUMNS["AUROC"](method).ci95 or (None, None)
        rows.append({"Method": name, **means, "AUROC low": low, "AUROC high": high})
    return csv_text(columns, rows)


def format_table(summary: Summary) -> str:
    """The content of table.md: one markdown row a method, a dash where undefined."""
    headings = ["Method", *("AUROC [95 % CI]" if name == "AUROC" else name for name in COLUMNS)]
    lines = [headings, ["---", *("---:" for _ in COLUMNS)]]
    for name, method in summary.methods.items():
        cells = [pretty(heading, value_of(method).mean) for heading, value_of in COLUMNS.items()]
        low, high = COLUMNS["AUROC"](method).ci95 or (None, None)
        if low is not None:
            cells[0] += f" [{low:.3f}, {high:.3f}]"
        lines.append([name, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def pretty(heading: str, value: float | None) -> str:
    """A number of the column ``heading`` as text, a dash where undefined."""
    if value is None:
        return "-"
    if heading not in ("healthy FP mL", "NFE/slice", "s/case"):
        return f"{value:.3f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
