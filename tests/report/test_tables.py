"""Tables, charts and provenance of small results made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import former_records
import pytest

from pipeline.detection.methods.table import METHODS
from pipeline.files.record.result import CaseResult, Provenance, Software, Threshold
from pipeline.files.record.summary import Curves, Summary
from pipeline.report.results import Results
from pipeline.report.tables import (
    Cell,
    case_table,
    charts,
    method_table,
    provenance,
    tiles,
)
from pipeline.scores.case_rows import CaseRow
from pipeline.scores.tables import COLUMNS


def _row(method: str, case: str, *, healthy: bool = False, **numbers: float) -> CaseRow:
    return CaseRow(method, case, healthy=healthy, numbers=numbers)


@pytest.fixture
def results() -> Results:
    """Two methods on two tumours and a healthy brain; of the first, one map has no result."""
    methods = {"anomap": former_records.method(), "theirs": former_records.method()}
    summary = json.dumps(former_records.summary(**methods))
    rows = [
        _row("anomap", "a", lesion_ml=5.0, dice_at_threshold=0.75, auprc=0.5, score=3.0),
        _row("anomap", "b", lesion_ml=50.0, dice_at_threshold=0.25, auprc=0.25, score=2.0),
        _row("anomap", "h", healthy=True, lesion_ml=0.0, healthy_fp_ml=1.5, score=1.0),
        _row("theirs", "a", lesion_ml=5.0, dice_at_threshold=0.5),
    ]
    threshold = Threshold(value=0.5, rule="1 % of healthy brain")
    made = Provenance(seed=0, weights_sha256="ab")
    found = CaseResult(
        threshold=threshold,
        provenance=made,
        command="anomap detect",
        software=Software(anomap="0.1.0", torch="2.6"),
    )
    return Results(
        Path("out"),
        {name: Path("out/maps") / name for name in methods},
        "anomap",
        {"a": found, "b": CaseResult(anomalous_ml=2.0), "h": CaseResult(), "x": CaseResult()},
        Summary.parse(summary, Path("summary.json")),
        Curves.parse(json.dumps(former_records.curves()), Path("curves.json")).methods,
        {
            name: {row.case: row for row in rows if row.method == name}
            for name in ("anomap", "theirs")
        },
    )


def test_the_table_of_methods_has_a_cell_a_heading(results: Results) -> None:
    ours, theirs = method_table(results)
    assert (ours.name, ours.main, ours.about) == ("anomap", True, METHODS["anomap"].summary)
    assert (theirs.name, theirs.main, theirs.about) == ("theirs", False, "")
    assert [cell.heading for cell in ours.cells] == list(COLUMNS)
    assert ours.cells[0] == Cell("AUROC", "0.970", "0.950 to 0.990")
    by_heading = {cell.heading: cell for cell in ours.cells}
    assert by_heading["image AUROC"] == Cell("image AUROC", "-", "")
    assert by_heading["slice AUROC"] == Cell("slice AUROC", "0.900", "")
    assert by_heading["s/case"] == Cell("s/case", "2.5", "")


def test_tiles_are_the_numbers_that_there_are(results: Results) -> None:
    assert tiles(results) == [
        Cell("AUPRC", "0.600", "0.500 to 0.700"),
        Cell("Dice at threshold", "0.400", "0.300 to 0.500"),
    ]
    assert tiles(replace(results, summary=None)) == []


def test_cases_stand_with_the_worst_first_and_only_the_columns_in_use(results: Results) -> None:
    table = case_table(results, ["h", "b"])
    assert table.headings == (
        *("lesion mL", "score", "AUPRC", "Dice at threshold", "false mL, healthy"),
        "marked mL",
    )
    assert [(row.name, row.case) for row in table.rows] == [
        *(("b", 1), ("a", None), ("h", 0)),
        ("x", None),
    ]
    assert table.rows[0].cells == ("50.0", "2.000", "0.250", "0.250", "-", "2.0")
    assert table.rows[2].cells == ("0.0", "1.000", "-", "-", "1.5", "-")
    assert set(table.rows[3].cells) == {"-"}


def test_charts_show_what_is_known(results: Results) -> None:
    titles = [chart.title for chart in charts(results, ["a"])]
    assert titles == [
        "Precision and recall",
        "ROC",
        "Dice by lesion size",
        "Dice at the threshold, by method",
        "False positives in healthy brains",
    ]
    assert charts(replace(results, summary=None, rows={}, curves={}), []) == []


def test_the_chart_of_sizes_has_a_dot_a_tumour_and_a_bar_a_stratum(results: Results) -> None:
    chart = charts(results, ["b", "a"])[2]
    assert [(dot.title, dot.case) for dot in chart.dots] == [
        ("a: 5.0 mL, Dice 0.750", 1),
        ("b: 50.0 mL, Dice 0.250", 0),
    ]
    assert [bar.text for bar in chart.bars] == ["0.30 (n = 2)", "0.50 (n = 3)"]


def test_rows_of_methods_begin_with_the_one_the_page_is_about(results: Results) -> None:
    chart = charts(replace(results, main="theirs"), ["a"])[3]
    assert [row.name for row in chart.rows] == ["theirs", "anomap"]
    assert chart.rows[0].text == "0.4 [0.3, 0.5]"
    # Only the cases of the main method are links into the viewer.
    assert [dot.case for dot in chart.rows[0].dots] == [0]
    assert [dot.case for dot in chart.rows[1].dots] == [None, None]


def test_provenance_names_what_made_the_maps_and_the_scores(results: Results) -> None:
    entries = provenance(results, with_paths=True)
    assert [name for name, _ in entries] == [
        *("Cohort", "Command", "Scored by", "Software", "Seed", "Weights, SHA-256"),
        *("Threshold", "Written"),
    ]
    by_name = dict(entries)
    assert by_name["Seed"] == "0"
    assert by_name["Software"] == "anomap 0.1.0, torch 2.6"
    assert by_name["Scored by"] == "anomap evaluate out --labels data"
    for_others = dict(provenance(results))
    assert {"Command", "Scored by"} & set(for_others) == set()
    assert "/" not in for_others["Cohort"]


def test_one_command_is_named_once_and_software_may_be_that_of_the_scores(
    results: Results,
) -> None:
    command = "anomap evaluate out --labels data"
    alone = replace(results, results={"a": CaseResult(command=command)})
    by_name = dict(provenance(alone, with_paths=True))
    assert by_name["Command"] == command
    assert "Scored by" not in by_name
    assert by_name["Software"].startswith("anomap 0.1.0, commit 5478ab1")


def test_maps_of_somebody_else_have_no_provenance_but_a_date(results: Results) -> None:
    bare = replace(results, results={"a": CaseResult()}, summary=None)
    assert [name for name, _ in provenance(bare)] == ["Written"]
