"""What is read of a folder of results."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import former_records
import pytest

from pipeline.errors import InputError
from pipeline.files.record.result import CaseResult
from pipeline.files.record.summary import Summary
from pipeline.files.writing import write_text
from pipeline.report.results import Results, best_others, chosen_cases, cohort_name, read_results
from pipeline.scores.case_rows import CaseRow


def test_of_many_cases_the_worst_and_the_best_are_shown(benchmarked: Path) -> None:
    results = read_results(benchmarked)
    dices = {f"t{i:02d}": {"dice_at_threshold": i / 40, "score": 1.0} for i in range(30)}
    numbers = dices | {f"h{i}": {"score": float(i)} for i in range(10)}
    rows = {name: CaseRow("anomap", name, numbers=own) for name, own in numbers.items()}
    records = {name: CaseResult() for name in rows}
    many = replace(results, rows={"anomap": rows}, results=records)
    chosen = chosen_cases(many, 20)
    assert chosen == [
        *(f"h{i}" for i in range(5, 10)),
        *(f"t{i:02d}" for i in (*range(8), *range(23, 30))),
    ]


def test_the_other_methods_of_highest_auprc_are_compared(benchmarked: Path) -> None:
    results = read_results(benchmarked)
    areas = {"anomap": 0.5, "a": 0.3, "b": 0.7, "c": None}
    methods = {n: former_records.method(auprc=former_records.mean(a)) for n, a in areas.items()}
    summary = Summary.parse(json.dumps(former_records.summary(**methods)), Path("summary.json"))
    many = replace(results, maps=dict.fromkeys(areas, benchmarked), summary=summary)
    assert best_others(many, 2) == ["b", "a"]
    assert best_others(many, 9) == ["b", "a", "c"]


def test_records_of_the_first_version_are_read(own_copy: Path) -> None:
    methods = {name: former_records.method() for name in ("anomap", "intensity")}
    write_text(own_copy / "summary.json", json.dumps(former_records.summary(**methods)))
    write_text(own_copy / "curves.json", json.dumps(former_records.curves()))
    write_text(own_copy / "maps/anomap/ill2/result.json", json.dumps(former_records.result()))
    results = read_results(own_copy)
    assert not results.unreadable
    assert results.method_summaries["anomap"].means["auprc"].ci95 == (0.5, 0.7)
    assert results.curves["anomap"].precision == (1.0, 0.5)
    assert results.results["ill2"].mask_cut == 0.6
    assert cohort_name(results) == "brains"


def test_a_result_that_cannot_be_read_does_not_stop_the_others(own_copy: Path) -> None:
    write_text(own_copy / "maps/anomap/ill2/result.json", "{")
    results = read_results(own_copy)
    assert set(results.results) == {"ill<1>", "well1"}
    assert "ill2/result.json: not the result of a case" in results.unreadable["ill2"]
    for name in ("ill<1>", "well1"):
        write_text(own_copy / "maps/anomap" / name / "result.json", "{")
    with pytest.raises(InputError, match="not the result of a case"):
        read_results(own_copy)


def _scored(*rows: CaseRow, **results: CaseResult) -> Results:
    by_name = {row.case: row for row in rows}
    return Results(Path("out"), {"m": Path("out")}, "m", results, rows={"m": by_name})


def test_scores_stand_before_what_a_result_says() -> None:
    results = _scored(
        CaseRow("m", "a", healthy=False, numbers={"score": 2.0, "auroc": 0.9}),
        a=CaseResult(score=1.0, p_value=0.5, seconds=3.0),
        b=CaseResult(score=4.0, anomalous_ml=1.0),
        c=CaseResult(),
    )
    assert results.numbers("a") == {"score": 2.0, "auroc": 0.9, "p_value": 0.5, "seconds": 3.0}
    assert results.numbers("b") == {"score": 4.0, "anomalous_ml": 1.0}
    assert results.numbers("c") == {}
    assert [results.score(name) for name in "abc"] == [2.0, 4.0, -math.inf]


def test_quality_is_dice_at_the_threshold_where_any_case_has_it() -> None:
    oracle = CaseRow("m", "a", healthy=False, numbers={"dice_oracle": 0.5})
    cut = CaseRow("m", "b", healthy=False, numbers={"dice_at_threshold": 0.4})
    assert _scored(oracle).quality == "dice_oracle"
    assert _scored(oracle, cut).quality == "dice_at_threshold"
