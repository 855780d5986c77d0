"""Scores of maps that anybody made."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from study_cases import FLAIR

from pipeline import EvaluateOptions, InputError, evaluate
from pipeline.cases.loop import QUIET
from pipeline.files.record.result import CaseResult, InputFile, Provenance
from pipeline.files.record.summary import Summary


@pytest.fixture
def maps(brains: Path, tmp_path: Path) -> Path:
    """The labels themselves as maps, without any record."""
    out = tmp_path / "theirs"
    for path in sorted((brains / "tumour").glob("*/*_seg.nii.gz")):
        label = nib.load(path)
        folder = out / path.parent.name
        folder.mkdir(parents=True)
        values = (np.asarray(label.dataobj) > 0).astype(np.float32)
        nib.save(nib.Nifti1Image(values, label.affine), folder / "anomaly.nii.gz")
    return out


def test_maps_of_another_method_need_no_record(brains: Path, maps: Path) -> None:
    options = EvaluateOptions(method="theirs", threshold=0.5)
    found = evaluate(maps, brains / "tumour", options=options, selection=FLAIR, execution=QUIET)
    assert found.failed == {}
    assert found.summary == Summary.of(maps)
    method = found.summary.methods["theirs"]
    assert method.means["dice_at_threshold"].mean == pytest.approx(1)
    assert method.threshold.value == 0.5
    assert method.threshold.rule == "given on the command line"
    assert (maps / "table.md").read_text().startswith("| Method |")


def test_a_case_without_a_map_is_a_failure(brains: Path, maps: Path) -> None:
    (maps / "phantom_t000/anomaly.nii.gz").unlink()
    found = evaluate(maps, brains / "tumour", selection=FLAIR, execution=QUIET)
    assert list(found.failed) == ["phantom_t000"]
    assert found.summary.n_cases == 1
    assert list(found.summary.methods) == ["theirs"]  # the folder's name
    (maps / "phantom_t001/anomaly.nii.gz").unlink()
    with pytest.raises(InputError, match="could be scored; the first"):
        evaluate(maps, brains / "tumour", selection=FLAIR, execution=QUIET)


def test_a_missing_folder_and_a_bad_threshold_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder; it should hold <case>"):
        evaluate(tmp_path / "missing", tmp_path)
    with pytest.raises(InputError, match="--threshold nan: expected a finite number"):
        EvaluateOptions(threshold=math.nan)


def test_a_table_that_is_not_ours_is_refused_before_scoring(brains: Path, maps: Path) -> None:
    (maps / "table.md").write_text("my own")
    with pytest.raises(InputError, match=r"table\.md: there is a file that anomap did not write"):
        evaluate(maps, brains / "tumour", selection=FLAIR, execution=QUIET)
    assert (maps / "table.md").read_text() == "my own"


def test_a_map_of_another_image_under_the_same_name_is_noted(
    brains: Path, maps: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = sorted((brains / "tumour").glob("*/*_flair.nii.gz"))
    for path in images:
        file = InputFile.of(images[0], path=str(images[0]), role="flair")
        result = CaseResult(provenance=Provenance(inputs=(file,)))
        result.write(maps / path.parent.name / "result.json")
    evaluate(maps, brains / "tumour", selection=FLAIR, execution=QUIET)
    noted = [line for line in caplog.messages if "made from another file than" in line]
    assert len(noted) == len(images) - 1 > 0
    assert not any(images[0].name in line for line in noted)
