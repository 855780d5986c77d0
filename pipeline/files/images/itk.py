"""NRRD and MetaImage files, read by SimpleITK, with what it does not check."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from pipeline.errors import InputError
from pipeline.files.images.formats import DETACHED_SUFFIXES
from pipeline.files.images.header import FileHeader, check_affine, checked_dims
from pipeline.files.images.nifti import PIECE_VOXELS, refusing_damage
from pipeline.files.images.pairs import voxel_file
from pipeline.files.images.volume import SFORM_ALONE
from pipeline.files.limits import MAX_DEFLATE_RATIO, MAX_TEXT_HEADER_BYTES, MAX_TRAILING_BYTES
from pipeline.files.texts import brief

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From ITK's world, in which x runs to the left and y to the back."""
_NRRD = b"NRRD000"
_DATA_FILE = {"data file", "datafile"}
_GUESSED = (
    "The header does not say how the image is oriented: x is taken to run to the patient's left, "
    "y to the back; left and right may be swapped."
)
_BYTES = MappingProxyType(
    {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
)
"""Of MetaImage's types of elements."""
_COUNTS = MappingProxyType(
    {
        **dict.fromkeys(("DimSize", "Offset", "Position", "Origin", "CenterOfRotation"), 1),
        **dict.fromkeys(("ElementSpacing", "ElementSize"), 1),
        **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), 2),
    }
)
"""Fields of MetaImage to the power of the number of axes that their numbers are."""
_META_FIELD = re.compile(r"\s*([A-Za-z]\w*)[ \t]*[=:](.*)", re.ASCII | re.DOTALL)
"""A line of a MetaImage header; ITK takes a colon too."""
_PLACED = {"TransformMatrix", "Orientation", "Rotation"}
MAX_AXES = 10


@dataclass(frozen=True)
class ItkFile:
    """A file that SimpleITK reads.

    Attributes:
        path: for messages too.
        header: read and checked.
        reader: that has read it.
    """

    path: Path
    header: FileHeader
    reader: Any

    def pieces(self, channel: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Voxels ``(V,)`` of a channel, X fastest, as stored.

        Raises:
            InputError: the file is damaged or cut short.
        """
        import SimpleITK as sitk

        with refusing_damage(self.path, "ITK"):
            image = self.reader.Execute()
            # A view of its memory, so it lives as long as the image does.
            voxels = sitk.GetArrayViewFromImage(image)
        flat = voxels.reshape(-1, math.prod(self.header.shape))[channel]
        for start in range(0, len(flat), PIECE_VOXELS):
            piece = flat[start : start + PIECE_VOXELS]
            yield slice(start, start + len(piece)), piece


def open_itk(path: Path) -> ItkFile:
    """Open a NRRD or MetaImage file; its voxels are read when they are asked for.

    Raises:
        InputError: it is neither, its voxels are not where it says, it is cut short, or it holds
            several numbers a voxel.
    """
    import SimpleITK as sitk

    with refusing_damage(path, "ITK"):
        with path.open("rb") as file:
            start = file.read(MAX_TEXT_HEADER_BYTES)
        notes = (
            _checked_nrrd(start, path) if start.startswith(_NRRD) else _checked_meta(start, path)
        )
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.SetImageIO("NrrdImageIO" if start.startswith(_NRRD) else "MetaImageIO")
        reader.ReadImageInformation()
        header = _header(reader, notes, path)
        if start.startswith(_NRRD):
            n_each = sitk.Image([1] * 3, reader.GetPixelID()).GetSizeOfPixelComponent()
            _check_nrrd_voxels(start, path, math.prod(header.dims) * n_each)
        return ItkFile(path, header, reader)


def _header(reader: Any, notes: tuple[str, ...], path: Path) -> FileHeader:
    size = [int(n) for n in reader.GetSize()]
    if reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"{path}: {reader.GetNumberOfComponents()} numbers a voxel (colours, vectors or layers "
            "of a segmentation); expected one: split it"
        )
    dims = checked_dims([len(size), *size], path)
    n_axes = len(size)
    linear = np.reshape(reader.GetDirection(), (n_axes, n_axes)) * reader.GetSpacing()
    affine = np.eye(4)
    n = min(n_axes, 3)
    affine[:n, :n] = linear[:n, :n]
    affine[:n, 3] = reader.GetOrigin()[:n]
    affine = TO_RAS @ affine
    check_affine(affine, "directions", path)
    return FileHeader(dims, (*dims, 1, 1, 1)[:3], affine, SFORM_ALONE, notes)


# Headers as texts ---------------------------------------------------------------------------------


def _checked_nrrd(start: bytes, path: Path) -> tuple[str, ...]:
    """What is to be noted of a NRRD header."""
    fields = _nrrd_fields(start)
    if _DATA_FILE.intersection(fields):
        if not path.name.lower().endswith(DETACHED_SUFFIXES):
            raise InputError(f"{path}: its voxels are in another file; call it .nhdr")
        voxel_file(path)
    units = set(re.findall(r'"([^"]*)"', fields.get("space units", "")))
    if units - {"mm", ""}:
        raise InputError(
            f"{path}: the header counts in {', '.join(sorted(units))}; expected mm: correct it"
        )
    is_placed = "space" in fields or "space dimension" in fields
    return () if is_placed and "space directions" in fields else (_GUESSED,)


def _nrrd_fields(start: bytes) -> dict[str, str]:
    lines = start[: _end_of_nrrd(start)].decode("latin-1").splitlines()[1:]
    pairs = (line.partition(":") for line in lines if not line.startswith("#"))
    return {key.strip().lower(): value.strip() for key, _, value in pairs if value}


def _end_of_nrrd(start: bytes) -> int:
    """Where the voxels begin: after an empty line."""
    end = re.search(rb"\r?\n\r?\n", start)
    return len(start) if end is None else end.end()


def _check_nrrd_voxels(start: bytes, path: Path, announced: int) -> None:
    """See that the voxels are all there and no more; SimpleITK leaves their check sum aside."""
    fields = _nrrd_fields(start)
    detached = bool(_DATA_FILE.intersection(fields))
    voxels, offset = (voxel_file(path), 0) if detached else (path, _end_of_nrrd(start))
    encoding = fields.get("encoding", "raw").lower()
    skips = fields.get("byte skip", "0") != "0" or fields.get("line skip", "0") != "0"
    n_bytes = voxels.stat().st_size - offset
    if encoding in ("gzip", "gz") and not skips:
        n_bytes = 0 if announced > n_bytes * MAX_DEFLATE_RATIO else _gunzipped(voxels, offset)
    elif encoding != "raw" or skips:
        return
    _check_bytes(n_bytes, announced, path)


def _gunzipped(voxels: Path, offset: int) -> int:
    """Bytes that a gzip stream unpacks to, which are not kept.

    Raises:
        gzip.BadGzipFile, zlib.error, EOFError: it is damaged or cut short.
    """
    total = 0
    with voxels.open("rb") as file:
        file.seek(offset)
        with gzip.GzipFile(fileobj=file) as stream:
            while piece := stream.read(MAX_TRAILING_BYTES):
                total += len(piece)
    return total


def _check_bytes(n_bytes: int, announced: int, path: Path) -> None:
    if n_bytes < announced:
        raise InputError(
            f"{path}: the file is cut short: the voxels that its header announces ({announced:,} "
            "bytes) are not all there; copy it again"
        )
    if n_bytes > announced + MAX_TRAILING_BYTES:
        raise InputError(
            f"{path}: holds more than the voxels that its header announces ({announced:,} bytes); "
            "the header is wrong, or the file damaged"
        )


def _checked_meta(start: bytes, path: Path) -> tuple[str, ...]:
    """What is to be noted of a MetaImage header, once its voxels are known to be there."""
    end = re.search(rb"^ElementDataFile\s*=[^\n]*\n?", start, re.MULTILINE)
    if end is None:
        raise InputError(
            f"{path}: cannot be read as MetaImage (no MetaImage header at its beginning)"
        )
    fields = _meta_fields(start[: end.end()].decode("latin-1"), path)
    if lacking := {"NDims", "DimSize", "ElementType"} - set(fields):
        said = f"no {', '.join(sorted(lacking))}"
        raise InputError(f"{path}: cannot be read as MetaImage ({said} at its beginning)")
    is_local = fields["ElementDataFile"] == "LOCAL"
    voxels, offset = (path, end.end()) if is_local else (voxel_file(path), 0)
    _check_meta_voxels(voxels, offset, fields, path)
    return () if _PLACED.intersection(fields) else (_GUESSED,)


def _meta_fields(text: str, path: Path) -> dict[str, str]:
    """The fields of a MetaImage header.

    Raises:
        InputError: ITK's own reader might crash on one of them.
    """
    fields: dict[str, str] = {}
    for line in filter(str.strip, text.split("\n")):
        field = _META_FIELD.fullmatch(line)
        fault = f"{brief(line)} is no field"
        if field is not None:
            key, value = field[1], field[2].strip()
            fault = f"{brief(key)} is there twice" if key in fields else _fault(key, value, fields)
            fields[key] = value
        if fault:
            raise InputError(f"{path}: cannot be read as MetaImage ({fault})")
    return fields


def _fault(key: str, value: str, before: Mapping[str, str]) -> str:
    """What is wrong with a field, by those before it; "" where nothing is."""
    if key == "NDims":
        fits = value.isdecimal() and len(value) < 3 and 1 <= int(value) <= MAX_AXES
        return "" if fits else f"NDims {brief(value)}; expected 1 to {MAX_AXES}"
    if key not in _COUNTS:
        return ""
    if "NDims" not in before:
        return f"{key} before NDims"
    n_numbers = int(before["NDims"]) ** _COUNTS[key]
    fits = _are_numbers(value.split(), n_numbers)
    return "" if fits else f"{key} {brief(value)}; expected {n_numbers} numbers"


def _are_numbers(words: Sequence[str], n: int) -> bool:
    try:
        return len(words) == n and all(math.isfinite(float(word)) for word in words)
    except ValueError:
        return False


def _check_meta_voxels(voxels: Path, offset: int, fields: Mapping[str, str], path: Path) -> None:
    """See that the voxels are all there and undamaged: SimpleITK takes a wrong checksum."""
    dims = [int(n) for n in fields["DimSize"].split()]
    checked_dims([len(dims), *dims], path)
    kind = re.sub(r"^MET_U?", "", fields["ElementType"]).removesuffix("_ARRAY")
    if kind not in _BYTES:
        raise InputError(f"{path}: voxels of type {fields['ElementType']}; expected numbers")
    announced = math.prod(dims) * _BYTES[kind] * int(fields.get("ElementNumberOfChannels", 1))
    n_bytes = voxels.stat().st_size - offset
    packed = fields.get("CompressedData", "False").lower() == "true"
    if packed and announced <= n_bytes * MAX_DEFLATE_RATIO:
        n_bytes = _inflated(voxels, offset, announced)
    _check_bytes(n_bytes, announced, path)


def _inflated(voxels: Path, offset: int, announced: int) -> int:
    """Bytes that a zlib stream unpacks to, which are not kept, up to more than are announced.

    Raises:
        zlib.error: it is damaged.
    """
    unpack, total = zlib.decompressobj(), 0
    with voxels.open("rb") as file:
        file.seek(offset)
        while not unpack.eof and total <= announced + MAX_TRAILING_BYTES:
            piece = unpack.unconsumed_tail or file.read(MAX_TRAILING_BYTES)
            if not piece:
                return 0
            total += len(unpack.decompress(piece, MAX_TRAILING_BYTES))
    return total
