"""Detection as a command and as a function: which weights, which cases, what is left."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from folders import names_in
from study_cases import FLAIR

from pipeline import DetectOptions, Execution, InputError, Selection, detect
from pipeline.cases.loop import QUIET
from pipeline.cases.transforms import CaseTransforms
from pipeline.errors import TooManyFailuresError
from pipeline.files.record.result import CaseResult


def detected_files(folder: Path) -> list[str]:
    return sorted(names_in(folder))


def test_each_case_gets_its_files_on_its_own_grid(brains: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = detect(brains / "tumour", out, options=DetectOptions(model=run), execution=QUIET)
    assert found.done == ("phantom_t000", "phantom_t001")
    assert found.failed == {}
    assert detected_files(out / "phantom_t000") == [
        *("anomaly.nii.gz", "brain_mask.nii.gz", "findings.csv", "findings.json"),
        *("mask.nii.gz", "pseudo_healthy.nii.gz", "result.json"),
    ]
    scan = nib.load(next((brains / "tumour/phantom_t000").glob("*_flair.nii.gz")))
    anomaly = nib.load(out / "phantom_t000/anomaly.nii.gz")
    assert anomaly.shape == scan.shape
    np.testing.assert_array_equal(anomaly.affine, scan.affine)
    result = CaseResult.of(out / "phantom_t000")
    assert result is not None
    assert result.method == "anomap"
    assert result.file_names == tuple(
        ["anomaly.nii.gz", "brain_mask.nii.gz", "mask.nii.gz", "pseudo_healthy.nii.gz"]
    )


def test_notes_are_said_at_the_end_of_a_case_done_before_too(
    brains: Path, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scan = nib.load(next((brains / "tumour/phantom_t000").glob("*_flair.nii.gz")))
    data = np.asarray(scan.dataobj, dtype=np.float32)
    data[:, :, data.shape[2] // 2] = 0
    nib.save(nib.Nifti1Image(data, scan.affine), tmp_path / "gap_flair.nii.gz")
    for _ in range(2):
        caplog.clear()
        options = DetectOptions(model=run)
        detect(tmp_path / "gap_flair.nii.gz", tmp_path / "out", options=options, execution=QUIET)
        (said,) = [text for text in caplog.messages if text.startswith("note: gap: the brain")]
        assert "2 separate parts" in said


def test_a_finished_case_is_skipped_and_made_anew_if_asked(
    brains: Path, run: Path, tmp_path: Path
) -> None:
    options = DetectOptions(model=run)
    path = tmp_path / "out/phantom_t000/result.json"
    times = []
    for execution in (QUIET, QUIET, replace(QUIET, overwrite=True)):
        found = detect(
            brains / "tumour/phantom_t000", tmp_path / "out", options=options, execution=execution
        )
        assert found.done == ("phantom_t000",)
        times.append(path.stat().st_mtime_ns)
    assert times[0] == times[1] < times[2]


def test_an_unforeseen_error_in_one_case_does_not_stop_the_others(
    brains: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = CaseTransforms.__call__

    def break_one(self: CaseTransforms, case):  # type: ignore[no-untyped-def]
        if case.name == "phantom_t000":
            raise ZeroDivisionError("of our own")
        return prepare(self, case)

    monkeypatch.setattr(CaseTransforms, "__call__", break_one)
    options = DetectOptions(model=run)
    found = detect(brains / "tumour", tmp_path / "out", options=options, execution=QUIET)
    assert found.done == ("phantom_t001",)
    assert found.failed == {"phantom_t000": "ZeroDivisionError: of our own"}
    strict = Execution(progress=False, max_failures=0)
    with pytest.raises(TooManyFailuresError, match="phantom_t000: ZeroDivisionError"):
        detect(brains / "tumour", tmp_path / "strict", options=options, execution=strict)


def test_of_several_paths_a_bad_one_is_a_failure(brains: Path, run: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    found = detect(
        [brains / "tumour/phantom_t000", missing],
        tmp_path / "out",
        options=DetectOptions(model=run),
        execution=QUIET,
    )
    assert found.done == ("phantom_t000",)
    assert found.failed == {str(missing): f"{missing}: no such file or folder"}


def test_without_a_model_the_modality_of_the_scans_decides(tmp_path: Path, brains: Path) -> None:
    scan = next((brains / "tumour/phantom_t000").glob("*_flair.nii.gz"))
    shutil.copy(scan, tmp_path / "p_pd.nii.gz")
    with pytest.raises(InputError, match="weights come with anomap for flair, t2, t1, t1ce"):
        detect(tmp_path / "p_pd.nii.gz", tmp_path / "out", execution=QUIET)
    shutil.copy(scan, tmp_path / "q_flair.nii.gz")
    paths = [tmp_path / "p_pd.nii.gz", tmp_path / "q_flair.nii.gz"]
    with pytest.raises(InputError, match="no modality in common"):
        detect(paths, tmp_path / "out", execution=QUIET)
    with pytest.raises(InputError, match="the scan is pd"):
        detect(
            tmp_path / "p_pd.nii.gz",
            tmp_path / "out",
            selection=Selection(modalities=("pd",)),
            execution=QUIET,
        )


def test_cases_to_leave_out_are_left_out(brains: Path, run: Path, tmp_path: Path) -> None:
    found = detect(
        brains / "tumour",
        tmp_path / "out",
        options=DetectOptions(model=run),
        selection=replace(FLAIR, leave_out=("phantom_t001",)),
        execution=QUIET,
    )
    assert found.done == ("phantom_t000",)
    assert not (tmp_path / "out/phantom_t001").exists()


def test_another_modality_than_the_models_is_refused(
    brains: Path, run: Path, tmp_path: Path
) -> None:
    t1 = Selection(modalities=("t1",))
    with pytest.raises(InputError, match="trained on flair, but t1 is asked for"):
        detect(brains, tmp_path / "out", options=DetectOptions(model=run), selection=t1)
