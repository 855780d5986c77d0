"""The demo, cut short."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli.main import main
from pipeline.study import demo


@pytest.mark.slow
def test_the_demo_ends_with_a_table_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"N_TRAINING": 4, "N_TEST_HEALTHY": 1, "N_TEST_TUMOUR": 1}.items():
        monkeypatch.setattr(demo, name, value)
    monkeypatch.setattr(demo, "SPACING_MM", 4.0)
    monkeypatch.setattr(demo, "SLICES_PER_EPOCH", 64)
    words = ["demo", "-o", str(tmp_path), "--epochs", "1", "--quiet", "--device", "cpu"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "| anomap |" in printed
    assert str(tmp_path / "cases.png") in printed
    assert str(tmp_path / "report.html") in printed
    assert (tmp_path / "report.html").stat().st_size > 2_000_000
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["n_cases"] == 2
    assert main(words) == 0  # what is finished is found again
