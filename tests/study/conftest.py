"""Small synthetic brains, and a run that no training made whose people they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from study_cases import FLAIR

from pipeline.cases.find import find_cases
from pipeline.cases.listing import write_datalist
from pipeline.cases.loop import QUIET
from pipeline.study.phantoms import PhantomOptions, make_phantoms


@pytest.fixture(scope="session")
def brains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``healthy/phantom_h00{0,1}`` and ``tumour/phantom_t00{0,1}``."""
    folder = tmp_path_factory.mktemp("study") / "brains"
    options = PhantomOptions(n_healthy=2, n_tumour=2, spacing_mm=5.0, contrast="bright", seed=4)
    assert make_phantoms(folder, options=options, selection=FLAIR, execution=QUIET) == {}
    return folder


@pytest.fixture
def run(made_run: Path, brains: Path, tmp_path: Path) -> Path:
    """A run that was trained on one of the healthy brains and calibrated on the other."""
    folder = tmp_path / "run"
    shutil.copytree(made_run, folder)
    first, second = find_cases(brains / "healthy", modalities=["flair"]).cases
    write_datalist(folder / "datalist.json", {"training": [first], "validation": [second]})
    return folder
