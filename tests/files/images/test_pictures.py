"""Pictures: all values are kept, all are turned, and a transparent background is black."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import refusal
from PIL import Image, PngImagePlugin

from pipeline.errors import InputError
from pipeline.files.images.pictures import read_picture
from pipeline.files.images.reading import read_header, read_volume

GREY = np.zeros((40, 30), np.uint8)
GREY[5:35, 6:24] = np.arange(30)[:, None] * 4 + np.arange(18) + 20


def values(path: Path) -> np.ndarray:
    return read_picture(path, str(path)).values


def test_sixteen_bits_keep_their_values(tmp_path: Path) -> None:
    for factor in (3, 257):
        wide = GREY.astype(np.uint16) * factor
        Image.fromarray(wide).save(tmp_path / "a.png")
        assert np.array_equal(values(tmp_path / "a.png"), wide)
    Image.fromarray(wide).save(tmp_path / "a.png", transparency=int(wide[20, 20]))
    hidden = np.where(wide == wide[20, 20], 0, wide)
    assert np.array_equal(values(tmp_path / "a.png"), hidden)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_laid_over_black(mode: str, tmp_path: Path) -> None:
    alpha = np.where(GREY > 0, 255, 0).astype(np.uint8)
    shown = np.where(GREY > 0, GREY, 255).astype(np.uint8)
    channels = [shown] * (len(mode) - 1)
    Image.fromarray(np.dstack([*channels, alpha]), mode).save(tmp_path / "a.png")
    assert np.array_equal(values(tmp_path / "a.png"), GREY)
    Image.fromarray(np.dstack([*channels, alpha // 2]), mode).save(tmp_path / "half.png")
    assert np.abs(values(tmp_path / "half.png") - GREY * (127 / 255)).max() <= 1


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_transparent_colour_is_black(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(np.where(GREY > 0, GREY, 255).astype(np.uint8)).convert(mode)
    hidden = (255, 255, 255) if mode == "RGB" else 255
    picture.save(tmp_path / "a.png", transparency=hidden)
    assert np.array_equal(values(tmp_path / "a.png"), GREY)


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "1"])
def test_modes_without_transparency_are_grey_as_they_look(mode: str, tmp_path: Path) -> None:
    source = np.where(GREY > 0, 255, 0).astype(np.uint8) if mode == "1" else GREY
    Image.fromarray(source).convert(mode).save(tmp_path / "a.png")
    assert np.array_equal(values(tmp_path / "a.png"), source)


def test_cmyk_is_read(tmp_path: Path) -> None:
    Image.fromarray(GREY).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    assert np.abs(values(tmp_path / "a.jpg") - GREY).max() < 12


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_exif_says(orientation: int, suffix: str, tmp_path: Path) -> None:
    stored = {
        1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1],
        5: GREY.T, 6: GREY.T[::-1], 7: GREY.T[::-1, ::-1], 8: GREY.T[:, ::-1],
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, quality=100)
    found = read_picture(path, str(path))
    assert np.abs(found.values - GREY).max() <= (3 if suffix == ".jpg" else 0)
    assert bool(found.notes) == (orientation != 1)
    assert read_header(path).shape == (30, 40, 1) == read_volume(path).data.shape


def test_the_first_of_several_frames_is_used_with_a_note(tmp_path: Path) -> None:
    first, second = Image.fromarray(GREY), Image.fromarray(255 - GREY)
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])
    volume = read_volume(tmp_path / "a.png")
    assert np.array_equal(volume.data[::1, ::-1, 0].T, GREY)
    assert volume.notes == ("The picture holds several frames; the first is used.",)


def test_content_says_whether_a_picture_is_a_jpeg(tmp_path: Path) -> None:
    for kind, name in (("JPEG", "a.png"), ("PNG", "a.jpg")):
        Image.fromarray(GREY).save(tmp_path / name, kind)
        assert read_volume(tmp_path / name).lossy == (kind == "JPEG")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("side", "said"), [(9000, "9000 x 9000"), (20000, "400,000,000 pixels")])
def test_an_over_large_picture_is_refused_by_its_header(
    side: int, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side, 8, 0, b""))
    for read in (read_volume, read_header):
        message = refusal(path, read)
        assert said in message
        assert "67,108,864" in message


def test_colours_of_sixteen_bits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(1, 1, 16, 2, bytes(7)))
    assert "save it as 16-bit grey" in refusal(path)


def test_a_flipped_bit_in_a_png_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(GREY).save(path)
    whole = path.read_bytes()
    for place in range(8, len(whole) - 12, 7):
        bad = bytearray(whole)
        bad[place] ^= 4
        path.write_bytes(bytes(bad))
        refusal(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.9])
def test_a_picture_that_is_cut_short_is_refused(suffix: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(255, size=(64, 64)).astype("u1")).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "cannot be read as a picture" in refusal(path)


def test_a_text_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "0" * (1 << 22), zip=True)
    Image.fromarray(GREY).save(tmp_path / "a.png", pnginfo=info)
    refusal(tmp_path / "a.png")


def test_bytes_are_read_as_files_are() -> None:
    content = io.BytesIO()
    Image.fromarray(GREY).save(content, "PNG")
    assert np.array_equal(read_picture(content, "upload.png").values, GREY)
    with pytest.raises(InputError, match=r"upload\.png: 30 x 40: 1,200 pixels are more than"):
        read_picture(content, "upload.png", limit=1199)
