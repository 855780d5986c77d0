"""NIfTI and MGH files: voxels are read in pieces to the end of the file, so that damage shows."""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import nibabel as nib
import numpy as np

from pipeline.errors import InputError
from pipeline.files.images.formats import MGH_SUFFIXES
from pipeline.files.images.header import FileHeader, Stored, read_nifti_header
from pipeline.files.images.mgh import read_mgh_header
from pipeline.files.images.pairs import voxel_file
from pipeline.files.images.volume import EXACT_MM, SFORM_ALONE, Forms, corner_distance_mm
from pipeline.files.limits import MAX_DEFLATE_RATIO, MAX_REASON, MAX_TRAILING_BYTES
from pipeline.files.writing import write_atomically

PIECE_VOXELS = 1 << 21
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class StreamedFile:
    """An open file, compressed or not, whatever its name says.

    Attributes:
        path: for messages.
        stream: of the voxels, unpacked.
        header: read and checked.
        stored: how the voxels lie in the stream.
    """

    path: Path
    stream: BinaryIO
    header: FileHeader
    stored: Stored

    def pieces(self, channel: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Voxels ``(V,)`` of a channel, X fastest, scale factors applied in float64.

        The file is read to its end: only after the last piece is it known to be whole.

        Raises:
            InputError: the file is damaged, cut short, or holds more than its header announces.
        """
        stored, n_voxels = self.stored, math.prod(self.header.shape)
        size = stored.dtype.itemsize
        self.stream.seek(stored.offset + channel * n_voxels * size)
        for start in range(0, n_voxels, PIECE_VOXELS):
            count = min(PIECE_VOXELS, n_voxels - start)
            raw = self.stream.read(count * size)
            if len(raw) < count * size:
                raise self._cut_short()
            piece = np.frombuffer(raw, stored.dtype)
            if stored.slope is not None:
                piece = piece.astype(np.float64) * stored.slope + stored.inter
            yield slice(start, start + count), piece
        self._to_the_end(stored.offset + stored.n_channels * n_voxels * size)

    def _to_the_end(self, announced: int) -> None:
        self.stream.seek(announced)
        if self.stream.tell() < announced:
            raise self._cut_short()
        if len(self.stream.read(MAX_TRAILING_BYTES + 1)) > MAX_TRAILING_BYTES:
            raise InputError(
                f"{self.path}: holds more than the {self._voxels()} voxels that its header "
                "announces; the header is wrong, or the file damaged"
            )

    def check_size(self, n_bytes: int, *, packed: bool) -> None:
        """See that a file of so many bytes can hold what its header announces.

        Raises:
            InputError: it cannot.
        """
        stored = self.stored
        announced = stored.offset + math.prod(self.header.dims) * stored.dtype.itemsize
        if announced > n_bytes * (MAX_DEFLATE_RATIO if packed else 1):
            raise self._cut_short()

    def _cut_short(self) -> InputError:
        return InputError(
            f"{self.path}: the file is cut short: the {self._voxels()} voxels that its header "
            "announces are not all there; copy it again"
        )

    def _voxels(self) -> str:
        return " x ".join(map(str, self.header.dims))


@contextmanager
def open_streamed(path: Path) -> Iterator[StreamedFile]:
    """Open a regular file as NIfTI (one file or a pair) or MGH; what is wrong names the file.

    Raises:
        InputError: it cannot be opened, or is neither; see `read_nifti_header`.
    """
    is_mgh = path.name.lower().endswith(MGH_SUFFIXES)
    read_header = read_mgh_header if is_mgh else read_nifti_header
    with refusing_damage(path, "MGH" if is_mgh else "NIfTI"), contextlib.ExitStack() as opened:
        stream, size, packed = _unpacked(path, opened)
        header, stored = read_header(stream, path)
        if stored.apart:
            stream, size, packed = _unpacked(voxel_file(path), opened)
        streamed = StreamedFile(path, stream, header, stored)
        streamed.check_size(size, packed=packed)
        yield streamed


def _unpacked(path: Path, opened: contextlib.ExitStack) -> tuple[BinaryIO, int, bool]:
    """A stream of a file's content, its bytes on disk, and whether they are compressed."""
    file = opened.enter_context(path.open("rb"))
    packed = file.read(2) == _GZIP
    file.seek(0)
    stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
    return stream, os.fstat(file.fileno()).st_size, packed


@contextmanager
def refusing_damage(path: Path, kind: str) -> Iterator[None]:
    """What can go wrong with a foreign file inside is raised as one line that names it.

    Args:
        path: for messages.
        kind: of the file, likewise.

    Raises:
        InputError: anything went wrong.
    """
    try:
        yield
    except InputError:
        raise
    except EOFError as error:
        raise InputError(f"{path}: the file is cut short ({error}); copy it again") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        what = "CRC" if "CRC" in str(error) else error
        raise InputError(f"{path}: the file is damaged ({what}); copy it again") from error
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except MemoryError as error:
        raise InputError(f"{path}: not enough memory for its voxels; crop or resample") from error
    except (
        *(nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError),
        *(OSError, ValueError, TypeError, OverflowError, RuntimeError),
    ) as error:
        raise InputError(f"{path}: cannot be read as {kind} ({_line_of(error, kind)})") from error


def _line_of(error: Exception, kind: str) -> str:
    """The line of an error that says what is wrong; ITK's stands last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1 if kind == "ITK" else 0][:MAX_REASON]


def write_volume(
    path: Path, data: np.ndarray, affine: np.ndarray, forms: Forms = SFORM_ALONE
) -> None:
    """Write voxels as NIfTI; see `write_atomically`.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        data: ``(X, Y, Z)``, written in its own dtype, bool as 0 and 1 of uint8.
        affine: voxel index to world (RAS, millimetres), ``(4, 4)``.
        forms: of the image that the voxels belong to, so that every program places both alike.
            Without an sform a sheared affine gets one all the same: a qform knows no shear.
    """
    array = data.astype(np.uint8) if data.dtype == bool else data
    image = nib.Nifti1Image(array, affine)
    image.set_data_dtype(array.dtype)
    image.header.set_xyzt_units("mm")
    if forms != SFORM_ALONE:
        _set_forms(image, np.asarray(affine, dtype=np.float64), forms)
    write_atomically(path, lambda temporary: nib.save(image, temporary))


def _set_forms(image: nib.Nifti1Image, affine: np.ndarray, forms: Forms) -> None:
    header = image.header

    def says_it(said: np.ndarray) -> bool:
        return corner_distance_mm(said, affine, image.shape[:3]) <= EXACT_MM

    other = np.reshape(forms.other_qform, (4, 4)) if forms.other_qform else None
    header.set_qform(affine if other is None else other, forms.qform)
    if forms.qform and other is None and not says_it(header.get_qform()):
        header.set_qform(affine, 0)
    header.set_sform(affine, forms.sform)
    if not says_it(header.get_best_affine()):
        header.set_sform(affine, forms.sform or SFORM_ALONE.sform)
    # Otherwise saving would set both codes anew.
    image.set_sform(header.get_sform(), int(header["sform_code"]), update_affine=True)
