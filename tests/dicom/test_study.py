"""Studies as hospitals hand them over, whole and damaged: each gets a line, none a traceback."""

from __future__ import annotations

import os
import shutil
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_studies import (
    FLAIR,
    T1,
    T1CE,
    T2,
    Series,
    Study,
    write_classic,
    write_enhanced,
    write_localiser,
    write_screenshot,
)

from pipeline.dicom.search import holds_dicom, study_files
from pipeline.dicom.study import Studies, describe, format_studies, opened_studies
from pipeline.errors import InputError

AFFINE = np.diag([-4.0, -4.0, 5.0, 1.0])
SHAPE = (24, 20, 12)


def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, SHAPE).astype(np.float64)


def opened(path: Path, modalities: tuple[str, ...] | None = None) -> Studies:
    with opened_studies(path, modalities) as found:
        return found


def the_line(path: Path) -> str:
    """Of the only series."""
    (study,) = opened(path).studies
    (series,) = study.series
    return describe(series)


def test_a_mixed_folder_is_sorted_into_series(tmp_path: Path) -> None:
    for series in (FLAIR, T1, T1CE, T2):
        write_classic(
            tmp_path, volume(), AFFINE, series=series, names=f"IM{series.number}" + "{:03d}"
        )
    write_localiser(tmp_path)
    write_screenshot(tmp_path / "shot")
    (study,) = opened(tmp_path).studies
    assert sorted(study.used) == ["flair", "t1", "t1ce", "t2"]
    left_out = {one.header.description: one.left_out for one in study.series if one.left_out}
    assert left_out["localizer"] == "a localiser"
    assert "secondary capture" in left_out["Screenshot"]


@pytest.mark.parametrize("plane", ["axial", "sagittal", "coronal"])
@pytest.mark.parametrize("is_enhanced", [False, True])
def test_plane_spacing_and_number_of_slices_are_told(
    tmp_path: Path, plane: str, is_enhanced: bool
) -> None:
    if is_enhanced:
        write_enhanced(tmp_path / "e", volume(), AFFINE, plane=plane, backwards=True)
    else:
        write_classic(tmp_path, volume(), AFFINE, plane=plane)
    shape, spacing = {
        "axial": ("24 x 20 x 12", "4 x 4 x 5"),
        "sagittal": ("20 x 12 x 24", "4 x 5 x 4"),
        "coronal": ("24 x 12 x 20", "4 x 5 x 4"),
    }[plane]
    line = the_line(tmp_path)
    assert f"{plane}, {shape}, {spacing} mm" in line
    assert ("multi-frame" in line) == is_enhanced


def test_missing_slices_are_counted(tmp_path: Path) -> None:
    write_classic(tmp_path, volume(), AFFINE, missing=(4, 5, 8))
    assert "3 of 12 slices are missing" in the_line(tmp_path)


def test_missing_frames_are_counted(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "e", volume(), AFFINE, missing=(4,))
    assert "1 of 12 slices are missing" in the_line(tmp_path)


def test_a_varying_distance_is_refused_with_its_range(tmp_path: Path) -> None:
    write_classic(tmp_path, volume(), AFFINE, moved_mm={6: 1.5})
    assert "varies from 3.50 to 6.50 mm" in the_line(tmp_path)


def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path: Path) -> None:
    write_classic(tmp_path, volume(), AFFINE, shear_mm=5 * np.tan(np.radians(10)))
    assert "10.0 degrees (gantry tilt)" in the_line(tmp_path)


def test_slices_at_one_place_are_used_once(tmp_path: Path) -> None:
    write_classic(tmp_path, volume(), AFFINE, twice=(3, 7))
    line = the_line(tmp_path)
    assert "2 slices twice at one place" in line
    assert "24 x 20 x 12" in line
    assert "left out" not in line


def test_files_that_are_there_twice_are_used_once(tmp_path: Path) -> None:
    write_classic(tmp_path / "a", volume(), AFFINE)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    line = the_line(tmp_path)
    assert "12 files there twice" in line
    assert "left out" not in line


def test_a_time_series_is_left_out(tmp_path: Path) -> None:
    write_classic(tmp_path, volume(), AFFINE, twice=range(12))
    assert "2 images at each of 12 places" in the_line(tmp_path)


def test_of_two_series_of_one_modality_the_finer_is_used(tmp_path: Path) -> None:
    write_classic(tmp_path / "a", volume(), AFFINE)
    finer = Series("FLAIR 3D", 9)
    write_classic(tmp_path / "b", volume(), np.diag([-2.0, -2.0, 2.0, 1.0]), series=finer)
    (study,) = opened(tmp_path).studies
    assert study.used["flair"].header.series_number == 9
    assert "it is finer" in format_studies(opened(tmp_path))


def test_a_reformatted_series_is_used_only_where_there_is_no_other(tmp_path: Path) -> None:
    derived = ("ImageType", ["DERIVED", "SECONDARY", "MPR"])
    made = Series("flair cor mpr", 12, further=(derived,))
    finer = np.diag([-2.0, -2.0, 2.0, 1.0])
    write_classic(tmp_path / "b", volume(), finer, series=made)
    assert "computed from another series (mpr)" in the_line(tmp_path)
    write_classic(tmp_path / "a", volume(), AFFINE)
    (study,) = opened(tmp_path).studies
    assert study.used["flair"].header.series_number == 5


def test_a_series_in_doubt_is_taken_for_what_is_asked_for(tmp_path: Path) -> None:
    unknown = Series("AX BRAIN", 3, 25.0, 4.0, None, ("GR",))
    write_classic(tmp_path, volume(), AFFINE, series=unknown)
    assert "say it with --modality" in the_line(tmp_path)
    (study,) = opened(tmp_path, ("t1",)).studies
    assert sorted(study.used) == ["t1"]
    assert "as said" in study.used["t1"].notes[0]


def test_two_series_in_doubt_are_not_guessed_between(tmp_path: Path) -> None:
    for number in (3, 4):
        unknown = Series("AX BRAIN", number, 25.0, 4.0, None, ("GR",))
        write_classic(tmp_path / str(number), volume(), AFFINE, series=unknown)
    (study,) = opened(tmp_path, ("t1",)).studies
    assert not study.used


def test_studies_of_several_people_have_names_of_their_own(tmp_path: Path) -> None:
    for name in ("Doe^Jane", "Roe^Richard"):
        who = Study(patient_id=name, patient_name=name, name="first")
        write_classic(tmp_path / name, volume(), AFFINE, study=who)
    found = opened(tmp_path)
    names = [study.case for study in found.studies]
    assert len(set(names)) == 2
    assert not any("oe" in name for name in names)


def test_studies_without_an_identity_are_not_one(tmp_path: Path) -> None:
    for number in (1, 2):
        series = Series("flair", number, further=(("StudyInstanceUID", None),))
        write_classic(tmp_path / str(number), volume(), AFFINE, series=series)
    assert len(opened(tmp_path).studies) == 2


def test_the_name_of_a_case_does_not_depend_on_where_the_study_lies(tmp_path: Path) -> None:
    write_classic(tmp_path / "a", volume(), AFFINE)
    shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path / "a")
    (one,), (other,) = opened(tmp_path / "a").studies, opened(tmp_path / "b.zip").studies
    assert one.case == other.case
    assert one.used["flair"].fingerprint == other.used["flair"].fingerprint


def test_hostile_texts_stay_on_one_line(tmp_path: Path) -> None:
    hostile = "flair\n\x1b[31m../../etc \u202e<script>" + "x" * 40
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        series = Series("flair", 5, further=(("SeriesDescription", hostile),))
        write_classic(tmp_path, volume(), AFFINE, series=series)
    line = the_line(tmp_path)
    assert "\n" not in line
    assert "\x1b" not in line


# --- what is recognised ---------------------------------------------------------------------------


def test_files_without_a_preamble_are_read_and_said(tmp_path: Path) -> None:
    for path in write_classic(tmp_path, volume(), AFFINE):
        dataset = pydicom.dcmread(path)
        del dataset.file_meta
        dataset.preamble = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
    line = the_line(tmp_path)
    assert "lack the preamble" in line
    assert "flair" in line


def test_other_files_are_no_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no" * 200)
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "b.nii.gz").write_bytes(bytes(128) + b"DICM")
    assert not holds_dicom(tmp_path)
    write_screenshot(tmp_path / "deep" / "er" / "IM0001")
    assert holds_dicom(tmp_path)


def test_the_index_of_a_medium_stands_for_its_folder(tmp_path: Path) -> None:
    write_classic(tmp_path / "DICOM", volume(), AFFINE)
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert holds_dicom(tmp_path / "DICOMDIR")
    (study,) = opened(tmp_path / "DICOMDIR").studies
    assert list(study.used) == ["flair"]


def test_a_loop_of_links_is_walked_once(tmp_path: Path) -> None:
    write_classic(tmp_path / "a", volume(), AFFINE)
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert len(study_files(tmp_path).files) == 12


# --- damage ---------------------------------------------------------------------------------------


def damaged(tmp_path: Path, content: bytes, name: str = "IM0001") -> str:
    (tmp_path / name).write_bytes(content)
    found = opened(tmp_path)
    return format_studies(found)


def test_truncated_files_are_told(tmp_path: Path) -> None:
    path = write_classic(tmp_path, volume(), AFFINE)[3]
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    line = the_line(tmp_path)
    assert "1 of 12 slices cannot be used: announces 960 bytes of pixels and holds 860" in line


@pytest.mark.parametrize("length", [1, 130, 133, 200, 400, 700, 900])
def test_headers_that_break_off_are_told(tmp_path: Path, length: int) -> None:
    whole = write_classic(tmp_path / "a", volume(), AFFINE)[0].read_bytes()
    (tmp_path / "b").mkdir()
    text = damaged(tmp_path / "b", whole[:length], "x.dcm")
    assert "not read" in text or "left out" in text


def test_empty_files_are_told(tmp_path: Path) -> None:
    assert "x.dcm: an empty file" in damaged(tmp_path, b"", "x.dcm")


def test_a_file_that_cannot_be_read_is_noted_with_the_series_beside_it(tmp_path: Path) -> None:
    paths = write_classic(tmp_path, volume(), AFFINE)
    paths[-1].write_bytes(paths[-1].read_bytes()[:300])
    (study,) = opened(tmp_path).studies
    assert any("1 file beside it cannot be read" in one for one in study.used["flair"].notes)


def test_a_slice_that_does_not_fit_its_series_is_noted(tmp_path: Path) -> None:
    paths = write_classic(tmp_path, volume(), AFFINE)
    dataset = pydicom.dcmread(paths[-1])
    dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
    dataset.save_as(paths[-1], enforce_file_format=True)
    (study,) = opened(tmp_path).studies
    assert study.used["flair"].notes == (
        "1 slice of the series left out: 1 slice: too few for a brain",
    )


def test_a_wrong_number_of_rows_is_told(tmp_path: Path) -> None:
    series = Series("flair", 5, further=(("Rows", 4000),))
    write_classic(tmp_path, volume(), AFFINE, series=series)
    assert "announces 192,000 bytes of pixels and holds 960" in the_line(tmp_path)


def test_more_voxels_than_are_read_are_told(tmp_path: Path) -> None:
    huge = (("Rows", 65535), ("Columns", 65535))
    series = Series("flair", 5, further=huge)
    write_classic(tmp_path, volume(), AFFINE, series=series)
    assert "more than 536,870,912" in the_line(tmp_path)


def test_frames_that_are_announced_but_not_there_are_told(tmp_path: Path) -> None:
    series = Series("flair", 5, further=(("NumberOfFrames", 2_000_000_000),))
    write_enhanced(tmp_path / "e", volume(), AFFINE, series=series)
    assert "2,000,000,000 frames" in format_studies(opened(tmp_path))


def test_a_deflated_file_is_not_unpacked(tmp_path: Path) -> None:
    path = write_screenshot(tmp_path / "a")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    assert "deflated" in format_studies(opened(tmp_path))


def test_an_element_that_announces_gigabytes_is_told(tmp_path: Path) -> None:
    path = write_screenshot(tmp_path / "a")
    head = path.read_bytes()[:400]
    bomb = struct.pack("<HH2sHI", 0x0008, 0x103E, b"UT", 0, 0xFFFFFFF0)
    path.write_bytes(head[: head.index(b"\x08\x00\x05\x00")] + bomb + b"x" * 100)
    assert "not read" in format_studies(opened(tmp_path))


def test_sequences_inside_each_other_are_told(tmp_path: Path) -> None:
    path = write_screenshot(tmp_path / "a")
    head = path.read_bytes()
    head = head[: head.index(b"\x08\x00\x05\x00")]
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    sequence = struct.pack("<HH2sHI", 0x5200, 0x9229, b"SQ", 0, 0xFFFFFFFF)
    path.write_bytes(head + (sequence + item) * 20_000)
    assert "not read" in format_studies(opened(tmp_path))


def test_values_of_other_kinds_are_as_if_not_there(tmp_path: Path) -> None:
    for path in write_classic(tmp_path, volume(), AFFINE):
        content = path.read_bytes()
        start = content.index(b"\x20\x00\x32\x00DS")  # ImagePositionPatient
        length = struct.unpack("<H", content[start + 6 : start + 8])[0]
        value = (b"abc\\" * length)[:length]
        path.write_bytes(content[: start + 8] + value + content[start + 8 + length :])
    assert "do not say where they lie" in the_line(tmp_path)


# --- zips -----------------------------------------------------------------------------------------


def test_members_that_lead_elsewhere_are_unpacked_under_numbers(tmp_path: Path) -> None:
    paths = write_classic(tmp_path / "a", volume(), AFFINE)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for i, path in enumerate(paths):
            archive.write(path, f"../../../evil{i:02d}.dcm")
    before = set(tmp_path.parent.rglob("evil*"))
    (study,) = opened(tmp_path / "z.zip").studies
    assert study.used["flair"].slices[0].header.file.name == "../../../evil00.dcm"
    assert set(tmp_path.parent.rglob("evil*")) == before


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", bytes(128) + b"DICM" + bytes(1 << 26))
    assert "packed more than" in format_studies(opened(tmp_path / "z.zip"))


def test_a_torn_zip_is_refused_in_one_line(tmp_path: Path) -> None:
    write_classic(tmp_path / "a", volume(), AFFINE)
    path = Path(shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path / "a"))
    path.write_bytes(path.read_bytes()[:5000])
    assert holds_dicom(path)
    with pytest.raises(InputError, match="not a zip that can be read"):
        opened(path)


def test_what_was_unpacked_goes(tmp_path: Path) -> None:
    write_classic(tmp_path / "a", volume(), AFFINE)
    shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path / "a")
    with opened_studies(tmp_path / "b.zip") as found:
        place = found.studies[0].series[0].header.file.path
        assert place.is_file()
    assert not os.path.lexists(place)


def test_every_file_that_comes_with_pydicom_gets_a_line() -> None:
    root = Path(pydicom.__file__).parent / "data"
    found = opened(root)
    lines = format_studies(found).splitlines()
    assert len(found.studies) > 20
    assert found.unreadable
    assert all(line.isprintable() for line in lines)
