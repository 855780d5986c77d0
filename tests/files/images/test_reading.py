"""Volumes on disk: what is read, what is refused, and that nothing is left half written."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from image_files import AFFINE, ramp, refusal, save
from PIL import Image

from pipeline.errors import InputError
from pipeline.files.images.nifti import write_volume
from pipeline.files.images.reading import read_labels, read_volume, read_volume_or_zeros

# Reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_a_written_volume_reads_back_with_its_grid(
    suffix: str, dtype: type, tmp_path: Path
) -> None:
    path = tmp_path / f"deep/er/image{suffix}"
    data = ramp(4, 5, 6).astype(dtype)
    write_volume(path, data, AFFINE)
    volume = read_volume(path)
    assert nib.load(path).get_data_dtype() == dtype
    assert nib.load(path).header.get_xyzt_units()[0] == "mm"
    assert volume.data.dtype == np.float32
    assert np.array_equal(volume.data, data)
    assert np.allclose(volume.affine, AFFINE, atol=1e-5)
    assert volume.path == path


def test_a_mask_is_written_as_zeros_and_ones(tmp_path: Path) -> None:
    mask = ramp(3, 3, 3) > 11
    write_volume(tmp_path / "mask.nii.gz", mask, AFFINE)
    labels = read_labels(tmp_path / "mask.nii.gz")
    assert np.array_equal(labels.data, mask)
    assert labels.data.dtype == np.int32


def test_scale_factors_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ramp(3, 3, 3).astype(np.int16), AFFINE)
    image.header.set_slope_inter(2.0, 10.0)
    nib.save(image, tmp_path / "scaled.nii")
    raw = np.asarray(nib.load(tmp_path / "scaled.nii").dataobj)
    assert np.allclose(read_volume(tmp_path / "scaled.nii").data, raw)


def test_single_slices_and_empty_axes_become_three_dimensions(tmp_path: Path) -> None:
    assert read_volume(save(tmp_path / "flat.nii", ramp(4, 5))).data.shape == (4, 5, 1)
    assert read_volume(save(tmp_path / "five.nii", ramp(4, 5, 6, 1, 1))).data.shape == (4, 5, 6)


def test_a_channel_of_a_4d_image_is_chosen(tmp_path: Path) -> None:
    path = save(tmp_path / "four.nii", ramp(3, 4, 5, 2))
    assert np.array_equal(read_volume(path, 1).data, ramp(3, 4, 5, 2)[..., 1])


def test_a_picture_becomes_a_slice_with_the_first_row_anterior(tmp_path: Path) -> None:
    grey = np.zeros((40, 30), np.uint8)
    grey[2, 25] = 200  # near the top, to the right
    Image.fromarray(grey).save(tmp_path / "slice.png")
    volume = read_volume(tmp_path / "slice.png")
    assert volume.data.shape == (30, 40, 1)
    assert np.unravel_index(volume.data.argmax(), volume.data.shape) == (25, 37, 0)
    assert volume.data.max() == 200
    assert np.allclose(np.diag(volume.affine), [5.2, 5.2, 1, 1])


def test_a_constant_image_is_fine_as_a_map_only(tmp_path: Path) -> None:
    path = save(tmp_path / "zeros.nii", np.zeros((3, 3, 3), np.float32))
    assert "every voxel is 0" in refusal(path)
    assert not read_volume_or_zeros(path).data.any()
    assert not read_labels(path).data.any()


# Refusals -----------------------------------------------------------------------------------------


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.nii.gz")
    assert "a folder" in refusal(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9])
def test_a_torn_gzip_is_refused(share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
    path = save(tmp_path / "whole.nii.gz", noise)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    message = refusal(path)
    if share >= 0.3:
        assert "cut short" in message


def test_a_gzip_with_a_broken_middle_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "bad.nii.gz", ramp(20, 20, 20))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 40] = b"\xff" * 40
    path.write_bytes(bytes(raw))
    refusal(path)


def test_a_torn_plain_file_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "torn.nii", ramp(10, 10, 10))
    path.write_bytes(path.read_bytes()[:1000])
    refusal(path)


@pytest.mark.parametrize("name", ["text.nii", "text.nii.gz", "text.png", "text.jpg"])
def test_a_text_file_with_the_name_of_an_image_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("patient,age\n1,60\n" * 50)
    assert "cannot be read" in refusal(path)


def test_a_gzipped_text_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.nii.gz"
    path.write_bytes(gzip.compress(b"patient,age\n1,60\n" * 50))
    refusal(path)


@pytest.mark.parametrize(
    ("offset", "value"), [(70, b"\x39\x30"), (40, b"\x03\x00\xf6\xff"), (40, b"\x00\x00")]
)
def test_a_nonsensical_header_is_refused(offset: int, value: bytes, tmp_path: Path) -> None:
    """An unknown data type, a negative dimension, no dimensions."""
    path = save(tmp_path / "header.nii", ramp(3, 3, 3))
    raw = bytearray(path.read_bytes())
    raw[offset : offset + len(value)] = value
    path.write_bytes(bytes(raw))
    refusal(path)


def test_colour_voxels_are_refused(tmp_path: Path) -> None:
    rgb = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    refusal(save(tmp_path / "colour.nii", rgb))


def test_a_4d_image_needs_a_channel_that_exists(tmp_path: Path) -> None:
    path = save(tmp_path / "four.nii", ramp(3, 4, 5, 2))
    assert "(3, 4, 5, 2)" in refusal(path)
    for channel in (2, -1, -3):
        assert f"channel {channel}" in refusal(path, channel=channel)


def test_a_channel_of_a_3d_image_does_not_exist(tmp_path: Path) -> None:
    path = save(tmp_path / "three.nii", ramp(3, 4, 5))
    assert read_volume(path, 0).data.shape == (3, 4, 5)
    assert "channel 1" in refusal(path, channel=1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_counted(bad: float, tmp_path: Path) -> None:
    data = ramp(3, 3, 3)
    data[0, 0, :2] = bad
    path = save(tmp_path / "bad.nii", data)
    assert "2 voxels of NaN or infinity" in refusal(path)
    refusal(path, read_volume_or_zeros)
    refusal(path, read_labels)


def write_affine(path: Path, rows: np.ndarray) -> Path:
    """A file whose sform is these rows, whatever they are."""
    image = nib.Nifti1Image(ramp(3, 3, 3), np.eye(4))
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    nib.save(image, path)
    raw = bytearray(path.read_bytes())
    raw[280:328] = rows[:3].astype("<f4").tobytes()
    path.write_bytes(bytes(raw))
    return path


@pytest.mark.parametrize("kind", ["singular", "zero", "nan"])
def test_an_affine_that_maps_space_to_a_plane_is_refused(kind: str, tmp_path: Path) -> None:
    rows = np.eye(4)
    rows[2] = {"singular": rows[1], "zero": 0 * rows[1], "nan": np.nan * rows[1]}[kind]
    assert "affine" in refusal(write_affine(tmp_path / "affine.nii", rows))


def test_labels_are_whole_numbers(tmp_path: Path) -> None:
    path = save(tmp_path / "soft.nii", ramp(3, 3, 3) / 2)
    assert "whole numbers" in refusal(path, read_labels)


def test_large_labels_do_not_wrap_to_negative_ones(tmp_path: Path) -> None:
    """A parcellation may number its regions beyond 32767; > 0 is still brain."""
    path = save(tmp_path / "parcellation.nii", (ramp(3, 3, 3) + 40_000).astype(np.int32))
    assert (read_labels(path).data > 0).all()


# Writing ------------------------------------------------------------------------------------------


def test_a_file_where_a_folder_should_be_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    path = tmp_path / "out" / "case" / "mask.nii.gz"
    with pytest.raises(InputError, match="cannot be written") as caught:
        write_volume(path, ramp(2, 2, 2), AFFINE)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
