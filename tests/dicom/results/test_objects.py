"""DICOM objects of results, looked at by tools that are not ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dicom_studies as studies
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from pipeline.cases.loop import QUIET
from pipeline.dicom.results.objects import parametric_map, segmentation, summary
from pipeline.dicom.results.source import on_slices, opened_source
from pipeline.errors import InputError
from pipeline.files.record.series import SeriesRecord
from pipeline.study.intake import convert

SHAPE = (24, 30, 16)
AFFINE = np.array([[8.0, 0, 0, -90], [0, 7.0, 0, -100], [0, 0, 9.0, -70], [0, 0, 0, 1]])
TURN = 0.3
OBLIQUE = np.array(
    [
        [8.0, 0, 0, -90],
        [0, 7.0 * np.cos(TURN), -9.0 * np.sin(TURN), -80],
        [0, 7.0 * np.sin(TURN), 9.0 * np.cos(TURN), -90],
        [0, 0, 0, 1],
    ]
)


def required(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        if os.environ.get("ANOMAP_REQUIRE_HOSPITAL"):
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed (Debian)")
    return found


def errors_of(path: Path) -> list[str]:
    """What dciodvfy calls an error."""
    done = subprocess.run([required("dciodvfy"), path], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "dciodvfy said nothing"
    return [line for line in lines if line.startswith("Error")]


def volumes(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A mask and a map without any symmetry."""
    mask = np.zeros(shape, bool)
    n = np.array(shape)
    mask[tuple(slice(*(n[k] // 4, n[k] // 2 + k)) for k in range(3))] = True
    mask[tuple(n // 5)] = True
    return mask, np.random.default_rng(1).random(shape).astype(np.float32)


@pytest.fixture(
    scope="module",
    params=["axial", "sagittal", "coronal", "oblique", "enhanced", "enhanced backwards"],
)
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The NIfTI of a study."""
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "_"))
    data = np.random.default_rng(0).integers(1, 900, SHAPE).astype(np.int16)
    affine = OBLIQUE if request.param == "oblique" else AFFINE
    if request.param.startswith("enhanced"):
        backwards = request.param.endswith("backwards")
        studies.write_enhanced(folder / "in" / "image.dcm", data, affine, backwards=backwards)
    else:
        plane = "axial" if request.param == "oblique" else request.param
        studies.write_classic(folder / "in", data, affine, plane=plane)
    convert([folder / "in"], folder / "out", execution=QUIET)
    (path,) = (folder / "out").glob("*/*_flair.nii.gz")
    return path


def saved(dataset: Any, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def record_of(path: Path) -> SeriesRecord:
    record = SeriesRecord.beside(path)
    assert record is not None
    return record


def test_a_segmentation_lies_on_the_scan_voxel_by_voxel(converted: Path, tmp_path: Path) -> None:
    scan: Any = nib.load(converted)
    mask, _ = volumes(scan.shape)
    with opened_source(record_of(converted)) as source:
        on_source, resampled = on_slices(mask, scan.affine, source, order=0)
        path = saved(segmentation(on_source, source, "x"), tmp_path / "seg.dcm")
        first = source.datasets[0]
    assert not resampled
    assert errors_of(path) == []
    grid = sitk.ReadImage(str(converted))
    image = sitk.ReadImage(str(read_by_dcmqi(path, tmp_path / "itk")))
    on_grid = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(on_grid).T > 0, mask)
    assert np.count_nonzero(sitk.GetArrayFromImage(image)) == mask.sum()
    made = pydicom.dcmread(path)
    for key in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert made[key].value == first[key].value
    assert made.SeriesInstanceUID != first.SeriesInstanceUID
    (segment,) = made.SegmentSequence
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "anomap"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "52988006"
    (referred,) = made.ReferencedSeriesSequence
    assert referred.SeriesInstanceUID == first.SeriesInstanceUID


def read_by_dcmqi(path: Path, folder: Path) -> Path:
    """The segmentation as an image, made by dcmqi."""
    folder.mkdir()
    program = Path(sys.executable).parent / "segimage2itkimage"
    words = ["--inputDICOM", path, "--outputDirectory", folder, "--outputType", "nrrd"]
    done = subprocess.run([program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (image,) = folder.glob("*.nrrd")
    return image


def test_a_parametric_map_holds_the_map(converted: Path, tmp_path: Path) -> None:
    scan: Any = nib.load(converted)
    _, anomaly_map = volumes(scan.shape)
    with opened_source(record_of(converted)) as source:
        on_source, _ = on_slices(anomaly_map, scan.affine, source, order=1)
        path = saved(parametric_map(on_source, 0.5, source, "x"), tmp_path / "map.dcm")
        affine = source.affine
    assert errors_of(path) == []
    made = pydicom.dcmread(path)
    pixels = made.pixel_array
    assert pixels.dtype == np.float32
    order = []
    for frame in made.PerFrameFunctionalGroupsSequence:
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        place = np.linalg.solve(affine, [*(position * [-1, -1, 1]), 1])
        np.testing.assert_allclose(place[:2], 0, atol=1e-2)
        order.append(round(place[2]))
    assert sorted(order) == list(range(len(on_source)))
    np.testing.assert_array_equal(pixels, on_source[order])
    assert float(pixels.sum()) == pytest.approx(float(anomaly_map.sum()), rel=1e-5)


def test_a_summary_is_a_picture_of_the_study(converted: Path, tmp_path: Path) -> None:
    page = np.random.default_rng(0).integers(0, 255, (60, 90, 3)).astype(np.uint8)
    with opened_source(record_of(converted)) as source:
        path = saved(summary(page, source, "x"), tmp_path / "summary.dcm")
    assert errors_of(path) == []
    made = pydicom.dcmread(path)
    np.testing.assert_array_equal(made.pixel_array, page)
    assert "Research only" in made.ImageComments


def test_an_empty_mask_is_a_segmentation_too(converted: Path, tmp_path: Path) -> None:
    with opened_source(record_of(converted)) as source:
        nothing = np.zeros(source.shape[::-1], bool)
        path = saved(segmentation(nothing, source, "x"), tmp_path / "seg.dcm")
    assert errors_of(path) == []
    assert not pydicom.dcmread(path).pixel_array.any()


def test_the_same_result_has_the_same_identity_and_another_has_not(converted: Path) -> None:
    with opened_source(record_of(converted)) as source:
        mask = np.ones(source.shape[::-1], bool)
        uids = [segmentation(mask, source, c).SOPInstanceUID for c in ("a", "a", "b")]
    assert uids[0] == uids[1] != uids[2]


def test_a_volume_on_another_grid_is_resampled_and_said(converted: Path) -> None:
    scan: Any = nib.load(converted)
    moved = scan.affine.copy()
    moved[:3, 3] += 3.0
    mask, _ = volumes(scan.shape)
    with opened_source(record_of(converted)) as source:
        _, resampled = on_slices(mask, moved, source, order=0)
    assert resampled


def test_files_that_are_gone_or_others_are_named(converted: Path, tmp_path: Path) -> None:
    record = record_of(converted)
    gone = record.model_copy(update={"source": str(tmp_path / "gone")})
    with pytest.raises(InputError, match="are gone"), opened_source(gone):
        pass
    source = Path(record.source)
    copy = tmp_path / "copy"
    shutil.copytree(source, copy) if source.is_dir() else None
    first = record.files[0].path
    dataset = pydicom.dcmread(copy / first)
    dataset.SOPInstanceUID = studies.made_uid("another")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(copy / first)
    other = record.model_copy(update={"source": str(copy)})
    with pytest.raises(InputError, match="other DICOM objects"), opened_source(other):
        pass
