"""Volumes of other formats than NIfTI, and DICOM studies: plain ones, odd ones, damaged ones."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from random import Random
from typing import Any

import dicom_studies as studies
import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
from foreign.drawn_bytes import ODD_INTEGERS, ODD_NUMBERS, chance, damaged, noise_bytes
from image_files import itk_image

OF_ONE_FILE = (".mgz", ".mgh", ".nrrd", ".mha")
OF_TWO_FILES = {".hdr": ".img", ".nhdr": ".raw", ".mhd": ".raw"}
_KINDS = (np.int16, np.uint8, np.float32)


def other_volume(rng: Random, folder: Path) -> tuple[Path, int]:
    """A volume of another format in a folder, and the number of bytes that it holds unpacked."""
    ending = rng.choice((*OF_ONE_FILE, *OF_TWO_FILES))
    data, affine = _volume(rng)
    path = folder / f"case_flair{ending}"
    _write(path, data, affine)
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        if chance(rng, 0.4):
            content = _odd_text(rng, content) if _is_text(content) else content
        if chance(rng, 0.3):
            content = damaged(rng, content)
        if chance(rng, 0.02):
            content = noise_bytes(rng, 500)
        file.write_bytes(content)
    voxels = path.with_suffix(OF_TWO_FILES.get(ending, ending))
    if voxels != path and chance(rng, 0.1):
        voxels.unlink()
    return path, 4 * data.nbytes


def _volume(rng: Random) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(rng.getrandbits(32))
    shape = [rng.choice((1, 2, 6, 9, 12)) for _ in range(3)]
    affine = np.diag([*(rng.choice((1.0, 18.0, 24.0)) for _ in range(3)), 1.0])
    affine[:3, 3] = [rng.uniform(-90, 90) for _ in range(3)]
    data = draws.uniform(0, 200, shape).astype(rng.choice(_KINDS))
    if data.dtype == np.float32 and chance(rng, 0.2):
        data.flat[0] = rng.choice((np.nan, np.inf, 1e38))
    return data, affine


def _write(path: Path, data: np.ndarray, affine: np.ndarray) -> None:
    ending = path.suffix
    if ending in (".mgz", ".mgh"):
        nib.save(nib.MGHImage(data, affine), path)
    elif ending == ".hdr":
        nib.save(nib.Nifti1Pair(data, affine), path)
    else:
        sitk.WriteImage(itk_image(data, affine), str(path))


def _is_text(content: bytes) -> bool:
    return content[:4] in (b"NRRD", b"Obje")


def _odd_text(rng: Random, content: bytes) -> bytes:
    """A text header with one value changed, a line twice, or a line less."""
    head, rest = content[:600], content[600:]
    lines = head.split(b"\n")
    at = rng.randrange(len(lines))
    key, mark, value = lines[at].partition(b"=" if b"=" in lines[at] else b":")
    numbers = [str(rng.choice((*ODD_NUMBERS, *ODD_INTEGERS))).encode() for _ in range(3)]
    odd = (
        b" ".join(numbers),
        numbers[0],
        b"",
        b"../../../etc/passwd",
        b"LIST",
        b"0 0 0",
        b"-6 6 6",
    )
    changed = key + mark + b" " + rng.choice((*odd, value + value, value[::-1]))
    lines[at : at + 1] = rng.choice(([changed], [changed], [changed], [lines[at]] * 2, []))
    return b"\n".join(lines) + rest


# --- DICOM ---------------------------------------------------------------------------------------


_TAGS = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "SamplesPerPixel", "InstanceNumber"),
    *("SeriesInstanceUID", "StudyInstanceUID", "SOPInstanceUID", "SOPClassUID", "Modality"),
    *("SliceThickness", "SpacingBetweenSlices", "RepetitionTime", "EchoTime", "InversionTime"),
    *("ImageType", "SeriesDescription", "PhotometricInterpretation", "PixelData", "PatientName"),
    *("PatientID", "FrameOfReferenceUID", "SeriesNumber", "NumberOfFrames", "RescaleSlope"),
)
_VALUES: tuple[Any, ...] = (
    *("", "1", "-1", "0", "1e400", "nan", "x" * 300, "\x1b[31m", "../../x", "1\\2\\3", "\u202ex"),
    *(0, 1, -1, 65535, 2**31, 0.0, -1.0, 1e300, None, b"", b"\0\1", [1, 2], ["a", "b"]),
)


def dicom_study(rng: Random, folder: Path) -> int:
    """A study of one or two series in a folder; the number of bytes that it holds."""
    affine = np.diag([24.0, 24.0, 24.0, 1.0])
    affine[:3, 3] = -100
    draws = np.random.default_rng(rng.getrandbits(32))
    data = np.rint(draws.uniform(0, 900, (8, 9, 7)))
    study = studies.Study(patient_id="P1", name=str(rng.getrandbits(16)))
    for number, series in enumerate(rng.sample([studies.FLAIR, studies.T1], rng.choice((1, 1, 2)))):
        place = folder / f"series{number}"
        if chance(rng, 0.3):
            studies.write_enhanced(place / "frames.dcm", data, affine, study=study, series=series)
        else:
            studies.write_classic(place, data, affine, study=study, series=series)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in rng.sample(files, min(len(files), rng.choice((0, 1, 1, 2, 100)))):
            _spoil(rng, path)
    return sum(path.stat().st_size for path in files)


def _spoil(rng: Random, path: Path) -> None:
    if chance(rng, 0.3):
        path.write_bytes(damaged(rng, path.read_bytes()))
        return
    dataset = pydicom.dcmread(path)
    for tag in rng.sample(_TAGS, rng.choice((1, 1, 2))):
        try:
            if chance(rng, 0.3):
                dataset.pop(tag, None)
            else:
                setattr(dataset, tag, rng.choice(_VALUES))
            with tempfile.TemporaryFile() as file:
                dataset.save_as(file)
        except Exception:  # what pydicom does not write is not in the world either
            dataset = pydicom.dcmread(path)
            continue
    dataset.save_as(path)
