"""What the template and the script of the viewer get, of small results made by hand."""

from __future__ import annotations

from pathlib import Path

from pipeline.files.record.findings import Finding, Findings
from pipeline.files.record.result import CaseResult
from pipeline.report.results import Results
from pipeline.report.viewer import Layer, View
from pipeline.report.viewer_data import viewer_data
from pipeline.scores.case_rows import CaseRow

ROWS = {
    "ill": CaseRow(
        "m", "ill", healthy=False, numbers={"lesion_ml": 12.3, "dice_oracle": 0.5, "score": 2.0}
    ),
    "well": CaseRow(
        "m", "well", healthy=True, numbers={"lesion_ml": 0.0, "healthy_fp_ml": 1.25, "score": 1.0}
    ),
}


def _layer(kind: str, data: str) -> Layer:
    return Layer(kind, kind, 0.0, 1.0, data)


def _results(rows: dict[str, CaseRow], **results: CaseResult) -> Results:
    maps = {"m": Path("m"), "n": Path("n")}
    return Results(Path("out"), maps, "m", results, rows={"m": rows} if rows else {})


def test_every_layer_names_its_own_volume() -> None:
    views = [
        View(
            "ill",
            (_layer("image", "A"), _layer("map", "B")),
            others=(View("n", (_layer("map", "C"),)),),
        ),
        View("well", (_layer("map", "D"),)),
    ]
    results = _results(ROWS, ill=CaseResult(), well=CaseResult())
    other = Results(Path("out"), results.maps, "n", {"ill": CaseResult(score=7.0)})
    data = viewer_data(results, views, [other])
    volumes = {volume["id"]: volume["data"] for volume in data["volumes"]}
    ill, well = data["cases"]
    assert [volumes[layer["volume"]] for layer in ill["layers"]] == ["A", "B"]
    assert [volumes[layer["volume"]] for layer in ill["others"][0]["layers"]] == ["C"]
    assert [volumes[layer["volume"]] for layer in well["layers"]] == ["D"]
    assert ill["others"][0]["facts"] == [("score", "7")]
    assert data["methods"] == ["m", "n"]
    assert data["data"] == {"cases": data["cases"], "methods": ["m", "n"]}


def test_scored_cases_are_listed_by_what_was_scored() -> None:
    results = _results(ROWS, ill=CaseResult(notes=("dark",)), well=CaseResult(p_value=0.25))
    views = [View("ill", (), notes=("no image",)), View("well", ())]
    ill, well = viewer_data(results, views)["cases"]
    assert (ill["brief"], well["brief"]) == ("Dice 0.50 · 12 mL", "healthy · 1.2 mL false")
    assert ill["keys"] == {
        "name": "ill",
        "quality": 0.5,
        "false": None,
        "lesion": 12.3,
        "score": 2.0,
    }
    assert well["keys"]["lesion"] is None
    assert well["keys"]["false"] == 1.25
    assert ill["facts"] == [("lesion", "12.3 mL"), ("Dice oracle", "0.500"), ("score", "2")]
    assert well["facts"] == [
        ("false positives", "1.2 mL"),
        ("score", "1"),
        ("p, if healthy", "0.25"),
    ]
    assert ill["notes"] == ["no image", "dark"]


def test_cases_without_scores_are_listed_by_their_result() -> None:
    results = _results({}, a=CaseResult(score=0.5, anomalous_ml=3.4), b=CaseResult())
    data = viewer_data(results, [View("a", ()), View("b", ())])
    a, b = data["cases"]
    assert (a["brief"], b["brief"]) == ("score 0.50 · 3 mL marked", "")
    assert b["keys"] == {
        "name": "b",
        "quality": None,
        "false": None,
        "lesion": None,
        "score": None,
    }
    assert [order["key"] for order in data["orders"]] == ["score:down", "score:up", "name:up"]


def test_one_case_needs_no_order() -> None:
    data = viewer_data(_results(ROWS, ill=CaseResult()), [View("ill", ())])
    assert data["orders"] == []
    both = viewer_data(
        _results(ROWS, ill=CaseResult(), well=CaseResult()), [View("ill", ()), View("well", ())]
    )
    assert both["orders"][0] == {"key": "quality:up", "title": "lowest Dice first"}


def test_findings_become_a_table_whose_rows_know_where_they_lie() -> None:
    one = Finding(
        number=1,
        volume_ml=12.34,
        diameter_mm=31.6,
        axial_diameter_mm=29.0,
        centre_mm=(-30.4, 10.0, 20.0),
        place="left frontal lobe",
        mean=2.0,
        peak=3.5,
        healthy_share_above_peak=0.001,
    )
    found = Findings(case="ill", total_ml=12.9, findings=(one,), further=2, further_ml=0.56)
    results = _results(ROWS, ill=CaseResult(), well=CaseResult())
    views = [View("ill", (), findings=found), View("well", ())]
    data = viewer_data(results, views)
    ill, well = data["cases"]
    assert well["findings"] is None
    assert ill["findings"]["summary"] == "3 findings, 12.9 mL; largest 12.3 mL, left frontal lobe"
    (row,) = ill["findings"]["rows"]
    assert row["mm"] == (-30.4, 10.0, 20.0)
    assert row["cells"] == [
        *("1", "12.3 mL", "32 mm", "left frontal lobe", "-30, 10, 20", "", "2", "3.5", "0.1 %")
    ]
    assert len(row["cells"]) == len(data["finding_headings"])
    assert ill["findings"]["further"] == "2 smaller ones, 0.6 mL together."
