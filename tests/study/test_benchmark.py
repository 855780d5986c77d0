"""A benchmark: which methods run on which cases, and what is said of both."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from folders import names_in
from study_cases import FLAIR

from pipeline import BenchmarkOptions, InputError, Selection, benchmark
from pipeline.cases.loop import QUIET
from pipeline.files.record.summary import Summary
from pipeline.study.benchmark import Benchmark


def compared(data: Path, out: Path, run: Path, methods: str | None = "intensity") -> Benchmark:
    options = BenchmarkOptions(models=(run,), methods=methods)
    return benchmark(data, out, options=options, selection=FLAIR, execution=QUIET)


def test_every_method_is_scored_on_every_case(brains: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = compared(brains / "tumour", out, run, "anomap,intensity,intensity_dark")
    assert found.failed == {}
    assert found.summary == Summary.of(out)
    assert list(found.summary.methods) == ["anomap", "intensity", "intensity_dark"]
    assert found.summary.n_cases == 2
    methods = found.summary.methods
    bright, dark = (methods[n].means["auroc"].mean for n in ("intensity", "intensity_dark"))
    assert bright is not None
    assert dark is not None
    assert bright > 0.8 > 0.2 > dark
    assert found.pictures == out / "cases.png"
    names = names_in(out)
    assert names == {
        *("maps", "cases.csv", "cases.pdf", "cases.png", "curves.json", "datalist.json"),
        *("summary.json", "table.csv", "table.md"),
    }
    for name in found.summary.methods:
        assert names_in(out / "maps" / name) == {
            "phantom_t000",
            "phantom_t001",
        }


def test_what_is_done_is_not_done_again(brains: Path, run: Path, tmp_path: Path) -> None:
    results = tmp_path / "out/maps/intensity"
    times = []
    for _ in range(2):
        compared(brains / "tumour", tmp_path / "out", run)
        times.append([p.stat().st_mtime_ns for p in sorted(results.glob("*/result.json"))])
    assert len(times[0]) == 2
    assert times[0] == times[1]


def test_people_that_the_model_has_seen_are_told(
    brains: Path, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        compared(brains, tmp_path / "out", run)
    assert "2 of 4 cases were used to train or calibrate a model (phantom_h000" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        compared(brains / "tumour", tmp_path / "out2", run)
    assert "were used to train" not in caplog.text


def test_a_label_on_another_grid_fails_its_case_alone(
    brains: Path, run: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(brains / "tumour", data)
    (path,) = (data / "phantom_t000").glob("*_seg.nii.gz")
    label = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(label.dataobj)[1:], label.affine), path)
    found = compared(data, tmp_path / "out", run)
    assert list(found.failed) == ["phantom_t000"]
    assert "label's grid" in found.failed["phantom_t000"]
    assert found.summary.n_cases == 1
    assert not (tmp_path / "out/maps/intensity/phantom_t000").exists()


def test_a_method_without_its_network_is_left_out(
    brains: Path, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = compared(brains / "tumour", tmp_path / "out", run, "intensity,dae")
    assert list(found.summary.methods) == ["intensity"]
    assert "left out: dae: needs a run trained with `--noise coarse`" in caplog.text
    with pytest.raises(InputError, match="no method is left to run"):
        compared(brains / "tumour", tmp_path / "out", run, "dae")
    with pytest.raises(InputError, match="no method is called 'daee'"):
        compared(brains / "tumour", tmp_path / "out", run, "daee")


def test_models_and_modality_must_fit(brains: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="say which modality"):
        benchmark(brains, tmp_path / "out", options=BenchmarkOptions(models=(run,)))
    with pytest.raises(InputError, match="trained on flair, but t1 is asked for"):
        benchmark(
            brains,
            tmp_path / "out",
            options=BenchmarkOptions(models=(run,)),
            selection=Selection(modalities=("t1",)),
        )
    options = BenchmarkOptions(models=(run, run))
    with pytest.raises(InputError, match="restores from simplex noise too; give one"):
        benchmark(brains, tmp_path / "out", options=options, selection=FLAIR)


def test_thresholds_may_come_from_other_healthy_cases(
    brains: Path, run: Path, tmp_path: Path
) -> None:
    options = BenchmarkOptions(models=(run,), methods="intensity", calibrate_on=brains / "healthy")
    found = benchmark(
        brains / "tumour", tmp_path / "out", options=options, selection=FLAIR, execution=QUIET
    )
    rule = found.summary.methods["intensity"].threshold.rule
    assert rule is not None
    assert "1 % of the healthy brain voxels of 2 held-out cases" in rule


def test_tables_that_are_not_ours_are_refused_before_any_map(
    brains: Path, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "cases.csv").write_text("my own")
    with pytest.raises(InputError, match=r"cases\.csv: there is a file that anomap did not write"):
        compared(brains / "tumour", tmp_path, run)
    assert names_in(tmp_path) == {"cases.csv", "run"}
