"""NIfTI files: damage shows, memory is not taken for what is not there, and forms are kept."""

from __future__ import annotations

import gzip
import re
import resource
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from image_files import AFFINE, DIM, OFFSET, overwrite, ramp, refusal, save

from pipeline.files import limits
from pipeline.files.images.nifti import write_volume
from pipeline.files.images.reading import (
    read_header,
    read_labels,
    read_mask,
    read_volume,
    read_volume_or_zeros,
)
from pipeline.files.images.volume import corner_distance_mm

NOISE = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)


# Integrity ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [read_volume, read_volume_or_zeros, read_labels, read_mask])
def test_no_reader_takes_a_gzip_with_a_flipped_bit(read: object, tmp_path: Path) -> None:
    path = save(tmp_path / "whole.nii.gz", NOISE.round())
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    for place in rng.integers(100, len(whole), size=25):
        bad = bytearray(whole)
        bad[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(bad))
        assert "copy it again" in refusal(path, read)  # type: ignore[arg-type]


def test_a_wrong_checksum_is_said(tmp_path: Path) -> None:
    path = save(tmp_path / "whole.nii.gz", NOISE)
    raw = bytearray(path.read_bytes())
    raw[-8] ^= 1
    path.write_bytes(bytes(raw))
    assert "the file is damaged (CRC); copy it again" in refusal(path)


def test_a_channel_is_checked_to_the_end_of_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "four.nii.gz", np.stack([NOISE, NOISE], -1))
    raw = bytearray(path.read_bytes())
    raw[-200] ^= 1  # in the other channel
    path.write_bytes(bytes(raw))
    assert "damaged" in refusal(path, channel=0)


def test_several_gzip_members_are_one_file_and_garbage_after_them_is_damage(tmp_path: Path) -> None:
    path = save(tmp_path / "plain.nii", NOISE)
    raw = path.read_bytes()
    members = b"".join(gzip.compress(raw[i : i + 5000]) for i in range(0, len(raw), 5000))
    path = tmp_path / "blocks.nii.gz"
    path.write_bytes(members + bytes(512))  # as tape and bgzip fill up
    assert np.array_equal(read_volume(path).data, NOISE)
    path.write_bytes(members + b"garbage")
    assert "damaged" in refusal(path)
    path.write_bytes(members[: len(members) - 4000])
    assert "cut short" in refusal(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.Nii.Gz", "a.NII"])
@pytest.mark.parametrize("packed", [False, True])
def test_content_decides_and_not_the_name(name: str, packed: bool, tmp_path: Path) -> None:
    raw = save(tmp_path / "source.nii", NOISE).read_bytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert np.array_equal(read_volume(path).data, NOISE)
    assert read_header(path).shape == (20, 20, 20)


def test_big_endian_and_nifti_2_are_read(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    big = nib.Nifti1Image(ramp(3, 4, 5).astype(">i2"), AFFINE, header)
    nib.save(big, tmp_path / "big.nii.gz")
    nib.save(nib.Nifti2Image(ramp(3, 4, 5), AFFINE), tmp_path / "two.nii.gz")
    for name in ("big", "two"):
        volume = read_volume(tmp_path / f"{name}.nii.gz")
        assert np.array_equal(volume.data, ramp(3, 4, 5))
        assert np.allclose(volume.affine, AFFINE, atol=1e-5)


# Counts -------------------------------------------------------------------------------------------


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("read", [read_volume, read_labels, read_header])
def test_more_voxels_than_are_read_are_refused_by_the_header(
    suffix: str, read: object, tmp_path: Path
) -> None:
    path = overwrite(save(tmp_path / f"bomb{suffix}", NOISE), DIM, "4h", 3, 1290, 1290, 1290)
    before = peak_bytes()
    assert "1290 x 1290 x 1290 voxels; 2.1e+09" in refusal(path, read)  # type: ignore[arg-type]
    assert peak_bytes() - before < 50_000_000


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_what_a_file_cannot_hold_is_refused_before_memory_is_taken(
    suffix: str, tmp_path: Path
) -> None:
    path = overwrite(save(tmp_path / f"short{suffix}", NOISE), DIM, "4h", 3, 700, 700, 700)
    before = peak_bytes()
    assert "cut short: the 700 x 700 x 700 voxels" in refusal(path)
    assert peak_bytes() - before < 50_000_000


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_more_than_the_header_announces_is_refused(suffix: str, tmp_path: Path) -> None:
    size = (128, 128, 20)  # 1.3 MB
    path = overwrite(save(tmp_path / f"long{suffix}", np.ones(size)), DIM, "4h", 3, 9, 9, 9)
    assert "holds more than the 9 x 9 x 9 voxels" in refusal(path, read_volume_or_zeros)


def test_a_channel_counts_alone_and_is_read_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "four.nii", ramp(4, 5, 6, 3))
    monkeypatch.setattr("pipeline.files.images.header.MAX_VOXELS", 120)
    assert np.array_equal(read_volume(path, 2).data, ramp(4, 5, 6, 3)[..., 2])
    monkeypatch.setattr("pipeline.files.images.header.MAX_VOXELS", 119)
    assert "1.2e+02 in a volume" in refusal(path, channel=2)
    assert limits.MAX_VOXELS > 512**3


@pytest.mark.parametrize("dims", [(3, 0, 4, 5), (3, -4, 4, 5), (3, 4, 4, -32768), (0, 4, 4, 4)])
def test_impossible_sizes_are_refused(dims: tuple[int, ...], tmp_path: Path) -> None:
    path = overwrite(save(tmp_path / "dims.nii.gz", NOISE), DIM, "4h", *dims)
    assert "the header announces" in refusal(path)


@pytest.mark.parametrize("offset", [0.0, -352.0, 100.0, 1e12, float("nan"), float("inf")])
def test_an_impossible_place_of_the_voxels_is_refused(offset: float, tmp_path: Path) -> None:
    path = overwrite(save(tmp_path / "offset.nii", NOISE), OFFSET, "f", offset)
    assert re.search("first voxel|vox offset", refusal(path))


@pytest.mark.parametrize("size", [-8, 0, 4, 2**31 - 1, 48])
def test_a_header_extension_that_does_not_fit_is_refused(size: int, tmp_path: Path) -> None:
    raw = save(tmp_path / "plain.nii", NOISE).read_bytes()
    extension = struct.pack("<2i", size, 6) + bytes(24)
    path = tmp_path / "extended.nii"
    path.write_bytes(raw[:348] + b"\1\0\0\0" + extension + raw[352:])
    overwrite(path, OFFSET, "f", 352.0 + 32)
    assert f"extension of {size} bytes" in refusal(path)
    overwrite(path, 352, "i", 32)
    assert np.array_equal(read_volume(path).data, NOISE)


# Forms --------------------------------------------------------------------------------------------

RIGID = np.array([[0, -2.0, 0, 30], [3.0, 0, 0, -20], [0, 0, 1.5, 4], [0, 0, 0, 1]])


@pytest.mark.parametrize("affine", [RIGID, AFFINE])
@pytest.mark.parametrize("codes", [(0, 0), (0, 1), (1, 0), (1, 1), (4, 1), (2, 0)])
def test_a_result_is_placed_as_its_source_by_both_forms(
    codes: tuple[int, int], affine: np.ndarray, tmp_path: Path
) -> None:
    source = nib.Nifti1Image(ramp(4, 5, 6), affine)
    source.set_sform(affine, codes[0])
    source.set_qform(affine, codes[1])
    nib.save(source, tmp_path / "source.nii.gz")
    scan = read_volume(tmp_path / "source.nii.gz")
    write_volume(tmp_path / "map.nii.gz", scan.data, scan.affine, scan.forms)
    result = nib.load(tmp_path / "map.nii.gz").header
    assert (int(result["sform_code"]), int(result["qform_code"])) == codes
    assert corner_distance_mm(result.get_best_affine(), scan.affine, (4, 5, 6)) < 1e-3
    if codes[1]:
        assert corner_distance_mm(result.get_qform(), source.header.get_qform(), (4, 5, 6)) < 1e-3


def test_forms_that_cannot_say_an_affine_do_not_misplace_it(tmp_path: Path) -> None:
    source = nib.Nifti1Image(ramp(4, 5, 6), RIGID)
    source.set_sform(RIGID, 0)
    source.set_qform(RIGID, 1)
    nib.save(source, tmp_path / "source.nii.gz")
    forms = read_volume(tmp_path / "source.nii.gz").forms
    write_volume(tmp_path / "map.nii.gz", ramp(4, 5, 6), AFFINE, forms)
    np.testing.assert_allclose(nib.load(tmp_path / "map.nii.gz").affine, AFFINE, atol=1e-5)
