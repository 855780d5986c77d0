"""Pictures as one slice of grey values: nothing is clipped, turned or made white in silence.

A PNG's checksums are checked. A JPEG or TIFF has none: only one that is cut short can be told.
"""

from __future__ import annotations

import contextlib
import re
import struct
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from pipeline.errors import InputError
from pipeline.files.limits import MAX_PICTURE_PIXELS
from pipeline.files.writing import write_atomically

PICTURE_WIDTH_MM = 208.0
"""Assumed length of the longer side of a 2-D picture, which carries no spacing of its own."""
# Pillow warns below the size at which it refuses; our limit is lower than both.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
"""Of what is named as a PNG, JPEG or TIFF; all others of Pillow's are left closed."""
_LOSSY = ("JPEG", "MPO", "WEBP")
_PNG = b"\x89PNG\r\n\x1a\n"
_WIDE = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_ORIENTATION = 0x0112
"""EXIF's tag for how a picture is to be turned."""


class GreyPicture(NamedTuple):
    """A picture.

    Attributes:
        values: ``(rows, columns)`` float32, [0, 255], or as stored where more than 8 bits are.
        notes: what was turned or left out, one sentence each.
        lossy: whether its compression changes values, whatever its name says.
    """

    values: np.ndarray
    notes: tuple[str, ...]
    lossy: bool


def read_picture(source: Path | BytesIO, name: str, limit: int = MAX_PICTURE_PIXELS) -> GreyPicture:
    """Read a picture as it is meant to be seen: turned, and transparency laid over black.

    Args:
        source: a file, or its content.
        name: for messages.
        limit: of pixels.

    Raises:
        InputError: it is damaged, too large, or no picture whose values can be kept.
    """
    with _refusing(name, limit):
        _check_png(source, name)
        with _opened(source) as picture:
            _check_size(picture.size, name, limit)
            notes, lossy = [], picture.format in _LOSSY
            n_frames = getattr(picture, "n_frames", 1)
            if n_frames > 1 and picture.format == "TIFF":
                raise InputError(f"{name}: a TIFF of {n_frames} pages; save each as a picture")
            if n_frames > 1:
                notes.append("The picture holds several frames; the first is used.")
            values, turned = _grey(picture)
            if turned:
                notes.append("The picture is turned as its EXIF orientation says.")
            return GreyPicture(values, tuple(notes), lossy)


def picture_shape(path: Path) -> tuple[int, int]:
    """Columns and rows of a picture as `read_picture` turns it, without reading its values.

    Raises:
        InputError: it is no picture, or too large.
    """
    with _refusing(str(path), MAX_PICTURE_PIXELS), _opened(path) as picture:
        _check_size(picture.size, str(path), MAX_PICTURE_PIXELS)
        width, height = picture.size
        return (height, width) if _orientation(picture) >= 5 else (width, height)


def picture_affine(shape: tuple[int, ...]) -> np.ndarray:
    """Affine ``(4, 4)`` of assumed spacing for a picture of so many columns and rows."""
    spacing_mm = PICTURE_WIDTH_MM / max(shape)
    return np.diag([spacing_mm, spacing_mm, 1.0, 1.0])


def write_picture(path: Path, colours: np.ndarray) -> None:
    """Write a PNG; see `write_atomically`.

    Args:
        path: ends in ``.png``.
        colours: ``(rows, columns, 3)`` uint8, red, green and blue.
    """
    picture = Image.fromarray(colours)
    write_atomically(
        path, lambda temporary: picture.save(temporary, format="PNG", compress_level=1)
    )


@contextlib.contextmanager
def _opened(source: Path | BytesIO) -> Iterator[Image.Image]:
    if isinstance(source, BytesIO):
        source.seek(0)
    with Image.open(source, formats=_FORMATS) as picture:
        yield picture


@contextlib.contextmanager
def _refusing(name: str, limit: int) -> Iterator[None]:
    """Whatever Pillow raises on a foreign file, as one line."""
    try:
        yield
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\d+", str(error))
        raise _too_large(name, int(pixels[0]) if pixels else 0, limit) from error
    except MemoryError as error:
        raise InputError(f"{name}: not enough memory for this picture; make it smaller") from error
    except Exception as error:  # Pillow's readers raise every kind on a damaged file
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{name}: cannot be read as a picture ({first.replace(repr(name), 'it')}); copy it "
            "again, or save it as PNG"
        ) from error


def _check_size(size: tuple[int, int], name: str, limit: int) -> None:
    if size[0] * size[1] > limit:
        raise _too_large(f"{name}: {size[0]} x {size[1]}", size[0] * size[1], limit)


def _too_large(what: str, pixels: int, limit: int) -> InputError:
    return InputError(
        f"{what}: {pixels:,} pixels are more than the {limit:,} that are read; make it smaller"
    )


def _check_png(source: Path | BytesIO, name: str) -> None:
    """The checksums of a PNG, which Pillow leaves aside, and that its values can be kept."""
    with contextlib.nullcontext(source) if isinstance(source, BytesIO) else source.open("rb") as f:
        f.seek(0)
        start = f.read(26)
    if not start.startswith(_PNG):
        return
    with _opened(source) as picture:
        picture.verify()
    bits, colour = struct.unpack("2B", start[24:26])
    if bits == 16 and colour != 0:
        raise InputError(
            f"{name}: 16-bit colours, or grey with transparency, of which half the bits would be "
            "lost; save it as 16-bit grey without alpha, or as NIfTI"
        )


def _orientation(picture: Image.Image) -> int:
    """EXIF's 1 to 8; 1 is upright, and what a broken EXIF block counts as."""
    with contextlib.suppress(Exception):
        value = int(picture.getexif().get(_ORIENTATION, 1))
        return value if 1 <= value <= 8 else 1
    return 1


def _grey(picture: Image.Image) -> tuple[np.ndarray, bool]:
    """Values ``(rows, columns)`` float32, and whether the picture was turned."""
    turned = _orientation(picture) != 1
    hidden = picture.info.get("transparency")
    picture.load()
    if turned:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode in _WIDE:
        values = np.asarray(picture).astype(np.float32)
        return (np.where(values == hidden, 0, values) if hidden is not None else values), turned
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or hidden is not None:
        colours = picture.convert("RGBA")
        black = Image.new("RGBA", colours.size, (0, 0, 0, 255))
        picture = Image.alpha_composite(black, colours)
    return np.asarray(picture.convert("L"), dtype=np.float32), turned
