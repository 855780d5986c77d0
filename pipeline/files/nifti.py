"""Volumes on disk: read with the checks a user's file needs, write so that nothing is half done."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from pipeline.errors import InputError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
VOLUME_SUFFIXES = (".nii", ".nii.gz")
_UNREADABLE = (nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError)
PICTURE_WIDTH_MM = 208.0
"""Assumed length of the longer side of a 2-D picture, which carries no spacing of its own."""

GRID_TOLERANCE_MM = 0.1
"""Two grids are one where no corner differs by more along any axis."""


@dataclass(frozen=True)
class Volume:
    """An image on its own grid.

    Attributes:
        data: voxels, ``(X, Y, Z)``.
        affine: voxel index to world (RAS, millimetres), ``(4, 4)`` float64.
        path: the file it came from.
    """

    data: np.ndarray
    affine: np.ndarray
    path: Path

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return voxel_volume_ml(self.affine)


def voxel_volume_ml(affine: np.ndarray) -> float:
    """Volume of one voxel in millilitres, from the affine ``(4, 4)`` in millimetres."""
    return float(abs(np.linalg.det(affine[:3, :3]))) / 1000.0


def grid_difference(a: Volume, b: Volume) -> str | None:
    """How the grids of two volumes differ; None where they lie on one.

    They lie on one where their shapes are equal and the world coordinates of no corner voxel differ
    by more than `GRID_TOLERANCE_MM`.
    """
    if a.data.shape != b.data.shape:
        return f"shape {a.data.shape} and {b.data.shape}"
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(a.data.shape) - 1)
    points = np.column_stack([corners, np.ones(8)])
    distance_mm = np.abs(points @ (a.affine - b.affine).T).max()
    if distance_mm <= GRID_TOLERANCE_MM:
        return None
    return f"one shape, but corners up to {distance_mm:.3g} mm apart"


def is_volume(path: Path) -> bool:
    """Whether the name says NIfTI."""
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def is_picture(path: Path) -> bool:
    """Whether the name says PNG or JPEG."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def read_volume(path: Path, channel: int | None = None) -> Volume:
    """Read a 3-D image, or one channel of a 4-D one, or a grey 2-D picture as a single slice.

    Args:
        path: NIfTI (``.nii``, ``.nii.gz``) or PNG / JPEG.
        channel: index into the fourth axis; None where the image is 3-D.

    Returns:
        ``(X, Y, Z)`` float32 voxels. Values are the file's own (scale factors applied).

    Raises:
        InputError: the file is missing, torn, not an image, 4-D without a channel, has no usable
            affine, holds NaN or infinities, or is constant.
    """
    volume = _read_finite(path, channel)
    if volume.data.min() == volume.data.max():
        value = volume.data.flat[0]
        raise InputError(f"{path}: every voxel is {value:g}; the image is empty")
    return volume


def _read_finite(path: Path, channel: int | None) -> Volume:
    data, affine = _read(path, channel)
    if not np.isfinite(data).all():
        n_bad = int((~np.isfinite(data)).sum())
        raise InputError(
            f"{path}: {n_bad} voxels are NaN or infinite; replace them (numpy.nan_to_num) and retry"
        )
    return Volume(data.astype(np.float32, copy=False), affine, path)


def read_volume_or_zeros(path: Path, channel: int | None = None) -> Volume:
    """As `read_volume`, but a constant image is fine: a map of a healthy brain may be all zeros.

    Returns:
        ``(X, Y, Z)`` float32 voxels.
    """
    return _read_finite(path, channel)


def read_labels(path: Path, channel: int | None = None) -> Volume:
    """Read a label map as ``(X, Y, Z)`` int32 voxels; it may be all zeros.

    Raises:
        InputError: as `read_volume`, and where a voxel is not a whole number.
    """
    data, affine = _read(path, channel)
    if not np.isfinite(data).all() or not np.array_equal(data, np.rint(data)):
        raise InputError(f"{path}: a label map holds whole numbers; this one does not")
    return Volume(np.rint(data).astype(np.int32), affine, path)


def _read(path: Path, channel: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Voxels ``(X, Y, Z)`` float32 and affine ``(4, 4)`` float64 of a NIfTI file or picture."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if is_picture(path):
        return _read_picture(path)
    with _refusing_what_is_no_nifti(path):
        data, affine = _load_nifti(path)
    return _one_channel(data, channel, path), _checked_affine(affine, path)


def _load_nifti(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Voxels as they are stored, float32 of any shape, and the header's affine."""
    image = nib.load(path)
    if not isinstance(image, nib.spatialimages.SpatialImage):
        raise InputError(f"{path}: not a NIfTI volume")
    stored = np.dtype(image.get_data_dtype())
    if stored.names or stored.kind not in "fiub":
        kind = "colours" if stored.names else "complex numbers"
        raise InputError(f"{path}: voxels are {kind}; expected one real number each")
    return np.asarray(image.dataobj, dtype=np.float32), image.affine


@contextmanager
def _refusing_what_is_no_nifti(path: Path) -> Iterator[None]:
    """What can go wrong with a foreign file inside is raised as one line that names it."""
    try:
        yield
    except InputError:
        raise
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path}: the file is cut short ({error}); copy it again") from error
    except (*_UNREADABLE, OSError, ValueError, TypeError, OverflowError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: cannot be read as NIfTI ({first})") from error


def _one_channel(data: np.ndarray, channel: int | None, path: Path) -> np.ndarray:
    """``(X, Y, Z)`` of an image of two to any number of axes."""
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim == 2:
        data = data[..., None]
    if data.ndim <= 4 and channel is not None:
        channels = data if data.ndim == 4 else data[..., None]
        if not 0 <= channel < channels.shape[3]:
            raise InputError(f"{path}: channel {channel} is asked for, the image has {data.shape}")
        return channels[..., channel]
    if data.ndim != 3:
        raise InputError(
            f"{path}: expected one 3-D volume, got shape {data.shape}; split it, or describe its "
            "channels in an MSD dataset.json or a MONAI datalist"
        )
    return data


def _checked_affine(affine: np.ndarray | None, path: Path) -> np.ndarray:
    if affine is None or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise InputError(f"{path}: the header's affine is singular; set sform or qform and retry")
    return np.asarray(affine, dtype=np.float64)


def _read_picture(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Grey values [0, 255] ``(X, Y, 1)`` float32, and an affine of assumed spacing."""
    try:
        with Image.open(path) as picture:
            grey = np.asarray(picture.convert("L"), dtype=np.float32)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a picture ({error})") from error
    spacing_mm = PICTURE_WIDTH_MM / max(grey.shape)
    # Rows run downwards in a picture and towards anterior in RAS.
    return grey[::-1].T[..., None].copy(), np.diag([spacing_mm, spacing_mm, 1.0, 1.0])


def write_volume(path: Path, data: np.ndarray, affine: np.ndarray) -> None:
    """Write voxels as NIfTI; see `write_atomically`.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        data: ``(X, Y, Z)``, written in its own dtype, bool as 0 and 1 of uint8.
        affine: voxel index to world (RAS, millimetres), ``(4, 4)``.
    """
    array = data.astype(np.uint8) if data.dtype == bool else data
    image = nib.Nifti1Image(array, affine)
    image.set_data_dtype(array.dtype)
    image.header.set_xyzt_units("mm")
    write_atomically(path, lambda temporary: nib.save(image, temporary))


def make_folder(path: Path) -> None:
    """Make a folder for results, and see that it can be written to, before any long work.

    Raises:
        InputError: it cannot be made or written to.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: cannot be written to, it is a file; give a folder")
    write_atomically(path / ".writable", lambda temporary: None)
    (path / ".writable").unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file; see `write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then move it into place.

    Raises:
        InputError: the folder cannot be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays last: nibabel and numpy choose the format by it.
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=f"-{path.name}", dir=path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    os.close(handle)
    temporary = Path(name)
    try:
        temporary.chmod(0o644)
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)
