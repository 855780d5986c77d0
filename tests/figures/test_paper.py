"""All figures for a paper, and the command that draws them."""

from __future__ import annotations

import json
from pathlib import Path

import former_records
import pytest
from drawn import SUMMARY_JSON
from folders import names_in

from pipeline.cases.loop import QUIET
from pipeline.cli.main import main
from pipeline.errors import InputError
from pipeline.figures.paper import FigureOptions, _figures_of, write_figures


def test_panels_of_a_detection_need_no_label(results: Path, tmp_path: Path) -> None:
    n_figures, failed = write_figures([results], tmp_path / "figures", execution=QUIET)
    assert (n_figures, failed) == (3, {})
    names = names_in(tmp_path / "figures")
    drawn = {"noise", "forward", "out_cases"}
    assert names == {"captions.md", *(f"{n}.{s}" for n in drawn for s in ("pdf", "png"))}
    captions = (tmp_path / "figures" / "captions.md").read_text()
    assert str(tmp_path) not in captions  # of no use in a paper
    assert all(f"({name}.png)" in captions for name in drawn)


def test_the_command_names_what_it_could_not_draw(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "summary.json").write_text(json.dumps(SUMMARY_JSON))
    (tmp_path / "a_flair.nii.gz").unlink()
    out = tmp_path / "figures"
    assert main(["figures", str(results), "-o", str(out), "--quiet"]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == f"4 figures; look at {out / 'captions.md'}"
    assert "a failed" in printed.err
    assert (out / "out_bars.pdf").is_file()
    assert (out / "out_cases.pdf").is_file()


def test_wrong_folders_and_scans_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    for words, said in (
        (["nowhere"], "nowhere: no such file or folder"),
        ([str(tmp_path / "other")], "no maps in it"),
        (["--scan", "none.nii.gz"], "no such file"),
    ):
        assert main(["figures", *words, "-o", str(tmp_path / "out"), "--quiet"]) == 2
        assert said in capsys.readouterr().err


def test_a_case_that_cannot_be_drawn_does_not_stop_the_others(results: Path) -> None:
    (results / "a/result.json").write_text("{")
    drawn, failed = _figures_of(results, "out", FigureOptions())
    assert [one.name for one in drawn] == ["out_cases"]
    assert "not the result of a case" in failed["a"]
    (results / "b/anomaly.nii.gz").write_bytes(b"torn")
    drawn, failed = _figures_of(results, "out", FigureOptions())
    assert (drawn, set(failed)) == ([], {"a", "b"})


def test_scores_without_maps_are_bars_alone(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps(former_records.summary()))
    drawn, failed = _figures_of(tmp_path, "bench", FigureOptions())
    assert [one.name for one in drawn] == ["bench_bars"]
    assert "bars alone are drawn" in failed[str(tmp_path)]
    with pytest.raises(InputError, match="no maps in it"):
        _figures_of(tmp_path, "bench", FigureOptions(method="anomap"))


def test_a_folder_that_is_not_there_is_named_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        write_figures([tmp_path / "nowhere"], tmp_path / "figures", execution=QUIET)
    assert not (tmp_path / "figures").exists()
