"""Zips that somebody else may have made: bounded before anything is unpacked."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from pipeline.files.limits import MAX_ZIP_RATIO, MIB
from pipeline.files.texts import quoted

CHUNK = MIB
ENCRYPTED = 0x1
TORN: tuple[type[Exception], ...] = (
    *(OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    # Packed in a way that Python does not know, or that it tells apart from the content alone.
    *(NotImplementedError, RuntimeError),
    # Headers of arrays are Python.
    *(SyntaxError, tokenize.TokenError),
)
"""What reading a zip raises that is torn, or none."""


def check_member(info: zipfile.ZipInfo, max_bytes: int) -> None:
    """See that a member says of itself that it is small enough.

    Raises:
        ValueError: it says more, is packed more than `MAX_ZIP_RATIO` times, or needs a password.
    """
    name, size = quoted(info.filename), info.file_size
    if info.flag_bits & ENCRYPTED:
        raise ValueError(f"{name} needs a password")
    if size > max_bytes:
        raise ValueError(f"{name} has {size:,} bytes unpacked, more than {max_bytes:,}")
    if size > MIB and size > MAX_ZIP_RATIO * info.compress_size:
        raise ValueError(f"{name} is packed more than {MAX_ZIP_RATIO} times")


def unpack_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, max_bytes: int
) -> None:
    """Write a member to a file in pieces, and never more than it says of itself.

    Raises:
        ValueError: see `check_member`, or it holds more than it says.
        one of `TORN`: it is torn, or packed in another way.
    """
    check_member(info, max_bytes)
    left = info.file_size
    with archive.open(info) as member, path.open("xb") as file:
        while piece := member.read(CHUNK):
            left -= len(piece)
            if left < 0:
                raise ValueError(f"{quoted(info.filename)} holds more than it says")
            file.write(piece)


def check_arrays(path: Path, max_bytes: int) -> None:
    """See that the arrays of an ``.npz`` are what their headers say, and small enough together.

    Raises:
        ValueError: they are not.
        one of `TORN`: it is torn.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if (total := sum(info.file_size for info in members)) > max_bytes:
            raise ValueError(f"{total:,} bytes unpacked, more than {max_bytes:,}")
        for info in members:
            check_member(info, max_bytes)
            _check_array(archive, info)


def _check_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """NumPy takes room for what a header says before it reads the first number."""
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{quoted(info.filename)} is of another format {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        n_bytes = dtype.itemsize
        for length in shape:
            n_bytes *= length
        if dtype.hasobject or n_bytes != info.file_size - file.tell():
            raise ValueError(f"{quoted(info.filename)} does not hold what its header says")
