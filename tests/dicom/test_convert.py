"""A converted series is the volume that its slices were cut from, or a refusal."""

from __future__ import annotations

import gzip
import stat
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_studies import FLAIR, Study, stored, write_classic, write_enhanced
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from pipeline.dicom import convert
from pipeline.dicom.convert import convert_series
from pipeline.dicom.study import opened_studies
from pipeline.errors import InputError
from pipeline.files.names import series_record
from pipeline.files.record.series import SeriesRecord, notes_of_series

pytest.importorskip("dcm2niix")

OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.1, 0.2, -0.15) @ np.diag([-3.0, 3.5, 5.0]), [10, -20, 30]
)
AFFINES = {
    "LAS": np.diag([-4.0, 4.0, 5.0, 1.0]),
    "RAS": np.diag([4.0, 4.0, 5.0, 1.0]),
    "PSR": nib.affines.from_matvec([[0, 0, 3.0], [-4.0, 0, 0], [0, 5.0, 0]], [1, 2, 3]),
    "oblique": OBLIQUE,
}


def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, (24, 20, 12)).astype(np.float64)


def converted(source: Path, out: Path) -> tuple[Path, SeriesRecord]:
    path = out / "case_flair.nii.gz"
    with opened_studies(source) as found:
        record = convert_series(found.studies[0].used["flair"], source, path)
    return path, record


def assert_same_volume(path: Path, data: np.ndarray, affine: np.ndarray) -> None:
    made = nib.as_closest_canonical(nib.load(path))
    expected = nib.as_closest_canonical(nib.Nifti1Image(stored(data), affine))
    np.testing.assert_array_equal(np.asanyarray(made.dataobj), np.asanyarray(expected.dataobj))
    np.testing.assert_allclose(made.affine, expected.affine, atol=1e-3)


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("plane", ["axial", "sagittal", "coronal"])
@pytest.mark.parametrize("is_enhanced", [False, True])
def test_the_voxels_are_those_of_the_slices(
    tmp_path: Path, name: str, plane: str, is_enhanced: bool
) -> None:
    affine = AFFINES[name]
    if is_enhanced:
        write_enhanced(tmp_path / "in" / "e", volume(), affine, plane=plane, backwards=True)
    else:
        write_classic(tmp_path / "in", volume(), affine, plane=plane)
    path, record = converted(tmp_path / "in", tmp_path / "out")
    assert_same_volume(path, volume(), affine)
    assert_slices_are_those_of_the_record(path, record)


def assert_slices_are_those_of_the_record(path: Path, record: SeriesRecord) -> None:
    image = nib.load(path)
    voxels = np.asanyarray(image.dataobj)
    assert len(record.files) == image.shape[2]
    for k, source in enumerate(record.files):
        dataset = pydicom.dcmread(Path(record.source) / source.path)
        pixels = (
            dataset.pixel_array if source.frame is None else dataset.pixel_array[source.frame - 1]
        )
        assert str(dataset.SOPInstanceUID) == source.sop_instance_uid
        # The rows of DICOM go down, the second axis of dcm2niix up.
        np.testing.assert_array_equal(voxels[:, ::-1, k].T, pixels)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_compressed_slices_are_read(tmp_path: Path, syntax: str) -> None:
    try:
        write_classic(tmp_path / "in", volume(), AFFINES["LAS"], transfer_syntax=syntax)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        pytest.skip(f"pydicom cannot write it here: {error}")
    path, _ = converted(tmp_path / "in", tmp_path / "out")
    assert_same_volume(path, volume(), AFFINES["LAS"])


def test_slices_that_are_there_twice_and_names_of_any_kind_change_nothing(tmp_path: Path) -> None:
    write_classic(
        tmp_path / "in", volume(), AFFINES["LAS"], twice=(2, 5), names="{:03d} -o ;$(x)\n'ü"
    )
    path, record = converted(tmp_path / "in", tmp_path / "out")
    assert_same_volume(path, volume(), AFFINES["LAS"])
    assert any("2 slices twice at one place" in note for note in record.notes)
    assert notes_of_series(path) == record.notes


def test_nothing_of_a_person_is_in_what_is_written(tmp_path: Path) -> None:
    write_classic(tmp_path / "in", volume(), AFFINES["LAS"], study=Study("ID4711", "Doe^Jane"))
    path, _ = converted(tmp_path / "in", tmp_path / "out")
    written = gzip.decompress(path.read_bytes()) + series_record(path).read_bytes()
    for secret in (b"Doe", b"Jane", b"ID4711", b"19500101", b"20240102", b"101112", b"Doctor"):
        assert secret not in written


def test_what_is_converted_is_not_converted_again(tmp_path: Path) -> None:
    write_classic(tmp_path / "in", volume(), AFFINES["LAS"])
    path, _ = converted(tmp_path / "in", tmp_path / "out")
    before = path.stat().st_mtime_ns
    converted(tmp_path / "in", tmp_path / "out")
    assert path.stat().st_mtime_ns == before
    path.write_bytes(path.read_bytes()[:100])  # torn
    converted(tmp_path / "in", tmp_path / "out")
    assert_same_volume(path, volume(), AFFINES["LAS"])


def test_a_slice_more_makes_another_image(tmp_path: Path) -> None:
    write_classic(tmp_path / "in", volume(), AFFINES["LAS"], missing=(11,))
    path, _ = converted(tmp_path / "in", tmp_path / "out")
    assert nib.load(path).shape == (24, 20, 11)
    write_classic(tmp_path / "in", volume(), AFFINES["LAS"])
    path, _ = converted(tmp_path / "in", tmp_path / "out")
    assert nib.load(path).shape == (24, 20, 12)


def test_a_file_that_is_not_ours_stays(tmp_path: Path) -> None:
    write_classic(tmp_path / "in", volume(), AFFINES["LAS"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "case_flair.nii.gz").write_text("mine")
    with pytest.raises(InputError, match="did not write"):
        converted(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "case_flair.nii.gz").read_text() == "mine"


FAILING = {
    "exit 3": "exit 3",
    "nothing": "echo 'Error: bad' >&2",
    "two": 'touch "$o/a.nii" "$o/b.nii"',
}


@pytest.mark.parametrize("script", FAILING.values(), ids=FAILING.keys())
def test_a_converter_that_fails_is_one_line_and_leaves_nothing(
    tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dcm2niix"
    program.write_text(f'#!/bin/sh\nfor i; do [ "$p" = -o ] && o="$i"; p="$i"; done\n{script}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(convert, "_program", lambda: str(program))
    write_classic(tmp_path / "in", volume(), AFFINES["LAS"])
    with pytest.raises(InputError, match=r"series 5 .*dcm2niix made \d images"):
        converted(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_converter_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dcm2niix"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(convert, "_program", lambda: str(program))
    monkeypatch.setattr(convert, "MAX_CONVERSION_SECONDS", 0.2)
    write_classic(tmp_path / "in", volume(), AFFINES["LAS"])
    with pytest.raises(InputError, match=r"did not end within 0\.2 s"):
        converted(tmp_path / "in", tmp_path / "out")


def test_slices_in_each_others_place_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_classic(tmp_path / "in", volume(), AFFINES["LAS"])
    run = convert._run

    def swapped(*given: Any) -> Path:
        path = run(*given)
        image = nib.load(path)
        voxels = np.array(image.dataobj)
        voxels[:, :, [3, 4]] = voxels[:, :, [4, 3]]
        nib.save(nib.Nifti1Image(voxels, image.affine), tmp_path / "other.nii")
        return tmp_path / "other.nii"

    monkeypatch.setattr(convert, "_run", swapped)
    with pytest.raises(InputError, match="slice 4 as converted by dcm2niix is not what IM0004"):
        converted(tmp_path / "in", tmp_path / "out")


def test_another_grid_than_the_headers_say_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_classic(tmp_path / "in", volume(), AFFINES["LAS"], series=FLAIR)
    other = tmp_path / "other.nii"

    def stretched(*_: object) -> Path:
        affine = np.diag([-4.0, 4.0, 6.0, 1.0])
        nib.save(nib.Nifti1Image(stored(volume()), affine), other)
        return other

    monkeypatch.setattr(convert, "_run", stretched)
    with pytest.raises(InputError, match="4 x 4 x 6 mm of it, its headers say 4 x 4 x 5"):
        converted(tmp_path / "in", tmp_path / "out")
