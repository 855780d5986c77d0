"""From files to maps: the same brain, stored in fourteen ways, is found to be the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dicom_studies as studies
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from brains import brain_with_lesion, centred_affine
from image_files import itk_image

from pipeline.cli.main import main

AFFINE, SHAPE = centred_affine(np.diag([4.0, 4.0, 5.0]))


def brain() -> np.ndarray:
    """A FLAIR with a bright lesion, whole numbers, ``SHAPE``."""
    return np.rint(brain_with_lesion(SHAPE, AFFINE))


def plain(path: Path, dtype: str = "int16") -> None:
    nib.save(nib.Nifti1Image(brain().astype(dtype), AFFINE), path)


def second_version(path: Path) -> None:
    nib.save(nib.Nifti2Image(brain().astype(np.int16), AFFINE), path)


def pair(path: Path) -> None:
    nib.save(nib.Nifti1Pair(brain().astype(np.int16), AFFINE), path)


def of_freesurfer(path: Path) -> None:
    nib.save(nib.MGHImage(brain().astype(np.int16), AFFINE), path)


def of_itk(path: Path) -> None:
    sitk.WriteImage(itk_image(brain().astype(np.int16), AFFINE), str(path))


def turned(path: Path, axes: str) -> None:
    image = nib.Nifti1Image(brain().astype(np.int16), AFFINE)
    there = nib.orientations.axcodes2ornt(tuple(axes))
    here = nib.orientations.io_orientation(AFFINE)
    nib.save(image.as_reoriented(nib.orientations.ornt_transform(here, there)), path)


def scaled(path: Path) -> None:
    """The file holds other numbers, with slope and intercept."""
    image = nib.Nifti1Image(((brain() - 100) * 2).astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.5, 100.0)  # then nibabel stores the numbers as they are
    nib.save(image, path)
    np.testing.assert_array_equal(nib.load(path).get_fdata(), brain())


def classic(folder: Path, plane: str = "axial") -> None:
    studies.write_classic(folder, brain(), AFFINE, study=a_study(folder), plane=plane)


def enhanced(folder: Path) -> None:
    studies.write_enhanced(folder / "frames.dcm", brain(), AFFINE, study=a_study(folder))


def a_study(folder: Path) -> studies.Study:
    return studies.Study(patient_id=folder.name, name=folder.name)


WAYS: dict[str, Callable[[Path], None]] = {
    "float_flair.nii": lambda path: plain(path, "float32"),
    "double_flair.nii.gz": lambda path: plain(path, "float64"),
    "unsigned_flair.nii.gz": lambda path: plain(path, "uint16"),
    "second_flair.nii.gz": second_version,
    "pair_flair.hdr": pair,
    "freesurfer_flair.mgz": of_freesurfer,
    "slicer_flair.nrrd": of_itk,
    "itk_flair.mha": of_itk,
    "lps_flair.nii.gz": lambda path: turned(path, "LPS"),
    "psr_flair.nii.gz": lambda path: turned(path, "PSR"),
    "scaled_flair.nii.gz": scaled,
    "classic": classic,
    "sagittal": lambda folder: classic(folder, "sagittal"),
    "enhanced": enhanced,
}


def canonical(path: Path) -> nib.Nifti1Image:
    image = nib.load(path)
    assert isinstance(image, nib.Nifti1Image)
    return nib.as_closest_canonical(image)


@pytest.mark.slow
def test_a_brain_stored_in_fourteen_ways_has_the_same_map(
    made_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [tmp_path / "plain_flair.nii.gz", *(tmp_path / name for name in WAYS)]
    plain(given[0])
    for path, (_, write) in zip(given[1:], WAYS.items(), strict=True):
        write(path)
    out = tmp_path / "out"
    words = ["detect", *given, "--modality", "flair", "--model", made_run, "-o", out]
    assert main([str(word) for word in words]) == 0, capsys.readouterr().err
    folders = sorted(path.parent for path in out.glob("*/result.json"))
    assert len(folders) == len(given)
    expected = canonical(out / "plain" / "anomaly.nii.gz")
    reference = expected.get_fdata()
    assert reference.std() > 0
    for folder in folders:
        found = canonical(folder / "anomaly.nii.gz")
        np.testing.assert_allclose(found.affine, expected.affine, atol=1e-3, err_msg=folder.name)
        correlation = np.corrcoef(found.get_fdata().ravel(), reference.ravel())[0, 1]
        assert correlation > 0.999, (folder.name, correlation)
        mask = canonical(folder / "mask.nii.gz").get_fdata()
        differing = mask != canonical(out / "plain" / "mask.nii.gz").get_fdata()
        assert differing.sum() <= 0.001 * mask.size, folder.name
