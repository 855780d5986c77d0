"""The header of a NIfTI file: where the voxels lie, in the file and in the world."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import nibabel as nib
import numpy as np

from pipeline.errors import InputError
from pipeline.files.images.formats import advice_for
from pipeline.files.images.volume import EXACT_MM, Forms, corner_distance_mm
from pipeline.files.limits import MAX_FILE_VOXELS, MAX_HEADER_BYTES, MAX_VOXELS

QUATERNION_TOLERANCE = 1e-3
"""How far the square of a unit quaternion's real part may fall below 0 by rounding."""
FORMS_DIFFER_MM = 1.0
"""Between what sform and qform say of a corner; more is told."""
VOXEL_MM = (1e-3, 100.0)
"""Plausible edge of a voxel, for units other than millimetres to be believed."""
FLATTEST = 1e-4
"""Volume of a voxel as a share of a box with its edges; below it the affine is singular."""
_UNITS = {1: ("metres", 1000.0), 3: ("micrometres", 1e-3)}
_MAGIC = {348: (344, b"n+1\0"), 540: (4, b"n+2\0")}
_FIXED = 31
"""Level from which nibabel's repair of a header changes what the image means."""


class _Quaternion:
    """As the NIfTI standard's own code has it: rounding below 0 is 0."""

    def get_qform_quaternion(self) -> np.ndarray:
        header: Any = self
        bcd = np.array([float(header[f"quatern_{name}"]) for name in "bcd"])
        if -QUATERNION_TOLERANCE <= 1 - bcd @ bcd < 0:
            return np.array([0.0, *bcd])
        quaternion: np.ndarray = super().get_qform_quaternion()  # type: ignore[misc]
        return quaternion


class _Nifti1(_Quaternion, nib.Nifti1Header):
    """NIfTI-1."""


class _Nifti2(_Quaternion, nib.Nifti2Header):
    """NIfTI-2."""


class Stored(NamedTuple):
    """How voxels are stored.

    Attributes:
        dtype: with its byte order.
        slope, inter: value = slope * stored + inter; None where values are stored as they are.
        offset: byte of the first voxel.
        n_channels: volumes one after the other.
        apart: whether that is in another file than the header.
    """

    dtype: np.dtype[Any]
    slope: float | None
    inter: float
    offset: int
    n_channels: int
    apart: bool = False


@dataclass(frozen=True)
class FileHeader:
    """What the header of an image of any format says, checked.

    Attributes:
        dims: as stored, without trailing axes of 1 beyond the third.
        shape: ``(X, Y, Z)`` of one channel.
        affine: in millimetres, ``(4, 4)`` float64.
        forms, notes: as of `Volume`.
    """

    dims: tuple[int, ...]
    shape: tuple[int, ...]
    affine: np.ndarray
    forms: Forms
    notes: tuple[str, ...]


def read_nifti_header(stream: BinaryIO, path: Path) -> tuple[FileHeader, Stored]:
    """Read and check a header; the stream is left somewhere before the voxels.

    Args:
        stream: at its beginning, unpacked.
        path: for messages.

    Returns:
        The header, and how the voxels lie in the file, or in the other one of a pair.

    Raises:
        InputError: it is no NIfTI header, or one that cannot be right or read.
    """
    header, notes = _parsed(stream, path)
    dims = checked_dims([int(n) for n in header["dim"]], path)
    shape = (*dims, 1, 1, 1)[:3]
    with np.errstate(all="ignore"):  # what comes out as no number is refused
        affine, forms, placed = _placement(header, shape, path)
    stored = _stored(header, math.prod(dims[3:]), path)
    if not stored.apart:
        _check_extensions(stream, header, stored.offset, path)
    return FileHeader(dims, shape, affine, forms, (*notes, *placed)), stored


def _parsed(stream: BinaryIO, path: Path) -> tuple[Any, list[str]]:
    """The header as nibabel repairs it, and the repairs that matter."""
    start = stream.read(4)
    size = next((n for n in _MAGIC for code in "<>" if start == struct.pack(f"{code}i", n)), None)
    if size is None:
        raise InputError(f"{path}: cannot be read as NIfTI ({_what_it_is(start, stream, path)})")
    block = start + stream.read(size - 4)
    at, magic = _MAGIC[size]
    if len(block) < size:
        raise InputError(f"{path}: the file is cut short within its header; copy it again")
    if block[at : at + 4] not in (magic, magic.replace(b"n+", b"ni")):
        raise InputError(
            f"{path}: ANALYZE, whose header does not say where left and right are; convert it to "
            "NIfTI with a program that knows how it was written, and look at the result"
        )
    header: Any = (_Nifti1 if size == 348 else _Nifti2)(block, check=False)
    repairs = _Repairs()
    header.check_fix(logger=repairs.logger, error_level=40)
    return header, repairs.told


def _what_it_is(start: bytes, stream: BinaryIO, path: Path) -> str:
    known = {b"BZh": "bzip2", b"\xfd7zX": "xz", b"PK\3\4": "zip", b"\x28\xb5\x2f\xfd": "zstd"}
    known |= {b"\x89PNG": "a PNG picture", b"\xff\xd8\xff": "a JPEG picture", b"NRRD": "NRRD"}
    known |= {b"\x89HDF": "HDF5, as MINC", b"CDF": "MINC", b"\x1f\x8b": "compressed twice"}
    kind = next((kind for magic, kind in known.items() if start.startswith(magic)), None)
    if kind is None and stream.read(128)[124:128] == b"DICM":
        kind = "DICOM: give it a name that does not say NIfTI"
    if not start:
        kind = "the file is empty; copy it again"
    return kind or advice_for(path) or "no NIfTI header at its beginning"


class _Repairs(logging.Handler):
    """Keeps what nibabel says of its repairs, and lets none of it reach the terminal."""

    def __init__(self) -> None:
        super().__init__(_FIXED)
        self.told: list[str] = []
        self.logger = logging.Logger("header", _FIXED)
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(f"Header repaired: {record.getMessage()}.")


def checked_dims(dim: Sequence[int], path: Path) -> tuple[int, ...]:
    """Sizes of the axes, of which trailing ones beyond the third are left out.

    Args:
        dim: number of axes, then their sizes.
        path: for messages.

    Raises:
        InputError: they cannot be right, or are more than is read.
    """
    if not 1 <= dim[0] <= 7:
        raise InputError(f"{path}: the header announces {dim[0]} axes; expected 2 to 7")
    dims = list(dim[1 : dim[0] + 1])
    text = " x ".join(map(str, dims))
    if min(dims) < 1:
        raise InputError(f"{path}: the header announces {text} voxels; the file is damaged")
    while len(dims) > 3 and dims[-1] == 1:
        dims.pop()
    one, all_of_them = math.prod(dims[:3]), math.prod(dims)
    if one > MAX_VOXELS:
        raise InputError(
            f"{path}: the header announces {text} voxels; {one:.2g} in a volume are "
            f"more than the {MAX_VOXELS:.2g} that are read; crop or resample it, or copy it again "
            "if it is damaged"
        )
    if all_of_them > MAX_FILE_VOXELS:
        raise InputError(
            f"{path}: the header announces {text} voxels, more than the {MAX_FILE_VOXELS:.2g} that "
            "are read of one file; split it, or copy it again if it is damaged"
        )
    return tuple(dims)


def _stored(header: Any, n_channels: int, path: Path) -> Stored:
    dtype = np.dtype(header.get_data_dtype())
    if dtype.names or dtype.kind not in "fiub":
        kind = "colours" if dtype.names else "complex numbers"
        raise InputError(f"{path}: voxels are {kind}; expected one real number each")
    offset = float(header["vox_offset"])
    apart = bytes(header["magic"]).startswith(b"ni")
    if not (0 if apart else len(header.binaryblock) + 4) <= offset <= MAX_HEADER_BYTES:
        raise InputError(
            f"{path}: the header puts the first voxel at byte {offset:.6g}; expected between its "
            f"own end and {MAX_HEADER_BYTES}; the file is damaged"
        )
    slope, inter = header.get_slope_inter()
    if (slope, inter or 0.0) == (1.0, 0.0):
        slope = None
    return Stored(dtype, slope, inter or 0.0, int(offset), n_channels, apart)


def _check_extensions(stream: BinaryIO, header: Any, offset: int, path: Path) -> None:
    """See that the extensions end before the voxels; nothing of them is used."""
    flag = stream.read(4)
    left = offset - len(header.binaryblock) - 4
    if not flag.strip(b"\0")[:1]:
        return
    while left >= 16:
        start = stream.read(8)
        size = struct.unpack(f"{header.endianness}i", start[:4])[0] if len(start) == 8 else 0
        if not 8 <= size <= left:
            raise InputError(
                f"{path}: a header extension of {size} bytes, but {left} are left before the "
                "voxels; the file is damaged"
            )
        stream.seek(size - 8, 1)
        left -= size


# Placement in the world ---------------------------------------------------------------------------


def _placement(
    header: Any, shape: tuple[int, ...], path: Path
) -> tuple[np.ndarray, Forms, list[str]]:
    """Affine in millimetres as nibabel takes it (sform, else qform, else a guess)."""
    notes: list[str] = []
    forms = Forms(int(header["sform_code"]), int(header["qform_code"]))
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    unit, in_mm = _UNITS.get(int(header["xyzt_units"]) & 7, ("", 1.0))
    affine[:3] *= in_mm
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    check_affine(affine, "sform" if forms.sform else "qform" if forms.qform else "voxel size", path)
    if unit:
        if not (VOXEL_MM[0] <= edges.min() and edges.max() <= VOXEL_MM[1]):
            raise InputError(
                f"{path}: the header counts in {unit}, so that voxels are {_mm(edges)}; correct "
                "its units (nibabel: image.header.set_xyzt_units('mm'))"
            )
        notes.append(f"The header counts in {unit}; converted to voxels of {_mm(edges)}.")
    if not (forms.sform or forms.qform):
        codes = "".join(nib.aff2axcodes(affine))
        notes.append(
            "Neither sform nor qform is set: the orientation is guessed "
            f"({codes}, centred on the image); left and right may be swapped."
        )
    elif forms.sform and forms.qform:
        forms, differ = _both_forms(header, affine, in_mm, shape)
        notes += differ
    return affine, forms, notes


def check_affine(affine: np.ndarray, origin: str, path: Path) -> None:
    """See that an affine ``(4, 4)`` places voxels.

    Args:
        affine: voxel index to world.
        origin: of the affine, and ``path``: for messages.

    Raises:
        InputError: it is singular, or no number.
    """
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    box = float(np.prod(edges))
    usable = np.isfinite(affine).all() and box > 0
    if usable and abs(np.linalg.det(affine[:3, :3])) >= FLATTEST * box:
        return
    raise InputError(
        f"{path}: the header's affine is singular (of the {origin}); correct it and retry"
    )


def _both_forms(
    header: Any, affine: np.ndarray, in_mm: float, shape: tuple[int, ...]
) -> tuple[Forms, list[str]]:
    """The forms of a header that has two, and how they differ."""
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    try:
        other = np.asarray(header.get_qform(), dtype=np.float64)
    except (ValueError, nib.spatialimages.HeaderDataError):
        other = np.full((4, 4), np.nan)
    if not np.isfinite(other).all():
        return Forms(sform, 0), ["The qform is not usable; the sform is used."]
    other[:3] *= in_mm
    distance_mm = corner_distance_mm(affine, other, shape)
    if distance_mm <= EXACT_MM:
        return Forms(sform, qform), []
    forms = Forms(sform, qform, tuple(other.ravel().tolist()))
    codes = ["".join(map(str, nib.aff2axcodes(one))) for one in (affine, other)]
    if distance_mm <= FORMS_DIFFER_MM and codes[0] == codes[1]:
        return forms, []
    return forms, [
        f"sform ({codes[0]}) and qform ({codes[1]}) differ by up to {distance_mm:.3g} mm at a "
        "corner; the sform is used."
    ]


def _mm(edges: np.ndarray) -> str:
    return " x ".join(f"{edge:.3g}" for edge in edges) + " mm"
