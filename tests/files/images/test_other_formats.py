"""Formats beside NIfTI in one file: the same voxels in the same place, or one line."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from image_files import AFFINE, itk_image, refusal
from PIL import Image

from pipeline.errors import InputError
from pipeline.files.images.pairs import files_of, header_of, image_hash
from pipeline.files.images.reading import read_header, read_labels, read_mask, read_volume

ORTHOGONAL = np.array([[0, -2.0, 0, 30], [3.0, 0, 0, -20], [0, 0, 1.5, 4], [0, 0, 0, 1]])
"""Axes of other lengths and directions, without shear, which ITK's formats cannot hold."""


def voxels(dtype: str = "int16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 120, (5, 6, 7)).astype(dtype)


def with_itk(name: str, *, packed: bool = False) -> Callable[[Path, np.ndarray], Path]:
    def write(folder: Path, data: np.ndarray) -> Path:
        sitk.WriteImage(itk_image(data, ORTHOGONAL), str(folder / name), packed)
        return folder / name

    return write


def with_nibabel(kind: type, name: str) -> Callable[[Path, np.ndarray], Path]:
    def write(folder: Path, data: np.ndarray) -> Path:
        nib.save(kind(data, ORTHOGONAL), folder / name)
        return folder / name

    return write


FORMATS: dict[str, Callable[[Path, np.ndarray], Path]] = {
    "NIfTI-2": with_nibabel(nib.Nifti2Image, "a.nii.gz"),
    "pair": with_nibabel(nib.Nifti1Pair, "a.hdr"),
    "NIfTI-2 pair": with_nibabel(nib.Nifti2Pair, "a.hdr"),
    "packed pair": with_nibabel(nib.Nifti1Pair, "a.img.gz"),
    "pair by its voxels": with_nibabel(nib.Nifti1Pair, "a.img"),
    "mgz": with_nibabel(nib.MGHImage, "a.mgz"),
    "mgh": with_nibabel(nib.MGHImage, "a.mgh"),
    "nrrd": with_itk("a.nrrd"),
    "packed nrrd": with_itk("a.nrrd", packed=True),
    "nhdr": with_itk("a.nhdr"),
    "mha": with_itk("a.mha"),
    "packed mha": with_itk("a.mha", packed=True),
    "mhd": with_itk("a.mhd"),
    "packed mhd": with_itk("a.mhd", packed=True),
}


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_has_the_same_voxels_in_the_same_place(
    kind: str, dtype: str, tmp_path: Path
) -> None:
    data = voxels(dtype)
    path = FORMATS[kind](tmp_path, data)
    volume = read_volume(path)
    assert volume.data.dtype == np.float32
    np.testing.assert_array_equal(volume.data, data)
    np.testing.assert_allclose(volume.affine, ORTHOGONAL, atol=1e-5)
    assert volume.notes == ()
    header = read_header(path)
    assert header.shape == data.shape
    np.testing.assert_allclose(header.affine, ORTHOGONAL, atol=1e-5)
    np.testing.assert_array_equal(read_labels(path).data, data)
    assert read_mask(path).data.dtype == bool


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_is_cut_short_is_refused(kind: str, tmp_path: Path) -> None:
    path = FORMATS[kind](tmp_path, voxels("float32"))
    last = files_of(header_of(path))[-1]
    whole = last.read_bytes()
    for n_lost in (1, 40, len(whole) // 2):
        if kind == "mgh" and n_lost == 1:  # of its footer, which nothing is read of
            continue
        last.write_bytes(whole[:-n_lost])
        refusal(header_of(path))


@pytest.mark.parametrize(
    "kind", ["NIfTI-2", "packed pair", "mgz", "packed nrrd", "packed mha", "packed mhd"]
)
def test_a_compressed_file_that_is_damaged_is_refused(kind: str, tmp_path: Path) -> None:
    path = FORMATS[kind](tmp_path, voxels("float32"))
    last = files_of(header_of(path))[-1]
    content = bytearray(last.read_bytes())
    for at in (len(content) - 2, len(content) - 60, len(content) - 150):
        damaged = bytearray(content)
        damaged[at] ^= 0x55
        last.write_bytes(damaged)
        refusal(header_of(path))


@pytest.mark.parametrize("kind", FORMATS)
def test_channels_of_four_axes(kind: str, tmp_path: Path) -> None:
    data = np.random.default_rng(1).integers(0, 90, (5, 6, 7, 3)).astype(np.int16)
    if "mh" in kind or "nrrd" in kind or kind == "nhdr":
        if kind.startswith("mg"):
            path = FORMATS[kind](tmp_path, data)
        else:
            image = sitk.JoinSeries([itk_image(data[..., i], ORTHOGONAL) for i in range(3)])
            path = tmp_path / f"a.{kind.split()[-1]}"
            sitk.WriteImage(image, str(path), "packed" in kind)
    else:
        path = FORMATS[kind](tmp_path, data)
    for channel in (0, 2):
        np.testing.assert_array_equal(read_volume(path, channel).data, data[..., channel])
    assert "expected one 3-D volume" in refusal(path)
    assert "channel 3" in refusal(path, channel=3)


HUGE = {
    "a.mha": (b"DimSize = 5 6 7", b"DimSize = 50000 60000 7"),
    "a.nrrd": (b"sizes: 5 6 7", b"sizes: 50000 60000 7"),
}


@pytest.mark.parametrize("name", HUGE)
def test_more_voxels_than_are_read_are_refused_from_the_header(name: str, tmp_path: Path) -> None:
    path = with_itk(name)(tmp_path, voxels())
    path.write_bytes(path.read_bytes().replace(*HUGE[name]))
    assert "more than" in refusal(path)
    path.write_bytes(path.read_bytes().replace(b"50000 60000 7", b"500 600 7"))
    assert "cut short" in refusal(path) or "expected" in refusal(path)


@pytest.mark.parametrize(
    "place",
    ["/etc/passwd", "../a.raw", "sub/a.raw", "..\\a.raw", "LIST", "a%03d.raw 1 3 1", "gone.raw"],
)
@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr"])
def test_voxels_are_read_of_a_file_beside_their_header_alone(
    name: str, place: str, tmp_path: Path
) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    path = with_itk(name)(folder, voxels())
    (tmp_path / "a.raw").write_bytes((folder / "a.raw").read_bytes())
    path.write_bytes(path.read_bytes().replace(b"a.raw", place.encode()))
    assert "its voxels" in refusal(path)


def test_a_header_without_its_voxels_is_refused(tmp_path: Path) -> None:
    path = FORMATS["pair"](tmp_path, voxels())
    (tmp_path / "a.img").unlink()
    assert "a.img, which is not there" in refusal(path)


def test_analyze_is_refused_for_it_has_no_orientation(tmp_path: Path) -> None:
    nib.save(nib.AnalyzeImage(voxels(), np.eye(4)), tmp_path / "a.img")
    assert "left and right" in refusal(tmp_path / "a.hdr")
    with pytest.raises(InputError, match="left and right"):
        read_volume(tmp_path / "a.img")


def test_colours_and_vectors_are_refused(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    for name in ("a.nrrd", "a.mha"):
        sitk.WriteImage(image, str(tmp_path / name))
        assert "3 numbers a voxel" in refusal(tmp_path / name)


def test_an_orientation_that_is_not_said_is_noted(tmp_path: Path) -> None:
    path = with_itk("a.mha")(tmp_path, voxels())
    text = path.read_bytes()
    start = text.index(b"TransformMatrix")
    path.write_bytes(text[:start] + text[text.index(b"\n", start) + 1 :])
    assert "left and right may be swapped" in read_volume(path).notes[0]
    path = with_itk("a.nrrd")(tmp_path, voxels())
    text = path.read_bytes()
    for line in (b"space: ", b"space directions: ", b"space origin: "):
        start = text.index(line)
        text = text[:start] + text[text.index(b"\n", start) + 1 :]
    path.write_bytes(text)
    assert "left and right may be swapped" in read_volume(path).notes[0]
    path = FORMATS["mgh"](tmp_path, voxels())
    content = bytearray(path.read_bytes())
    struct.pack_into(">h", content, 28, 0)
    path.write_bytes(content)
    assert "left and right may be swapped" in read_volume(path).notes[0]


def test_other_units_than_millimetres_are_refused(tmp_path: Path) -> None:
    path = with_itk("a.nrrd")(tmp_path, voxels())
    path.write_bytes(path.read_bytes().replace(b"endian", b'space units: "m" "m" "m"\nendian'))
    assert "counts in m" in refusal(path)


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh", "a.nrrd", "a.mha", "a.mhd", "a.nhdr", "a.hdr"])
@pytest.mark.parametrize("content", [b"", b"\0" * 400, b"NRRD0004\n", b"some text\n" * 60])
def test_what_is_none_of_these_is_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    for read in (read_volume, read_labels, read_mask, read_header):
        refusal(tmp_path / name, read)  # type: ignore[arg-type]


def test_numbers_that_are_none_are_refused_in_every_format(tmp_path: Path) -> None:
    data = voxels("float32")
    data[1, 2, 3] = np.nan
    for kind in ("pair", "mgz", "nrrd", "mha"):
        assert "NaN" in refusal(FORMATS[kind](tmp_path, data))


def test_a_pair_is_another_image_when_its_voxels_are_others(tmp_path: Path) -> None:
    path = FORMATS["pair"](tmp_path, voxels())
    before = image_hash(path)
    raw = bytearray((tmp_path / "a.img").read_bytes())
    raw[7] ^= 1
    (tmp_path / "a.img").write_bytes(raw)
    assert image_hash(path) != before


@pytest.mark.parametrize("name", ["a.tif", "a.tiff", "a.png"])
def test_pictures_of_16_bits_keep_them(name: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65535, (6, 9)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / name)
    volume = read_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.data[:, ::-1, 0].T, values)
    assert read_header(tmp_path / name).shape == volume.shape


def test_a_tiff_of_several_pages_is_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((4, 4), i, np.uint8)) for i in (1, 2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert "2 pages" in refusal(tmp_path / "a.tif")


def test_a_tiff_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (60, 90)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.tif")
    raw = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(raw[: len(raw) // 2])
    refusal(tmp_path / "a.tif")


def test_a_compressed_file_under_a_plain_name_reads(tmp_path: Path) -> None:
    path = FORMATS["mgh"](tmp_path, voxels())
    path.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_volume(path).data, voxels())


def test_a_shear_survives_in_a_pair(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(voxels(), AFFINE), tmp_path / "a.hdr")
    np.testing.assert_allclose(read_volume(tmp_path / "a.hdr").affine, AFFINE, atol=1e-5)


META = b"""ObjectType = Image
NDims = 3
DimSize = 2 2 2
TransformMatrix = 1 0 0 0 1 0 0 0 1
ElementSpacing = 1 1 1
ElementType = MET_UCHAR
ElementDataFile = LOCAL
"""


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (b"NDims = 3\n", b"", "DimSize before NDims"),
        (b"NDims = 3\nDimSize = 2 2 2", b"DimSize = 2 2 2\nNDims = 3", "DimSize before NDims"),
        (b"ObjectType", b"Offset: 0 0 0\nObjectType", "Offset before NDims"),
        (b"NDims = 3", b"NDims = 3\x0b1", "NDims 3"),
        (b"NDims = 3", b"NDims = 3\nNDims = 90", "twice"),
        (b"ObjectType =", b"ObjectType -", "is no field"),
        (b"NDims = 3", b"NDims = 90", "expected 1 to 10"),
        (b"Matrix = 1 0 0 0 1 0 0 0 1", b"Matrix = 1 0 0", "expected 9 numbers"),
        (b"Spacing = 1 1 1", b"Spacing = 1 nan 1", "expected 3 numbers"),
    ],
)
def test_a_header_that_itk_crashes_on_is_refused_before_it_sees_it(
    before: bytes, after: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(META + bytes(range(8)))
    assert read_volume(path).data.shape == (2, 2, 2)
    assert before in META
    path.write_bytes(META.replace(before, after) + bytes(range(8)))
    assert said in refusal(path)
