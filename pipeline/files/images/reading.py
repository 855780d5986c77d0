"""Reading an image: one contract for scans, maps, labels and masks.

Every reader takes a path as it was given, reads by content rather than by name, checks counts
against `pipeline.files.limits` before memory is taken, reads a file to its end, and raises
`InputError` with one line. What it guessed or converted is in `Volume.notes`.
"""

from __future__ import annotations

import contextlib
import math
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.files.images.formats import ITK_SUFFIXES, advice_for, is_picture, is_volume
from pipeline.files.images.itk import ItkFile, open_itk
from pipeline.files.images.masks import WHOLE_WITHIN, inside
from pipeline.files.images.nifti import StreamedFile, open_streamed
from pipeline.files.images.pairs import header_of
from pipeline.files.images.pictures import picture_affine, picture_shape, read_picture
from pipeline.files.images.volume import Volume, VolumeHeader
from pipeline.files.texts import count

Pieces = Iterable[tuple[slice, np.ndarray]]


def read_volume(path: Path, channel: int | None = None) -> Volume:
    """Read a 3-D image, or one channel of a 4-D one, or a grey 2-D picture as a single slice.

    Args:
        path: NIfTI (one file, or ``.hdr`` and ``.img``), MGH, NRRD, MetaImage, or a PNG, JPEG or
            TIFF picture.
        channel: index into the fourth axis; None where the image is 3-D.

    Returns:
        ``(X, Y, Z)`` float32 voxels. Values are the file's own (scale factors applied).

    Raises:
        InputError: the file is missing, damaged, not an image, larger than is read, 4-D without a
            channel, has no usable affine, holds NaN, infinities or what float32 cannot hold, or is
            constant.
    """
    volume = read_volume_or_zeros(path, channel)
    if volume.data.min() == volume.data.max():
        value = volume.data.flat[0]
        raise InputError(f"{path}: every voxel is {value:g}; the image is empty")
    return volume


def read_volume_or_zeros(path: Path, channel: int | None = None) -> Volume:
    """As `read_volume`, but a constant image is fine: a map of a healthy brain may be all zeros.

    Returns:
        ``(X, Y, Z)`` float32 voxels.
    """
    return _read(path, channel, np.float32)


def read_labels(path: Path, channel: int | None = None) -> Volume:
    """Read a label map as ``(X, Y, Z)`` int32 voxels; it may be all zeros.

    Values within `WHOLE_WITHIN` of a whole number are that number.

    Raises:
        InputError: as `read_volume`, and where a voxel is not a whole number.
    """
    return _read(path, channel, np.int32)


def read_mask(path: Path, channel: int | None = None, *, probable: bool = False) -> Volume:
    """Read a mask as ``(X, Y, Z)`` bool voxels; it may be all False.

    Masks are cut at half, parcellations above 0, images of a brain count where they are not 0; see
    `pipeline.files.images.masks.inside`.

    Args:
        path: as of `read_volume`.
        channel: likewise.
        probable: values from 0 to 1 are probabilities, as they are where the name says mask.

    Raises:
        InputError: as `read_volume`, but for a constant image.
    """
    volume = read_volume_or_zeros(path, channel)
    mask, is_image = inside(volume.data, probable=probable or "mask" in path.name.lower())
    notes = volume.notes
    if is_image:
        notes += (f"{path.name} is taken as an image of the brain, the mask is where it is not 0.",)
    return replace(volume, data=mask, notes=notes)


def read_header(path: Path, channel: int | None = None) -> VolumeHeader:
    """Shape and affine of a volume as the readers give them; voxels are not read.

    Args:
        path: as of `read_volume`.
        channel: likewise; without one the shape of a 4-D image is that of a channel.

    Raises:
        InputError: as `read_volume`, as far as the header tells.
    """
    _check_regular(path)
    if is_picture(path):
        shape = (*picture_shape(path), 1)
        return VolumeHeader(shape, picture_affine(shape), path)
    with open_volume(path) as opened:
        header = opened.header
        if channel is not None:
            _checked_channel(header.dims, channel, path)
        return VolumeHeader(header.shape, header.affine, path, header.notes, header.forms)


@contextlib.contextmanager
def open_volume(path: Path) -> Iterator[StreamedFile | ItkFile]:
    """Open a volume of any format that is read; its header is checked, its voxels come in pieces.

    Raises:
        InputError: it cannot be opened, or is of no such format.
    """
    if path.name.lower().endswith(ITK_SUFFIXES):
        yield open_itk(path)
        return
    with open_streamed(header_of(path)) as opened:
        yield opened


def _read(path: Path, channel: int | None, kind: type[np.float32 | np.int32]) -> Volume:
    _check_regular(path)
    fill = _fill_labels if kind is np.int32 else _fill_values
    if is_picture(path):
        grey = read_picture(path, str(path))
        # Rows run downwards in a picture and towards anterior in RAS.
        values = grey.values[::-1].T[..., None]
        data = np.empty(values.size, kind)
        fill(data, [(slice(None), values.reshape(-1))], path)
        affine = picture_affine(values.shape)
        voxels = data.reshape(values.shape)
        return Volume(voxels, affine, path, grey.notes, lossy=grey.lossy)
    with open_volume(path) as opened:
        header = opened.header
        wanted = _checked_channel(header.dims, channel, path)
        data = np.empty(math.prod(header.shape), kind)
        fill(data, opened.pieces(wanted), path)
        voxels = data.reshape(header.shape, order="F")
        return Volume(voxels, header.affine, path, header.notes, header.forms)


def _fill_values(out: np.ndarray, pieces: Pieces, path: Path) -> None:
    """Values into float32 ``(V,)``, once all of them are known to be numbers that fit."""
    n_bad = n_beyond = 0
    for place, piece in pieces:
        with np.errstate(over="ignore"):
            out[place] = piece
        n_lost = int(np.count_nonzero(~np.isfinite(out[place])))
        if n_lost:
            n_missing = int(np.count_nonzero(~np.isfinite(piece)))
            n_bad, n_beyond = n_bad + n_missing, n_beyond + n_lost - n_missing
    if n_bad:
        raise InputError(
            f"{path}: {count(n_bad, 'voxel')} of NaN or infinity; replace them "
            "(numpy.nan_to_num) and retry"
        )
    if n_beyond:
        raise InputError(
            f"{path}: {count(n_beyond, 'voxel')} beyond {np.finfo(np.float32).max:.2g}; scale "
            "the image down (or correct the header's scl_slope) and retry"
        )


def _fill_labels(out: np.ndarray, pieces: Pieces, path: Path) -> None:
    """Whole numbers into int32 ``(V,)``; see `read_labels`."""
    rest, n_bad, beyond = 0.0, 0, False
    for place, piece in pieces:
        if piece.dtype.kind == "f":
            finite = np.isfinite(piece)
            n_bad += int(np.count_nonzero(~finite))
            values = np.where(finite, piece, 0)
            whole = np.rint(values)
            rest = max(rest, float(np.abs(values - whole).max(initial=0)))
        else:
            whole = piece
        ends = np.iinfo(np.int32)
        beyond |= bool(whole.size) and (whole.min() < ends.min or whole.max() > ends.max)
        out[place] = 0 if beyond else whole
    if n_bad:
        raise InputError(
            f"{path}: {count(n_bad, 'voxel')} of NaN or infinity; replace them "
            "(numpy.nan_to_num) and retry"
        )
    if rest > WHOLE_WITHIN:
        raise InputError(
            f"{path}: a label map holds whole numbers; this one does not (off by up to "
            f"{rest:.3g}); resample labels by nearest neighbour"
        )
    if beyond:
        raise InputError(f"{path}: a label beyond {np.iinfo(np.int32).max}; is this a label map?")


def _checked_channel(dims: tuple[int, ...], channel: int | None, path: Path) -> int:
    """The index of the volume to read, of an image of two to any number of axes."""
    if len(dims) > 4 or (len(dims) == 4 and channel is None):
        raise InputError(
            f"{path}: expected one 3-D volume, got shape {dims}; split it, or describe its "
            "channels in an MSD dataset.json or a MONAI datalist"
        )
    n_channels = dims[3] if len(dims) == 4 else 1
    if channel is not None and not 0 <= channel < n_channels:
        raise InputError(f"{path}: channel {channel} is asked for, the image has {dims}")
    return channel or 0


def _check_regular(path: Path) -> None:
    """See that there is a file that can be an image, before it is opened: a pipe would wait."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        if path.is_symlink():
            raise InputError(f"{path}: a link to {path.readlink()}, which is not there") from error
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason})") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: a folder; expected an image file")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: a pipe or device; expected an image file")
    if not (is_volume(path) or is_picture(path)) and (advice := advice_for(path)):
        raise InputError(f"{path}: {advice}")
