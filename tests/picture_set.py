"""A stand-in for collections of JPEGs of heads, as the web has them: synthetic slices with skull.

``{Training,Testing}/{glioma,meningioma,notumor,pituitary}/*.jpg`` in the shares of the set of 7,023
pictures that brain_damage is trained on: three planes and three contrasts mixed, sides of 150 to
1024 pixels, grey as RGB, a background that is not 0, some with a banner, a white edge or letters.

``python tests/picture_set.py FOLDER --pictures 7023`` writes one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from pipeline.phantom.subject import Phantom, make_phantom

SHARES = {
    "Training": {"glioma": 1321, "meningioma": 1339, "notumor": 1595, "pituitary": 1457},
    "Testing": {"glioma": 300, "meningioma": 306, "notumor": 405, "pituitary": 300},
}
"""Pictures of each folder in the set of 7,023."""
SIDES = (150, 225, 256, 350, 512, 512, 512, 630, 1024)
MODALITIES = ("t1", "t2", "flair")
CORNER = ("none", "none", "none", "banner", "white edge", "letters")


def head_of(brain: np.ndarray, inside: np.ndarray, pixel_mm: float) -> np.ndarray:
    """A slice of a brain ``(rows, columns)`` in [0, 1] with fluid, skull and scalp around it."""
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(inside, 12), iterations=8))
    filled = np.asarray(filled)[12:-12, 12:-12]
    outside_mm = ndimage.distance_transform_edt(~filled) * pixel_mm
    rings = [
        (outside_mm < 16, 0.75),  # scalp
        (outside_mm < 11, 0.06),  # skull
        (outside_mm < 4, 0.2),  # fluid
    ]
    head = np.zeros(brain.shape, np.float32)
    for where, grey in rings:
        head[where] = grey
    head[inside] = brain[inside]
    return head


def draw_slice(rng: np.random.Generator, phantom: Phantom, *, ill: bool) -> np.ndarray:
    """A head in one plane and contrast, ``(rows, columns)`` float32 in [0, 1]."""
    image = phantom.images[MODALITIES[int(rng.integers(len(phantom.images)))]]
    axis = int(rng.integers(3))
    others = tuple(i for i in range(3) if i != axis)
    size = (phantom.label if ill else phantom.brain_mask).astype(bool).sum(others)
    places = np.flatnonzero(size >= (0.5 if ill else 0.6) * size.max())
    cut = (slice(None),) * axis + (int(rng.choice(places)),)
    brain, inside = image[cut].T[::-1], phantom.brain_mask[cut].T[::-1]
    white = float(np.quantile(image[phantom.brain_mask], 0.998))
    pixel_mm = abs(float(phantom.affine[0, 0]))
    room = int(np.ceil(20 / pixel_mm))
    return head_of(
        np.pad(np.clip(brain / white, 0, 1), room), np.pad(inside, room), pixel_mm
    ).astype(np.float32)


def draw_picture(
    rng: np.random.Generator, phantom: Phantom, *, ill: bool, corner: str = "none"
) -> np.ndarray:
    """A head as the web has it: ``(rows, columns)`` uint8.

    Args:
        rng: drawn from.
        phantom: in the contrasts of `MODALITIES`.
        ill: whether the slice shows its tumour.
        corner: one of `CORNER`: what does not belong to the head.
    """
    head = draw_slice(rng, phantom, ill=ill)
    rows, columns = np.nonzero(head)
    margin = rng.integers(2, 14, 4)
    box = head[
        max(0, rows.min() - margin[0]) : rows.max() + margin[1],
        max(0, columns.min() - margin[2]) : columns.max() + margin[3],
    ]
    side = int(rng.choice(SIDES))
    zoom = side / max(box.shape)
    size = (max(1, round(box.shape[1] * zoom)), max(1, round(box.shape[0] * zoom)))
    large = np.asarray(Image.fromarray(box).resize(size, Image.Resampling.BICUBIC))
    air = rng.uniform(2, 14)
    noise = np.abs(rng.normal(air, air / 3, large.shape))
    grey = np.clip(np.maximum(235 * large, 0) + noise, 0, 255).astype(np.uint8)
    return _with_corner(rng, grey, corner)


def _with_corner(rng: np.random.Generator, grey: np.ndarray, corner: str) -> np.ndarray:
    n = max(2, round(0.015 * max(grey.shape)))
    if corner == "white edge":
        return np.pad(grey, int(rng.integers(n, 3 * n)), constant_values=255)
    if corner == "banner":
        return np.concatenate([grey, np.full((4 * n, grey.shape[1]), 250, np.uint8)])
    if corner == "letters":
        canvas = Image.fromarray(grey)
        ImageDraw.Draw(canvas).text((n, n), "R", fill=255, font_size=4 * n)
        return np.asarray(canvas)
    return grey


def make_phantoms(seed: int, n: int, spacing_mm: float, *, tumour: bool) -> list[Phantom]:
    """Brains to cut pictures out of."""
    return [
        make_phantom(
            np.random.default_rng([seed, i]), MODALITIES, tumour=tumour, spacing_mm=spacing_mm
        )
        for i in range(n)
    ]


def write_picture_set(
    root: Path, n_pictures: int, *, n_brains: int = 40, spacing_mm: float = 1.5, seed: int = 0
) -> Path:
    """Write some of the set, in its shares; at least one picture a folder."""
    healthy = make_phantoms(seed, n_brains, spacing_mm, tumour=False)
    ill = make_phantoms(seed + 1, n_brains, spacing_mm, tumour=True)
    total = sum(sum(folders.values()) for folders in SHARES.values())
    for split, folders in SHARES.items():
        for name, share in folders.items():
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(max(1, round(n_pictures * share / total))):
                rng = np.random.default_rng([seed, len(split), sum(map(ord, name)), i])
                # Brains of one split are not in the other.
                brains = (healthy if name == "notumor" else ill)[split == "Testing" :: 2]
                phantom = brains[int(rng.integers(len(brains)))]
                picture = draw_picture(
                    rng, phantom, ill=name != "notumor", corner=CORNER[int(rng.integers(6))]
                )
                path = folder / f"{split[:2]}-{name[:2]}_{i:04d}.jpg"
                Image.fromarray(picture).convert("RGB").save(path, quality=85)
    return root


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=7023)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_picture_set(arguments.folder, arguments.pictures, seed=arguments.seed)
