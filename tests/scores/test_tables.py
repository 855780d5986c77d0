"""Tables and files of scores."""

import csv
import dataclasses
import json

import former_records
import pytest
from scored import scores_of, summary_of

from pipeline.files.record.summary import Summary
from pipeline.scores.evaluate import MethodScores
from pipeline.scores.summary import summarise
from pipeline.scores.tables import format_csv, format_table, write_results


def test_no_case_at_all_is_all_null():
    scores = MethodScores("anomap", ())
    summary = summary_of(scores)
    assert summary["n_cases"] == 0
    assert summary["methods"]["anomap"]["auroc"] == {"mean": None, "ci95": None}
    assert "| anomap | - |" in format_table(summarise({"anomap": scores}, "toy"))


def test_tables_show_every_method(cohort, tmp_path):
    scores = scores_of(*cohort)
    methods = {"anomap": scores, "blur_residual": MethodScores("blur_residual", ())}
    written = write_results(tmp_path / "results", methods, "toy")
    assert Summary.of(tmp_path / "results") == written
    summary = json.loads((tmp_path / "results/summary.json").read_text())
    table = format_table(written).splitlines()
    assert len(table) == 4
    assert len({line.count("|") for line in table}) == 1
    auroc = summary["methods"]["anomap"]["auroc"]
    low, high = auroc["ci95"]
    assert f"| {auroc['mean']:.3f} [{low:.3f}, {high:.3f}] |" in table[2]
    rows = list(csv.DictReader(format_csv(written).splitlines()))
    assert [row["Method"] for row in rows] == ["anomap", "blur_residual"]
    assert float(rows[0]["AUROC"]) == pytest.approx(auroc["mean"], abs=1e-5)
    assert rows[1]["AUROC"] == ""
    cells = list(csv.DictReader((tmp_path / "results/cases.csv").open()))
    assert [row["case"] for row in cells] == [f"case{index}" for index in range(5)]
    assert cells[3]["auroc"] == ""
    assert cells[3]["healthy"] == "True"
    assert [float(row["seconds"]) for row in cells] == [2, 3, 4, 5, 6]


def test_a_method_of_any_name_is_one_cell_of_the_table():
    scores = MethodScores("x", ())
    summary = summarise({"a|b": scores, "<img src=x>\n| c": scores, "=1+1": scores}, "toy")
    lines = format_table(summary).splitlines()
    assert len(lines) == 5
    assert {line.replace(r"\|", "").count("|") for line in lines} == {lines[0].count("|")}
    assert "<img" not in "".join(lines)
    assert format_csv(summary).splitlines()[-1].startswith("'=1+1,")


def test_a_summary_of_the_first_version_makes_the_same_table(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(former_records.summary()))
    summary = Summary.of(tmp_path)
    assert summary.methods["anomap"].failed == {"case7": "no such map"}
    row = format_table(summary).splitlines()[2]
    assert row == (
        "| anomap | 0.970 [0.950, 0.990] | 0.600 | 0.550 | 0.400 | - | 0.900 | - | 0.500 | 0.500 "
        "| 3 | 2.5 |"
    )
    summary.write(path)
    assert Summary.of(tmp_path) == summary
    assert json.loads(path.read_text())["schema_version"] == Summary.version()


def test_differences_are_paired_by_case(cohort):
    scores = scores_of(*cohort)
    worse = dataclasses.replace(
        scores,
        method="other",
        cases=tuple(
            dataclasses.replace(case, values={k: 0.9 * v for k, v in case.values.items()})
            for case in reversed(scores.cases)
        ),
    )
    summary = summarise({"anomap": scores, "other": worse}, "toy")
    found = summary.differences["other"]["auprc"]
    auprcs = [case.values["auprc"] for case in scores.cases[:3]]
    assert (found.n, found.wins, found.losses) == (3, 3, 0)
    assert found.mean == pytest.approx(0.1 * sum(auprcs) / 3)
    text = format_table(summary)
    assert "| anomap less | cases | AUPRC [95 % CI], won-lost |" in text
    (row,) = (line for line in text.splitlines() if line.startswith("| other | 3 |"))
    assert row.count("3-0") == 3
    alone = summarise({"anomap": scores}, "toy")
    assert not alone.differences
    assert "less" not in format_table(alone)
