"""What a file holds, as one hash: what is tied to it does not ask for its name or its time."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

CHUNK = 1 << 20


class FileState(NamedTuple):
    """What the file system says of a file; while it is the same, so is the content.

    Attributes:
        bytes: its size.
        modified_ns: of its content, in nanoseconds since 1970; anybody may set it.
        changed_ns: of content or record in the file system; nobody sets it by hand.
        inode: number of the file in its file system.
    """

    bytes: int
    modified_ns: int
    changed_ns: int
    inode: int


def file_state(path: Path) -> FileState:
    """What the file system says of a file now.

    Raises:
        OSError: it is not there.
    """
    found = path.stat()
    return FileState(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def content_hash(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits; read in pieces, so of any size.

    A process reads a file once, as long as its state stays as it was.

    Raises:
        OSError: it cannot be read.
    """
    path = path.absolute()
    return _content_hash(path, file_state(path))


@functools.lru_cache(maxsize=100_000)
def _content_hash(path: Path, state: FileState) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def brain_hash(images: Mapping[str, np.ndarray], brain: np.ndarray, affine: np.ndarray) -> str:
    """SHA-256 of the voxels of a brain: the same under any name, and however the scan is stored.

    Type of the voxels, compression, order and direction of the axes, and background around the
    brain make no difference, as long as the values are the same.

    Args:
        images: modality to ``(X, Y, Z)``, float32, in scanner units.
        brain: ``(X, Y, Z)`` bool.
        affine: voxel index to world (RAS), ``(4, 4)``.
    """
    to_ras = nib.orientations.io_orientation(affine)
    inside = nib.orientations.apply_orientation(brain, to_ras)
    digest = hashlib.sha256()
    for modality, image in images.items():
        voxels = nib.orientations.apply_orientation(image, to_ras)[inside]
        digest.update(f"{modality}\n".encode())
        digest.update(_plain_bytes(voxels))
    return digest.hexdigest()


def arrays_hash(*arrays: np.ndarray) -> str:
    """SHA-256 of the values of arrays of any shape, as float32, and of their shapes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}\n".encode())
        digest.update(_plain_bytes(array))
    return digest.hexdigest()


def _plain_bytes(values: np.ndarray) -> bytes:
    """Values as little-endian float32; 0 has one sign."""
    return (values.astype("<f4") + np.float32(0)).astype("<f4", copy=False).tobytes()
