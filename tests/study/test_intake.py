"""DICOM among what a command is given: converted, described, or said why not."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_studies import FLAIR, T1, T2, Series, Study, write_classic, write_screenshot

from pipeline.cases.loop import QUIET
from pipeline.cases.several import Selection, find_all
from pipeline.errors import InputError
from pipeline.files.record.series import SeriesRecord
from pipeline.study.intake import convert, describe, take_in

pytest.importorskip("dcm2niix")

AFFINE = np.diag([-4.0, -4.0, 5.0, 1.0])


def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, (24, 20, 12)).astype(np.float64)


def write_nifti(path: Path) -> None:
    nib.save(nib.Nifti1Image(volume().astype(np.float32), AFFINE), path)


def test_a_folder_and_a_zip_become_cases_that_every_command_reads(tmp_path: Path) -> None:
    one, other = Study(name="one"), Study(name="other")
    write_classic(tmp_path / "a", volume(), AFFINE, study=one)
    write_classic(tmp_path / "a" / "t1", volume(), AFFINE, study=one, series=T1)
    write_classic(tmp_path / "b", volume(), AFFINE, study=other)
    shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path / "b")
    taken = convert([tmp_path / "a", tmp_path / "b.zip"], tmp_path / "out", execution=QUIET)
    assert not taken.failed
    cohort = find_all(tmp_path / "out")
    assert sorted(sorted(case.images) for case in cohort.cases) == [["flair"], ["flair", "t1"]]
    assert {str(case.name) for case in cohort.cases} == set(taken.converted)


def test_paths_without_dicom_go_through(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a_flair.nii.gz")
    taken = take_in([tmp_path / "a_flair.nii.gz"], tmp_path / "out", execution=QUIET)
    assert taken.paths == (tmp_path / "a_flair.nii.gz",)
    assert not (tmp_path / "out").exists()


def test_dicom_beside_other_images_is_left_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_classic(tmp_path / "in" / "dicom", volume(), AFFINE)
    write_nifti(tmp_path / "in" / "a_flair.nii.gz")
    taken = take_in(tmp_path / "in", tmp_path / "out", execution=QUIET)
    assert taken.paths == (tmp_path / "in",)
    assert any("give its folder alone" in text for text in caplog.messages)
    text = describe(tmp_path / "in", Selection())
    assert "flair (by its description)" in text
    assert "cases    1" in text
    assert convert(tmp_path / "in", tmp_path / "out", execution=QUIET).converted


def test_icons_beside_dicom_are_no_scans(tmp_path: Path) -> None:
    from PIL import Image

    write_classic(tmp_path / "in", volume(), AFFINE)
    Image.new("L", (20, 20), 7).save(tmp_path / "in" / "viewer.png")
    taken = take_in(tmp_path / "in", tmp_path / "out", execution=QUIET)
    assert taken.paths == tuple(tmp_path / "out" / case for case in taken.converted)


def test_describing_writes_nothing(tmp_path: Path) -> None:
    write_classic(tmp_path / "in", volume(), AFFINE)
    before = sorted(tmp_path.rglob("*"))
    assert "flair" in describe(tmp_path / "in", Selection())
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bad_study_does_not_stop_the_others(tmp_path: Path) -> None:
    good, bad = Study(name="good"), Study(name="bad")
    write_classic(tmp_path / "in" / "good", volume(), AFFINE, study=good)
    write_classic(tmp_path / "in" / "bad", volume(), AFFINE, study=bad, missing=(4, 5))
    taken = take_in(tmp_path / "in", tmp_path / "out", execution=QUIET)
    assert len(taken.converted) == 1
    (reason,) = taken.failed.values()
    assert "2 of 12 slices are missing" in reason


def test_a_modality_that_is_not_there_is_said_with_what_is(tmp_path: Path) -> None:
    write_classic(tmp_path / "in", volume(), AFFINE, series=T2)
    selection = Selection(modalities=("flair",))
    with pytest.raises(InputError, match="no flair in the study; it holds t2"):
        take_in(tmp_path / "in", tmp_path / "out", selection=selection, execution=QUIET)


def test_nothing_but_screenshots_is_one_line(tmp_path: Path) -> None:
    write_screenshot(tmp_path / "in" / "a")
    with pytest.raises(InputError, match="no series that can be used"):
        take_in(tmp_path / "in", tmp_path / "out", execution=QUIET)


def test_what_was_converted_under_another_modality_goes(tmp_path: Path) -> None:
    unknown = Series("AX BRAIN", 3, 25.0, 4.0, None, ("GR",))
    write_classic(tmp_path / "in", volume(), AFFINE, series=unknown)
    for modality in ("flair", "t1"):
        selection = Selection(modalities=(modality,))
        taken = take_in(tmp_path / "in", tmp_path / "out", selection=selection, execution=QUIET)
    (case,) = find_all(taken.paths).cases
    assert list(case.images) == ["t1"]


def test_two_paths_with_a_modality_of_one_study_do_not_replace_each_other(tmp_path: Path) -> None:
    write_classic(tmp_path / "a", volume(), AFFINE)
    write_classic(tmp_path / "b", volume(), AFFINE, series=Series("flair sag", 9))
    for _ in range(2):
        taken = take_in([tmp_path / "a", tmp_path / "b"], tmp_path / "out", execution=QUIET)
        (reason,) = taken.failed.values()
        assert "another flair of the same study" in reason
        (path,) = taken.paths
        assert SeriesRecord.read(next(path.glob("*.json"))).source == str(tmp_path / "a")


def test_what_a_killed_conversion_left_is_cleared(tmp_path: Path) -> None:
    write_classic(tmp_path / "in", volume(), AFFINE)
    (case,) = convert(tmp_path / "in", tmp_path / "out", execution=QUIET).converted
    image = tmp_path / "out" / case / f"{case}_flair.nii.gz"
    part = image.with_name(f".part-0123abcd-{image.name}")
    image.rename(part)
    convert(tmp_path / "in", tmp_path / "out", execution=QUIET)
    assert image.is_file()
    assert not part.exists()


def test_a_folder_without_dicom_is_not_converted(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a_flair.nii.gz")
    with pytest.raises(InputError, match="no DICOM files there"):
        convert(tmp_path, tmp_path / "out", execution=QUIET)


def test_a_file_alone_is_a_study(tmp_path: Path) -> None:
    from dicom_studies import write_enhanced

    path = write_enhanced(tmp_path / "IM0001", volume(), AFFINE, series=FLAIR)
    taken = convert(path, tmp_path / "out", execution=QUIET)
    assert len(taken.converted) == 1
