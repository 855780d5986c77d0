"""The page: what of a folder is on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.cases.loop import QUIET
from pipeline.cli.main import main
from pipeline.errors import InputError
from pipeline.files.writing import write_text
from pipeline.report.page import ViewOptions, render, write_report
from pipeline.report.results import read_results
from pipeline.report.viewer import view_case


def test_the_page_holds_numbers_intervals_baselines_and_provenance(page_path: Path) -> None:
    text = page_path.read_text(encoding="utf-8")
    summary = json.loads((page_path.parent / "summary.json").read_text())
    dice = summary["methods"]["anomap"]["dice_at_threshold"]
    low, high = dice["ci95"]
    assert f"{dice['mean']:.3f}<small>{low:.3f} to {high:.3f}</small>" in text
    for expected in ("toy &amp; cohort", "intensity", "one in a hundred", "ab" * 32, "torch 2"):
        assert expected in text
    assert text.count('class="chart"') == 5


def test_names_are_never_read_as_html(page_path: Path) -> None:
    text = page_path.read_text(encoding="utf-8")
    assert "ill&lt;1&gt;" in text
    assert "ill<1>" not in text


def test_no_folder_and_no_command_stand_on_the_page_unless_asked_for(own_copy: Path) -> None:
    name = next(path.name for path in (own_copy / "maps/anomap").iterdir() if path.is_dir())
    torn = own_copy / "maps/anomap" / name
    tree = json.loads((torn / "result.json").read_text())
    note = f"{own_copy}/jane doe/x.nii.gz: cut; see patients/jane/y.nii.gz"
    tree |= {"notes": [note], "command": f"anomap detect {own_copy}/in"}
    (torn / "result.json").write_text(json.dumps(tree))
    summary = json.loads((own_copy / "summary.json").read_text())
    summary["methods"]["anomap"]["failed"] = {"gone": f"{own_copy}/secret: no map in /data/jane/z"}
    (own_copy / "summary.json").write_text(json.dumps(summary))
    page = write_report(own_copy, execution=QUIET).path.read_text(encoding="utf-8")
    for hidden in (str(own_copy.parent), own_copy.parent.name, "jane", "anomap detect", "some/toy"):
        assert hidden not in page
    for shown in ("x.nii.gz: cut; see y.nii.gz", "secret: no map in z", "toy &amp; cohort"):
        assert shown in page
    options = ViewOptions(with_paths=True)
    page = write_report(own_copy, options=options, execution=QUIET).path.read_text(encoding="utf-8")
    for shown in (note, "anomap detect", f"{own_copy}/secret", "some/toy"):
        assert shown in page


def test_the_page_asks_for_nothing_outside_itself(page_path: Path) -> None:
    text = page_path.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert '<link rel="stylesheet"' not in text
    assert "<script src" not in text


def test_a_folder_of_detect_has_a_viewer_and_no_metrics(benchmarked: Path, tmp_path: Path) -> None:
    page = tmp_path / "out"
    page.symlink_to(benchmarked / "maps/anomap", target_is_directory=True)
    text = write_report(page, execution=QUIET).path.read_text(encoding="utf-8")
    assert "12 mL marked" in text
    assert 'id="methods-heading"' not in text
    assert 'id="volume-0"' in text


def test_a_cohort_that_is_gone_leaves_the_maps(benchmarked: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (folder / "maps").mkdir(parents=True)
    (folder / "maps/anomap").symlink_to(benchmarked / "maps/anomap", target_is_directory=True)
    entry = {"name": "ill2", "image": {"flair": "/gone_flair.nii.gz"}, "label": "/gone.nii.gz"}
    write_text(folder / "datalist.json", json.dumps({"test": [entry]}))
    assert read_results(folder).cases == {}
    assert "ill2" in write_report(folder, execution=QUIET).path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere", "no such folder"),
        (lambda folder: folder, "no maps in it"),
    ],
)
def test_a_folder_without_maps_is_one_line(tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_report(make(tmp_path))


def test_an_unknown_method_names_those_there_are(benchmarked: Path) -> None:
    with pytest.raises(InputError, match="no maps of 'dae'; there are anomap, intensity"):
        write_report(benchmarked, options=ViewOptions(method="dae"))


@pytest.mark.parametrize("name", ["method", "compare"])
def test_a_method_that_has_no_maps_writes_no_page(
    benchmarked: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "maps").symlink_to(benchmarked / "maps", target_is_directory=True)
    value: Any = {"method": "dae", "compare": ["dae"]}[name]
    with pytest.raises(InputError, match="no maps of 'dae'; there are anomap, intensity"):
        write_report(tmp_path, options=ViewOptions(**{name: value}), execution=QUIET)
    assert not (tmp_path / "report.html").exists()


def test_a_page_of_one_method_alone_offers_no_other(benchmarked: Path, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(benchmarked, target_is_directory=True)
    page = render(results := read_results(tmp_path / "out"), [_view(results, "ill2")])
    assert 'id="method"' not in page


def _view(results: Any, name: str) -> Any:
    return view_case(results.maps[results.main] / name, results.results[name])


def test_the_command_ends_with_the_page(
    benchmarked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(benchmarked), "--quiet"]) == 0
    assert str(benchmarked / "report.html") in capsys.readouterr().out


def test_a_case_that_cannot_be_shown_is_named_and_the_others_are_shown(own_copy: Path) -> None:
    ours = own_copy / "maps/anomap"
    (ours / "ill2/anomaly.nii.gz").write_bytes(b"torn")
    write_text(ours / "well1/result.json", "{")
    text = write_report(own_copy, execution=QUIET).path.read_text(encoding="utf-8")
    assert "<b>ill2</b> cannot be shown" in text
    assert "<b>well1</b> cannot be shown" in text
    assert "not the result of a case" in text
    assert text.count('<span class="case-name">') == 1
    assert '<span class="case-name">ill&lt;1&gt;</span>' in text


def test_a_map_of_another_method_that_cannot_be_shown_is_a_note(own_copy: Path) -> None:
    other = own_copy / "maps/intensity"
    (other / "ill2/anomaly.nii.gz").write_bytes(b"torn")
    write_text(other / "well1/result.json", "{")
    text = write_report(own_copy, execution=QUIET).path.read_text(encoding="utf-8")
    assert "cannot be shown" not in text
    data = json.loads(text.split('id="viewer-data">')[1].split("</script>")[0])
    by_name = {case["name"]: case for case in data["cases"]}
    assert {name: len(case["others"]) for name, case in by_name.items()} == {
        "ill<1>": 1,
        "ill2": 0,
        "well1": 0,
    }
    for name in ("ill2", "well1"):
        assert any("The map of intensity is not shown" in n for n in by_name[name]["notes"])


def test_where_no_case_can_be_shown_there_is_no_page(own_copy: Path) -> None:
    for path in own_copy.glob("maps/anomap/*/anomaly.nii.gz"):
        path.write_bytes(b"torn")
    with pytest.raises(InputError, match=r"no case can be shown; the first: .*anomaly.nii.gz"):
        write_report(own_copy, execution=QUIET)
    assert not (own_copy / "report.html").exists()
