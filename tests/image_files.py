"""Small image files with anything the matter, and the one line with which they are refused."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.errors import InputError
from pipeline.files.images.reading import read_volume

AFFINE = np.array([[0, -2.0, 0, 30], [3.0, 0, 0, -20], [0, 0.1, 1.5, 4], [0, 0, 0, 1]])

DIM, DATATYPE, PIXDIM, OFFSET, SLOPE, UNITS, QFORM, QUATERNION = 40, 70, 76, 108, 112, 123, 252, 256
"""Bytes of a NIfTI-1 header."""


def ramp(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def save(path: Path, data: np.ndarray, affine: np.ndarray | None = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def overwrite(path: Path, at: int, layout: str, *values: float) -> Path:
    """Other values in a header, of a file compressed or not."""
    raw = path.read_bytes()
    packed = raw[:2] == b"\x1f\x8b"
    content = bytearray(gzip.decompress(raw) if packed else raw)
    struct.pack_into(f"<{layout}", content, at, *values)
    path.write_bytes(gzip.compress(bytes(content)) if packed else bytes(content))
    return path


def itk_image(data: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """A volume for SimpleITK, whose world is LPS; without shear."""
    image = sitk.GetImageFromArray(data.T)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def refusal(path: Path, read: Callable[..., object] = read_volume, **options: object) -> str:
    """The message of the refusal: one line that names the file."""
    with pytest.raises(InputError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message
