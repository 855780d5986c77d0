"""A series to NIfTI by dcm2niix, checked against what its headers say.

dcm2niix gets the files of one series alone, by links in a folder of its own, and writes into
another; what it made is moved to its place only where its grid is that of the headers.
"""

from __future__ import annotations

import gzip
import importlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np

from pipeline.dicom.geometry import Stack, normal_of
from pipeline.dicom.modality import AS_SAID, BY_DESCRIPTION
from pipeline.dicom.pixels import check_pixels
from pipeline.dicom.search import is_zip
from pipeline.dicom.series import Series
from pipeline.errors import InputError
from pipeline.files.identity import content_hash
from pipeline.files.limits import MAX_CONVERSION_SECONDS
from pipeline.files.names import series_record
from pipeline.files.record.series import SeriesRecord, SliceSource
from pipeline.files.scratch import remove_scratch, scratch_folder
from pipeline.files.texts import brief
from pipeline.files.writing import write_atomically

PLACE_SHARE = 0.05
"""Of the distance of slices, by which one may lie elsewhere than its header says."""
SPACING_SHARE = 0.01
"""By which spacings may differ from those of the headers."""
_EXTRA = "pip install 'anomap[dicom]'"
# Fields of a NIfTI-1 header that dcm2niix fills with times, comments and names.
_TEXT_FIELDS = ((14, 18), (148, 80), (228, 24), (328, 16))
_TO_LPS = np.array([-1.0, -1.0, 1.0])


def require(name: str) -> ModuleType:
    """A package of the extra ``dicom``.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"DICOM needs a further package ({name}): {_EXTRA}") from error


def convert_series(series: Series, source: Path, image_path: Path) -> SeriesRecord:
    """Write the NIfTI of a series, and its record; nothing where both are there already.

    Args:
        series: one that is not left out.
        source: the folder or zip that it was found in, absolute.
        image_path: ``<case>_<modality>.nii.gz``.

    Raises:
        InputError: dcm2niix is missing, fails, or makes something else of it than the headers say;
            or the files cannot be written.
    """
    if (there := _already(series, image_path)) is not None:
        return there
    scratch = scratch_folder()
    try:
        made = _run(series, scratch)
        order = _checked_order(series, made)
        _write(made, image_path)
    finally:
        remove_scratch(scratch)
    record = SeriesRecord(
        study_uid=series.study_uid,
        series_uid=series.header.series_uid,
        frame_of_reference_uid=series.header.frame_of_reference_uid,
        modality=series.modality,
        series_description=series.header.description,
        source=str(source if source.is_dir() or is_zip(source) else source.parent),
        files=tuple(_source_of(series, index) for index in order),
        fingerprint=series.fingerprint,
        sha256=content_hash(image_path),
        notes=(*_notes_of_modality(series), *series.notes),
    )
    record.write(series_record(image_path))
    return record


def _already(series: Series, image_path: Path) -> SeriesRecord | None:
    """The record of a former conversion of the same files, where the image is as it left it."""
    try:
        record = SeriesRecord.beside(image_path)
        if record is None or record.fingerprint != series.fingerprint:
            return None
        return record if content_hash(image_path) == record.sha256 else None
    except (InputError, OSError):
        return None


def _notes_of_modality(series: Series) -> tuple[str, ...]:
    is_plain = series.why_modality in (BY_DESCRIPTION, AS_SAID)
    return () if is_plain else (f"taken for {series.modality}: {series.why_modality}",)


def _source_of(series: Series, index: int) -> SliceSource:
    header, frame = series.slices[index]
    return SliceSource(
        path=header.file.name, sop_instance_uid=header.sop_instance_uid, frame=frame.number
    )


# --- dcm2niix -------------------------------------------------------------------------------------


def _run(series: Series, scratch: Path) -> Path:
    """The one image that dcm2niix makes of a series, not compressed."""
    given, made = scratch / "in", scratch / "out"
    given.mkdir()
    made.mkdir()
    for number, header in enumerate(series.files):
        _link(header.file.path, given / f"{number:06d}.dcm")
    # As it is stored: no sidecar, no rotation, no compression, slices of one series in one image.
    options = ["-b", "n", "-x", "i", "-z", "n", "-m", "y", "-l", "o", "-f", "image"]
    command = [_program(), *options, "-o", str(made), str(given)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=MAX_CONVERSION_SECONDS,
            check=False,
            env={"HOME": str(scratch), "PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"{series.title}: dcm2niix did not end within {MAX_CONVERSION_SECONDS} s"
        ) from error
    except OSError as error:
        raise InputError(f"dcm2niix cannot be started ({error.strerror}): {_EXTRA}") from error
    images = sorted(made.glob("*.nii"))
    if done.returncode != 0 or len(images) != 1:
        raise InputError(_said(series, done, images))
    return images[0]


def _said(series: Series, done: subprocess.CompletedProcess[bytes], images: Sequence[Path]) -> str:
    lines = (done.stdout + b"\n" + done.stderr).decode(errors="replace").splitlines()
    told = [line for line in lines if "rror" in line or "arning" in line or "nable" in line]
    reason = brief(told[0] if told else f"status {done.returncode}")
    n = len(images)
    return f"{series.title}: dcm2niix made {n} images of it rather than one ({reason})"


def _program() -> str:
    """The path of dcm2niix: of its wheel, or as installed.

    Raises:
        InputError: there is none.
    """
    try:
        found = str(getattr(require("dcm2niix"), "bin", ""))
    except InputError:
        found = ""
    program = found if found and Path(found).is_file() else shutil.which("dcm2niix")
    if not program:
        raise InputError(f"DICOM needs dcm2niix: {_EXTRA}")
    return program


def _link(path: Path, place: Path) -> None:
    try:
        place.symlink_to(path.resolve())
    except OSError:  # file systems and users that have no links
        shutil.copyfile(path, place)


# --- what it made ---------------------------------------------------------------------------------


def _checked_order(series: Series, image_path: Path) -> list[int]:
    """Index into the slices of the series of each slice of the image.

    Raises:
        InputError: it is no image of these slices.
    """
    stack = series.stack
    assert stack is not None, "a series without places is left out"
    image: Any = nib.load(image_path)
    header = series.header
    expected = (header.columns, header.rows, len(series.slices))
    if image.shape != expected:
        raise _another(series, f"{_times(image.shape)} voxels", f"{_times(expected)}")
    spacing = nib.affines.voxel_sizes(image.affine)
    if not np.allclose(spacing, stack.spacing_mm, rtol=SPACING_SHARE):
        raise _another(series, f"{_times(spacing)} mm", f"{_times(stack.spacing_mm)}")
    order = _order(series, stack, image.affine)
    check_pixels(series, image, order)
    return order


def _order(series: Series, stack: Stack, affine: np.ndarray) -> list[int]:
    """By the place along the normal of the first voxel of each slice."""
    normal = normal_of(series.slices[0].frame.orientation)
    n_slices = len(series.slices)
    first = affine[:3, 3] * _TO_LPS
    step = affine[:3, 2] * _TO_LPS
    # The first voxel of a slice is at another corner than DICOM's, but on the same plane.
    places = (first + np.arange(n_slices)[:, None] * step) @ normal
    given = np.array(stack.places_mm)
    order = np.abs(places[:, None] - given).argmin(axis=1)
    off = float(np.abs(places - given[order]).max())
    if len(set(order.tolist())) < n_slices or off > PLACE_SHARE * stack.spacing_mm[2]:
        raise _another(series, f"slices {off:.2f} mm elsewhere", "at their places")
    return [int(index) for index in order]


def _another(series: Series, made: str, expected: str) -> InputError:
    return InputError(
        f"{series.title}: dcm2niix made {made} of it, its headers say {expected}; convert it by "
        "another program and give the NIfTI"
    )


def _times(values: Sequence[float] | np.ndarray) -> str:
    return " x ".join(f"{value:.4g}" for value in values)


def _write(made: Path, image_path: Path) -> None:
    """Compressed, without the texts of the header; the same bytes from the same image."""
    content = bytearray(made.read_bytes())
    if int.from_bytes(content[:4], "little") == 348:
        for start, length in _TEXT_FIELDS:
            content[start : start + length] = bytes(length)

    def write(path: Path) -> None:
        path.write_bytes(gzip.compress(bytes(content), compresslevel=1, mtime=0))

    write_atomically(image_path, write)
