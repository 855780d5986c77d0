"""A DICOM study gives the result that the NIfTI of the same scan gives, and names nobody."""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_studies import Study, stored, write_classic, write_enhanced

from pipeline import DetectOptions, InputError, Selection, detect, write_report
from pipeline.cases.find import find_cases
from pipeline.cases.loop import QUIET
from pipeline.files.names import DICOM_CASES
from pipeline.files.record.result import CaseResult

pytest.importorskip("dcm2niix")

JANE = Study("ID4711", "Doe^Jane", "hers")


def whole_numbers(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Volume as DICOM can hold it, and its affine."""
    image = nib.load(path)
    return stored(np.asanyarray(image.dataobj)), image.affine


def canonical(path: Path) -> np.ndarray:
    return np.asanyarray(nib.as_closest_canonical(nib.load(path)).dataobj)


def agreement(one: Path, other: Path) -> tuple[float, float]:
    """Correlation of the maps and Dice of the masks of two case folders."""
    maps = [canonical(folder / "anomaly.nii.gz").ravel() for folder in (one, other)]
    masks = [canonical(folder / "mask.nii.gz") > 0 for folder in (one, other)]
    n_both = int((masks[0] & masks[1]).sum())
    dice = 2 * n_both / max(1, int(masks[0].sum() + masks[1].sum()))
    return float(np.corrcoef(*maps)[0, 1]), dice


def test_a_study_is_detected_as_its_nifti_is(brains: Path, run: Path, tmp_path: Path) -> None:
    data, affine = whole_numbers(next((brains / "tumour/phantom_t000").glob("*_flair.nii.gz")))
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "scan_flair.nii.gz")
    write_classic(tmp_path / "study", data, affine, study=JANE, twice=(2,))
    options, out = DetectOptions(model=run), tmp_path / "out"
    found = detect(
        [tmp_path / "scan_flair.nii.gz", tmp_path / "study"], out, options=options, execution=QUIET
    )
    assert not found.failed
    (case,) = set(found.done) - {"scan"}
    correlation, dice = agreement(out / "scan", out / case)
    assert correlation > 0.999
    assert dice > 0.99
    result = CaseResult.of(out / case)
    assert result is not None
    assert any("1 slice twice at one place" in note for note in result.notes)
    assert_nobody_is_named(out)
    assert [one.name for one in find_cases(out / DICOM_CASES).cases] == [case]


def assert_nobody_is_named(out: Path) -> None:
    write_report(out)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert any(path.name == "report.html" for path in files)
    for path in files:
        content = path.read_bytes()
        if path.name.endswith(".gz"):
            content = zlib.decompress(content, wbits=31)
        assert not any(name in content for name in (b"Doe^", b"Jane", b"ID4711")), path


def test_a_study_that_cannot_be_used_does_not_stop_the_others(
    brains: Path, run: Path, tmp_path: Path
) -> None:
    data, affine = whole_numbers(next((brains / "tumour/phantom_t000").glob("*_flair.nii.gz")))
    write_classic(tmp_path / "in" / "good", data, affine, study=JANE)
    torn = Study(name="torn")
    write_classic(tmp_path / "in" / "bad", data, affine, study=torn, missing=(5, 6, 7))
    options = DetectOptions(model=run)
    found = detect(tmp_path / "in", tmp_path / "out", options=options, execution=QUIET)
    assert len(found.done) == 1
    (reason,) = found.failed.values()
    assert "slices are missing" in reason


def test_a_study_without_what_is_asked_for_is_refused_before_any_work(
    run: Path, tmp_path: Path
) -> None:
    data = np.random.default_rng(0).integers(0, 900, (20, 20, 12)).astype(float)
    write_classic(tmp_path / "in", data, np.diag([4.0, 4.0, 4.0, 1.0]))
    selection = Selection(modalities=("t1",))
    with pytest.raises(InputError, match="no t1 in the study; it holds flair"):
        detect(tmp_path / "in", tmp_path / "out", selection=selection, execution=QUIET)


@pytest.mark.shared
@pytest.mark.slow
def test_a_real_scan_is_detected_the_same_from_classic_and_enhanced_objects(
    shared_data: Path, tmp_path: Path
) -> None:
    data, affine = whole_numbers(shared_data / "brats_flair" / "BRATS_460_flair.nii.gz")
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "scan_flair.nii.gz")
    write_classic(tmp_path / "a", data, affine, study=Study(name="a"))
    enhanced = Study(name="b")
    write_enhanced(tmp_path / "b", data, affine, study=enhanced, plane="sagittal", backwards=True)
    given = [tmp_path / name for name in ("scan_flair.nii.gz", "a", "b")]
    found = detect(given, tmp_path / "out", execution=QUIET)
    assert len(found.done) == 3
    for case in set(found.done) - {"scan"}:
        correlation, dice = agreement(tmp_path / "out" / "scan", tmp_path / "out" / case)
        assert correlation > 0.999
        assert dice > 0.99
