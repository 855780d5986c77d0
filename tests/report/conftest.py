"""A folder of results, and the page of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_benchmark import LESIONS_MM, write_case

from pipeline.cases.loop import QUIET
from pipeline.report.page import write_report
from pipeline.scores.evaluate import evaluate_folder
from pipeline.scores.tables import write_results


@pytest.fixture(scope="session")
def benchmarked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a benchmark of two methods on three cases leaves."""
    out = tmp_path_factory.mktemp("bench")
    maps = {name: out / "maps" / name for name in ("anomap", "intensity")}
    cases = [write_case(out / "data", maps, name, mm) for name, mm in LESIONS_MM.items()]
    scores = {
        name: evaluate_folder(folder, cases, method=name, execution=QUIET)
        for name, folder in maps.items()
    }
    write_results(out, scores, "some/toy & cohort", cases)
    return out


@pytest.fixture(scope="session")
def page_path(benchmarked: Path) -> Path:
    return write_report(benchmarked, execution=QUIET).path


@pytest.fixture
def own_copy(benchmarked: Path, tmp_path: Path) -> Path:
    """The same folder for a test that changes it."""
    leave_out = shutil.ignore_patterns("report.html")
    return shutil.copytree(benchmarked, tmp_path / "bench", ignore=leave_out)
