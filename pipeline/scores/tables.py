"""Scores of methods as files and tables: a summary, curves, a row a case, a row a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeline.cases.case import Case
from pipeline.cases.listing import write_datalist
from pipeline.files.names import CURVES, DATALIST, SUMMARY, TABLE, TABLE_CSV
from pipeline.files.record.summary import Difference, Mean, MethodSummary, Summary
from pipeline.files.texts import count, markdown_cell
from pipeline.files.writing import write_text
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
    """The content of table.csv: intervals and numbers of cases stand in columns of their own."""
    columns = ["Method", *COLUMNS, "image AUROC low", "image AUROC high", *COUNTS]
    columns[2:2] = ["AUROC low", "AUROC high"]
    rows: list[dict[str, Cell]] = []
    for name, method in summary.methods.items():
        row: dict[str, Cell] = {"Method": name}
        row |= {heading: value_of(method).mean for heading, value_of in COLUMNS.items()}
        for heading in ("AUROC", "image AUROC"):
            ends = COLUMNS[heading](method).ci95 or (None, None)
            row |= {f"{heading} low": ends[0], f"{heading} high": ends[1]}
        row |= {heading: str(count_of(method)) for heading, count_of in COUNTS.items()}
        rows.append(row)
    return csv_text(columns, rows)


COUNTS: dict[str, Callable[[MethodSummary], int]] = {
    "n healthy": lambda method: method.n_healthy,
    "n tumour": lambda method: method.n_tumour,
    "n tumour without label": lambda method: method.n_image_level,
}
"""Heading of table.csv to a number of cases."""


def format_table(summary: Summary) -> str:
    """The content of table.md: one markdown row a method, a dash where undefined; and differences.

    Where cases without a lesion label count, image AUROC has its interval too, and a line below
    says on how many cases which number is.
    """
    notes = count_notes(summary.methods)
    with_interval = ("AUROC", "image AUROC") if notes else ("AUROC",)
    headings = [f"{name} [95 % CI]" if name in with_interval else name for name in COLUMNS]
    lines = [["Method", *headings], ["---", *("---:" for _ in COLUMNS)]]
    for name, method in summary.methods.items():
        cells = (
            _cell(heading, method, has_interval=heading in with_interval) for heading in COLUMNS
        )
        lines.append([markdown_cell(name), *cells])
    return "\n".join([_markdown(lines), *(f"{note}\n" for note in notes), *_differences(summary)])


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


DIFFERENCES = {
    "AUPRC": "auprc",
    "Dice oracle": "dice_oracle",
    "Dice at threshold": "dice_at_threshold",
}
"""Heading of the table of differences to its metric."""


def _differences(summary: Summary) -> list[str]:
    """The table of differences; none where there is nothing to compare."""
    if not any(summary.differences.values()):
        return []
    headings = [f"{name} [95 % CI], won-lost" for name in DIFFERENCES]
    less = f"{markdown_cell(summary.compared_with or '')} less"
    lines = [[less, "cases", *headings], ["---", *("---:" for _ in range(len(headings) + 1))]]
    for name, by_metric in summary.differences.items():
        n_cases = max((found.n for found in by_metric.values()), default=0)
        cells = (_difference_cell(by_metric.get(key)) for key in DIFFERENCES.values())
        lines.append([markdown_cell(name), str(n_cases), *cells])
    return [_markdown(lines)]


def _difference_cell(found: Difference | None) -> str:
    """Mean, interval, and the number of cases won and lost; a dash where undefined."""
    if found is None:
        return "-"
    low, high = found.ci95 or (None, None)
    interval = "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"
    return f"{found.mean:+.3f}{interval}, {found.wins}-{found.losses}"


def _cell(heading: str, method: MethodSummary, *, has_interval: bool) -> str:
    """A number of a method, with its interval where that is wanted and known."""
    estimate = COLUMNS[heading](method)
    low, high = estimate.ci95 or (None, None)
    interval = f" [{low:.3f}, {high:.3f}]" if has_interval and low is not None else ""
    return pretty(heading, estimate.mean) + interval


def count_notes(methods: Mapping[str, MethodSummary]) -> list[str]:
    """On how many cases which number is, where some have no lesion label: once, or by method."""
    texts = {name: _count_text(m) for name, m in methods.items() if m.n_image_level}
    if len(texts) == len(methods) and len(set(texts.values())) == 1:
        return [next(iter(texts.values()))]
    return [f"{markdown_cell(name)}: {text}" for name, text in texts.items()]


def _count_text(method: MethodSummary) -> str:
    n_labelled = method.n_tumour - method.n_image_level
    return (
        f"image AUROC: {method.n_tumour} cases that are not healthy, {method.n_image_level} of "
        f"them without a lesion label, against {method.n_healthy} healthy ones; AUROC, AUPRC and "
        f"Dice: {count(n_labelled, 'case')} with a label"
    )


def pretty(heading: str, value: float | None) -> str:
    """A number of the column ``heading`` as text, a dash where undefined."""
    if value is None:
        return "-"
    if heading not in ("healthy FP mL", "NFE/slice", "s/case"):
        return f"{value:.3f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
