"""Zips are bounded before they are unpacked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.files.archives import check_arrays, unpack_member


def npy(shape: tuple[int, ...], content: bytes) -> bytes:
    """An array's file whose header and content need not agree."""
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


def test_arrays_that_numpy_wrote_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros((3, 4)), b="text", c=np.float32(1), d=np.zeros(0))
    check_arrays(path, 1000)
    with pytest.raises(ValueError, match="bytes unpacked, more than 100"):
        check_arrays(path, 100)


@pytest.mark.parametrize("shape", [(10**12,), (2**40, 2**40), (1,), (-1, -2)])
def test_a_header_that_says_other_than_the_file_holds_is_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", npy(shape, bytes(12)))
    with pytest.raises(ValueError, match=r"'a\.npy' does not hold what its header says"):
        check_arrays(path, 1000)


def test_a_member_that_holds_more_than_it_says_is_not_written_on(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", bytes(5_000_000))
    content = path.read_bytes()
    path.write_bytes(content.replace((5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with zipfile.ZipFile(path) as archive, pytest.raises((ValueError, zipfile.BadZipFile)):
        unpack_member(archive, archive.getinfo("x"), tmp_path / "x", 1000)
    assert (tmp_path / "x").stat().st_size <= 10
