"""The header of a FreeSurfer file (.mgh, .mgz), as nibabel reads it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO

import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader, data_type_codes

from pipeline.errors import InputError
from pipeline.files.images.header import FileHeader, Stored, check_affine, checked_dims
from pipeline.files.images.volume import SFORM_ALONE

_OFFSET = 284
_VERSION = 1
_ORIENTED = slice(28, 30)
"""Bytes of the flag that says so; nibabel sets it where it was not."""


def read_mgh_header(stream: BinaryIO, path: Path) -> tuple[FileHeader, Stored]:
    """Read and check a header; see `pipeline.files.images.header.read_nifti_header`.

    Raises:
        InputError: it is no MGH header, or one that cannot be right or read.
    """
    block = stream.read(_OFFSET)
    if not block:
        raise InputError(f"{path}: cannot be read as MGH (the file is empty; copy it again)")
    if int.from_bytes(block[:4], "big") != _VERSION:
        raise InputError(f"{path}: cannot be read as MGH (no MGH header at its beginning)")
    if len(block) < _OFFSET:
        raise InputError(f"{path}: the file is cut short within its header; copy it again")
    header = MGHHeader(block, check=False)
    dims = checked_dims([4, *(int(n) for n in header["dims"])], path)
    shape = dims[:3]
    code = int(header["type"])
    if code not in data_type_codes.value_set("code"):
        raise InputError(f"{path}: voxels of an unknown type ({code}); the file is damaged")
    notes: tuple[str, ...] = ()
    if int.from_bytes(block[_ORIENTED], "big") != 1:
        notes = (
            "The header does not say how the image is oriented: FreeSurfer's default (coronal, "
            "1 mm) is taken; left and right may be swapped.",
        )
    with np.errstate(all="ignore"):
        affine = np.asarray(header.get_affine(), dtype=np.float64)
    check_affine(affine, "direction cosines", path)
    stored = Stored(header.get_data_dtype(), None, 0.0, _OFFSET, math.prod(dims[3:]))
    return FileHeader(dims, shape, affine, SFORM_ALONE, notes), stored
