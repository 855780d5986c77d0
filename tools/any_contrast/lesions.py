"""Lesions put into healthy brains on the working grid: tumours with their parts, blobs, strokes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from tools.any_contrast.healthy import SHAPE, SPACING_MM, Brain, smooth_field

RADII_MM = (4.5, 40.0)
BRIGHT = {"flair": 0.87, "t2": 0.87, "pd": 0.75, "t1": 0.2, "t1ce": 0.35, "random": 0.5}
"""How often a lesion is brighter than what was there, by the kind of contrast."""
FAINT = {"t1": 0.45, "t1ce": 0.45}
"""How often a lesion hardly shows, where not 0.2: of oedema these contrasts show little."""
_AXES = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in SHAPE], indexing="ij"))


@dataclass(frozen=True)
class Sample:
    """Both images ``SHAPE`` float32 in the brain's own unit; masks bool."""

    image: np.ndarray
    healthy: np.ndarray
    lesion: np.ndarray


def load_shapes(folder: Path, min_ml: float = 1.0) -> list[np.ndarray]:
    """Masks of real lesions on voxels of `SPACING_MM`, share of lesion in each, cropped."""
    shapes = []
    for path in sorted(folder.glob("*.nii.gz")):
        image = nib.load(path)
        mask = np.asarray(image.dataobj) > 0
        if mask.sum() * float(np.prod(image.header.get_zooms()[:3])) < 1000 * min_ml:
            continue
        box = ndimage.find_objects(mask.astype(np.uint8))[0]
        cropped = np.pad(mask[box].astype(np.float32), 3).transpose(2, 1, 0)
        soft = ndimage.gaussian_filter(cropped, SPACING_MM / 2.355)
        shapes.append(ndimage.zoom(soft, 1 / SPACING_MM, order=1).astype(np.float16))
    return shapes


def with_lesions(brain: Brain, shapes: Sequence[np.ndarray], rng: np.random.Generator) -> Sample:
    """The brain with one lesion, in three of ten with up to four; in some with none."""
    image = brain.image.astype(np.float32)
    healthy, lesion = image, np.zeros(SHAPE, dtype=bool)
    if rng.random() > 0.9:
        return Sample(image, healthy, lesion)
    values = image[brain.brain]
    low, high = np.quantile(values, [0.05, 0.95])
    spread = float(high - low) + 1e-3
    for _ in range(int(rng.integers(2, 5)) if rng.random() < 0.3 else 1):
        distance = _real(shapes, brain, rng) if rng.random() < 0.25 else _blob(brain, rng)
        if rng.random() < 0.4:
            pushed = _pushed(np.stack([image, healthy]), distance, rng)
            image, healthy = np.where(brain.brain, pushed, 0)
        where = brain.brain if rng.random() < 0.4 else brain.brain & ~brain.fluid
        softness = rng.uniform(0.03, 0.25)
        share = where / (1 + np.exp((distance - 1) / softness))
        inside = share > 0.5
        if inside.sum() < 4:
            continue
        new = _painted(image, distance, inside, brain.family, spread, rng)
        image = image * (1 - share) + new * share
        lesion = lesion | inside
    return Sample(image.astype(np.float32), healthy.astype(np.float32), lesion)


def _blob(brain: Brain, rng: np.random.Generator) -> np.ndarray:
    """Distance from the centre in radii, ``SHAPE``; below 1 is the lesion."""
    among = brain.white if rng.random() < 0.5 and brain.white.any() else brain.brain
    places = np.argwhere(among)
    centre = places[rng.integers(len(places))]
    smallest, largest = np.log(RADII_MM)
    radius = np.exp(smallest + (largest - smallest) * rng.random() ** 0.7) / SPACING_MM
    axes = radius * np.exp(rng.normal(0, 0.25, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    offsets = np.tensordot(turn, _AXES - centre[:, None, None, None], 1)
    distance = np.sqrt(((offsets / axes[:, None, None, None]) ** 2).sum(0))
    rough = rng.uniform(0.1, 0.7) * smooth_field(rng, SHAPE, int(rng.integers(5, 14)))
    distance = distance * np.exp(rough)
    if rng.random() < 0.5:  # spreads along the white matter
        distance = distance * np.where(brain.white, 1, rng.uniform(1, 2.2))
    return distance.astype(np.float32)


def _real(shapes: Sequence[np.ndarray], brain: Brain, rng: np.random.Generator) -> np.ndarray:
    """As `_blob`, of a real lesion turned and put anywhere."""
    shape = shapes[rng.integers(len(shapes))].astype(np.float32)
    places = np.argwhere(brain.brain)
    centre = places[rng.integers(len(places))]
    linear = np.linalg.qr(rng.normal(0, 1, (3, 3)) * 0.35 + np.eye(3))[0] / rng.uniform(0.8, 1.4)
    if rng.random() < 0.5:
        linear[:, 2] *= -1
    offset = (np.array(shape.shape) - 1) / 2 - linear @ centre
    share = ndimage.affine_transform(shape, linear, offset, output_shape=SHAPE, order=1)
    return (1 + 2 * (0.5 - share)).astype(np.float32)  # 0 inside, 2 far away


def _pushed(images: np.ndarray, distance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tissue ``(K, *SHAPE)`` moved outwards around a lesion, most at its edge."""
    smooth = ndimage.gaussian_filter(np.minimum(distance, 3), 1.5)
    gradient = np.stack(np.gradient(smooth))
    length = np.maximum(np.sqrt((gradient**2).sum(0)), 1e-3)
    size = rng.uniform(0.3, 4.0) * np.exp(-(((smooth - 0.9) / rng.uniform(0.5, 1.2)) ** 2))
    source = _AXES - gradient / length * size
    scaled = [2 * s / (n - 1) - 1 for s, n in zip(source, SHAPE, strict=True)]
    where = torch.from_numpy(np.stack(scaled[::-1], -1).astype(np.float32))[None]
    moved = functional.grid_sample(
        torch.from_numpy(images.astype(np.float32))[None],
        where,
        align_corners=True,
        padding_mode="border",
    )
    return np.asarray(moved[0].numpy())


def _painted(
    image: np.ndarray,
    distance: np.ndarray,
    inside: np.ndarray,
    family: str,
    spread: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """What the lesion looks like, everywhere: its mask is applied by the caller."""
    middle = float(np.median(image[inside]))
    sign = 1 if rng.random() < BRIGHT[family] else -1
    faint = rng.random() < FAINT.get(family, 0.2)
    change = sign * spread * (rng.uniform(0.06, 0.2) if faint else rng.uniform(0.15, 1.1))
    kind = rng.random()
    if kind < 0.5:  # keeps the texture
        new = image + change
    elif kind < 0.75:  # flattens it
        new = middle + change + rng.uniform(0, 0.5) * (image - middle)
    else:  # has one of its own
        own = smooth_field(rng, SHAPE, int(rng.integers(8, 20)))
        new = middle + change * (0.8 + rng.uniform(0.1, 0.6) * own)
    if rng.random() < (0.6 if family in FAINT else 0.45):
        new = _with_core(new, distance, middle, family, spread, rng)
    return new


def _with_core(
    new: np.ndarray,
    distance: np.ndarray,
    middle: float,
    family: str,
    spread: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """A core of another intensity, at times with a rim around it."""
    end = rng.uniform(0.35, 0.85)
    uneven = distance * np.exp(0.2 * smooth_field(rng, SHAPE, 9))
    core = 1 / (1 + np.exp((uneven - end) / 0.06))
    likes = {"t2": (-0.2, 1), "flair": (-0.8, 0.6), "t1": (-1, 0.1), "t1ce": (-1, 0.2)}
    value = middle + spread * rng.uniform(*likes.get(family, (-0.9, 0.9)))
    new = new * (1 - core) + value * core
    if rng.random() < (0.75 if family == "t1ce" else 0.3):
        ring = np.exp(-(((uneven - end) / rng.uniform(0.05, 0.2)) ** 2))
        bright = family == "t1ce" or rng.random() < 0.5
        value = middle + spread * rng.uniform(0.2, 1) * (1 if bright else -1)
        new = new * (1 - ring) + value * ring
    return new
