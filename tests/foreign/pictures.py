"""PNG and JPEG files of every mode, and torn ones."""

from __future__ import annotations

import io
import struct
import zlib
from random import Random

import numpy as np
from foreign.drawn_bytes import Stored, chance, damaged
from PIL import Image, PngImagePlugin

SUFFIXES = (".png", ".png", ".jpg", ".jpeg", ".PNG", ".JPG")
_MODES = {
    "PNG": ("L", "L", "RGB", "RGBA", "LA", "P", "1", "I;16"),
    "JPEG": ("L", "L", "RGB", "CMYK"),
    "BMP": ("L", "RGB"),
    "GIF": ("L", "P"),
    "TIFF": ("L", "RGB", "F", "I;16"),
}


def picture_file(rng: Random, stem: str = "case") -> Stored:
    """A picture: in half of all cases plain, else odd or torn."""
    suffix = rng.choice(SUFFIXES)
    form = "PNG" if suffix.lower() == ".png" else "JPEG"
    if chance(rng, 0.1):
        form = rng.choice(sorted(_MODES))
    content = _picture(rng, form)
    if form == "PNG" and chance(rng, 0.1):
        content = _with_size(rng, content)
    if chance(rng, 0.3):
        content = damaged(rng, content)
    return Stored(stem + suffix, content, len(content))


def plain_png(rng: Random) -> bytes:
    """A PNG that nothing is wrong with."""
    return _picture(rng, "PNG")


def _picture(rng: Random, form: str) -> bytes:
    mode = rng.choice(_MODES[form])
    size = (rng.choice((1, 2, 16, 33, 40)), rng.choice((1, 2, 16, 31)))
    image = _image(rng, mode, size)
    out = io.BytesIO()
    options: dict[str, object] = {}
    if form in ("PNG", "JPEG") and chance(rng, 0.2):
        exif = Image.Exif()
        exif[0x0112] = rng.choice((1, 2, 3, 6, 8, 9))  # orientation
        options["exif"] = exif.tobytes() if chance(rng, 0.7) else b"Exif\0\0" + rng.randbytes(30)
    if form == "PNG" and chance(rng, 0.1):
        notes = PngImagePlugin.PngInfo()
        notes.add_text("Comment", "x" * rng.choice((1, 1000, 2_000_000)), zip=chance(rng, 0.5))
        options["pnginfo"] = notes
    if form == "PNG" and mode in ("L", "RGB") and chance(rng, 0.1):
        options["transparency"] = 0 if mode == "L" else (0, 0, 0)
    if form == "JPEG":
        options |= {"quality": rng.choice((1, 50, 95)), "progressive": chance(rng, 0.3)}
    image.save(out, form, **options)
    return out.getvalue()


def _image(rng: Random, mode: str, size: tuple[int, int]) -> Image.Image:
    draws = np.random.default_rng(rng.getrandbits(32))
    width, height = size
    if mode == "I;16":
        return Image.fromarray(draws.integers(0, 2**16, (height, width), np.uint16))
    if mode == "F":
        return Image.fromarray(draws.normal(0, 100, (height, width)).astype(np.float32))
    grey = draws.integers(0, 256, (height, width), np.uint8)
    if chance(rng, 0.3):
        grey[:] = rng.choice((0, 255))
    image = Image.fromarray(grey)
    if mode in ("RGBA", "LA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(draws.integers(0, 256, (height, width), np.uint8)))
        return image
    return image if mode == "L" else image.convert(mode)


def _with_size(rng: Random, content: bytes) -> bytes:
    """A PNG whose header says another size, under the right checksum."""
    big = rng.choice(((13_000, 13_000), (30_000, 30_000), (1, 2**31 - 1), (0, 5), (2**31, 9)))
    depth, colour = rng.choice(((8, 0), (8, 2), (8, 6), (16, 6), (1, 0), (16, 0), (3, 7)))
    chunk = b"IHDR" + struct.pack(">IIBB", *big, depth, colour) + content[26:29]
    return content[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]
