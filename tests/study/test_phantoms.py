"""Cohorts of phantoms as a command and as a function."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from study_cases import FLAIR

from pipeline.cases.find import find_cases
from pipeline.cases.loop import QUIET
from pipeline.errors import InputError
from pipeline.study.phantoms import PhantomOptions, make_phantoms


def test_tumours_are_put_into_healthy_brains(brains: Path, tmp_path: Path) -> None:
    options = PhantomOptions(n_healthy=0, n_tumour=1, on=brains / "healthy")
    selection = replace(FLAIR, healthy=True)
    out = tmp_path / "inserted"
    assert make_phantoms(out, options=options, selection=selection, execution=QUIET) == {}
    (case,) = find_cases(out, modalities=["flair"]).cases
    assert case.name == "phantom_h001_tumour"
    assert case.label is not None


def test_a_datalist_needs_a_section(tmp_path: Path) -> None:
    options = PhantomOptions(on=tmp_path / "datalist.json")
    with pytest.raises(InputError, match="say which part is meant with --section"):
        make_phantoms(tmp_path / "out", options=options, selection=FLAIR)


def test_numbers_and_modality_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--tumour -1: expected a number of cases, 0 or more"):
        PhantomOptions(n_tumour=-1)
    with pytest.raises(InputError, match="say which modality to make"):
        make_phantoms(tmp_path)
