"""Healthy brains of any contrast, painted from parcellations of real ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

SHAPE = (48, 64, 64)
"""Slices from inferior upwards, rows from posterior to anterior, columns from left to right."""
SPACING_MM, SOURCE_MM = 3.25, 2.0
ZOOMS = (0.95, 1.4)
"""Of the spacing: in part, the brains are smaller than they are."""
FLUID, CORTEX, WHITE, DEEP, CEREBELLAR_GREY, CEREBELLAR_WHITE, STEM = range(1, 8)
N_TISSUES = 8
FLUID_LABELS = (1, 4, 11, 46, 49, 50, 51, 52, 63, 64, 69)
DEEP_LABELS = (23, 30, 36, 37, 55, 56, 57, 58, 59, 60, 75, 76)
CEREBELLAR_LABELS, CEREBELLAR_WHITE_LABELS = (38, 39, 71, 72, 73), (40, 41)
STEM_LABELS, WHITE_LABELS = (35, 61, 62), tuple(range(81, 96))
FAMILIES = {"flair": 0.24, "t2": 0.2, "t1": 0.2, "t1ce": 0.2, "pd": 0.04, "random": 0.12}
"""Kinds of contrast, and how often each is drawn."""


@dataclass(frozen=True)
class Person:
    """On the grid of the parcellation (2 mm, RAS), cropped to the brain.

    Attributes:
        tissues: 0 outside, else `FLUID` to `STEM`, ``(X, Y, Z)`` uint8.
        texture: the T1w image less the mean of its tissue around, fluid-to-white contrast = 0.6.
    """

    tissues: np.ndarray
    texture: np.ndarray


@dataclass(frozen=True)
class Brain:
    """On the working grid, all ``SHAPE``.

    Attributes:
        family: of its contrast.
        image: float16, any unit, 0 outside.
        brain, fluid, white: bool.
        unknown: bool, neither healthy nor a lesion for certain; None for nowhere.
    """

    family: str
    image: np.ndarray
    brain: np.ndarray
    fluid: np.ndarray
    white: np.ndarray
    unknown: np.ndarray | None = None


def load_person(image: Path, parcels: Path) -> Person:
    """A T1w image and its DLMUSE parcellation on the same grid."""
    t1 = np.asarray(nib.as_closest_canonical(nib.load(image)).dataobj, dtype=np.float32)
    labels = np.asarray(nib.as_closest_canonical(nib.load(parcels)).dataobj).astype(np.int16)
    box = ndimage.find_objects((labels > 0).astype(np.uint8))[0]
    near = tuple(
        slice(max(b.start - 3, 0), min(b.stop + 3, n)) for b, n in zip(box, t1.shape, strict=True)
    )
    t1, tissues = t1[near], _tissues(labels[near])
    white, fluid = (np.median(t1[tissues == tissue]) for tissue in (WHITE, FLUID))
    t1 = (t1 - fluid) / (white - fluid) * 0.6 + 0.15
    texture = np.zeros_like(t1)
    for tissue in range(1, N_TISSUES):
        inside = tissues == tissue
        weight = ndimage.gaussian_filter(inside.astype(np.float32), 4)
        around = ndimage.gaussian_filter(t1 * inside, 4) / np.maximum(weight, 1e-3)
        texture += np.where(inside, np.clip(t1 - around, -0.25, 0.25), 0)
    return Person(tissues, texture.astype(np.float32))


def _tissues(labels: np.ndarray) -> np.ndarray:
    tissues = np.where(labels > 0, CORTEX, 0).astype(np.uint8)
    for names, tissue in (
        (FLUID_LABELS, FLUID),
        (WHITE_LABELS, WHITE),
        (DEEP_LABELS, DEEP),
        (CEREBELLAR_LABELS, CEREBELLAR_GREY),
        (CEREBELLAR_WHITE_LABELS, CEREBELLAR_WHITE),
        (STEM_LABELS, STEM),
    ):
        tissues[np.isin(labels, names)] = tissue
    return tissues


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], n_knots: int) -> np.ndarray:
    """Smooth noise of mean 0 and a spread of about 1, so many knots along each axis."""
    coarse = torch.from_numpy(rng.normal(size=(1, 1, *(n_knots,) * 3)).astype(np.float32))
    twice = functional.interpolate(coarse, scale_factor=2, mode="trilinear", align_corners=True)
    smooth = functional.avg_pool3d(functional.pad(twice, (1,) * 6, mode="replicate"), 3, 1)
    field = functional.interpolate(smooth, size=shape, mode="trilinear", align_corners=True)
    return np.asarray(field[0, 0].numpy() * 1.5)


def contrast(rng: np.random.Generator, family: str) -> np.ndarray:
    """Mean intensity of each tissue, ``(N_TISSUES,)``."""
    if family == "flair":
        white = rng.uniform(0.4, 0.6)
        grey, fluid = white + rng.uniform(0, 0.25), rng.uniform(0.03, 0.3)
    elif family == "t2":
        white = rng.uniform(0.25, 0.45)
        grey = white + rng.uniform(0.05, 0.25)
        fluid = grey + rng.uniform(0.2, 0.6)
    elif family in ("t1", "t1ce"):
        white = rng.uniform(0.55, 0.85)
        grey = white - rng.uniform(0.02, 0.2)
        fluid = grey - rng.uniform(0.12, 0.4)
    elif family == "pd":
        white = rng.uniform(0.45, 0.65)
        grey, fluid = white + rng.uniform(0.05, 0.25), white + rng.uniform(-0.15, 0.35)
    else:
        white, grey, fluid = rng.uniform(0.1, 1, 3)

    def other() -> float:
        return float(rng.normal(0, 0.03))

    means = np.zeros(N_TISSUES, dtype=np.float32)
    means[[FLUID, CORTEX, WHITE]] = fluid, grey + other() / 2, white
    means[DEEP] = grey + (white - grey) * rng.uniform(0, 0.6) + other()
    means[[CEREBELLAR_GREY, CEREBELLAR_WHITE]] = grey + other(), white + other()
    means[STEM] = white + (grey - white) * rng.uniform(0, 0.5) + other()
    return means


def paint(person: Person, family: str, rng: np.random.Generator) -> Brain:
    """A healthy brain of a contrast that nobody has seen, turned, bent and sampled anew."""
    inside = person.tissues > 0
    blur = rng.uniform(0.3, 0.7)
    weight = ndimage.gaussian_filter(inside.astype(np.float32), blur)
    image = contrast(rng, family)[person.tissues] * inside
    image = ndimage.gaussian_filter(image, blur) / np.maximum(weight, 1e-3)
    gain = rng.uniform(0.2, 1) if family in ("t1", "t1ce") else rng.uniform(-0.8, 0.8)
    image += gain * person.texture
    image += _caps(person.tissues, inside, family, rng)
    if family == "t1ce":
        image += _enhancing(person.tissues, inside, rng)
    image += _scraps(inside, rng)
    points = _points(person.tissues.shape, inside, rng)
    width = SPACING_MM / SOURCE_MM / 2.355 * 1.2
    share = ndimage.gaussian_filter(inside.astype(np.float32), width)
    image = ndimage.gaussian_filter(image * inside, width) / np.maximum(share, 1e-3)
    brain = _sampled(share, points) > rng.uniform(0.3, 0.7)
    bias = np.exp(rng.uniform(0, 0.25) * smooth_field(rng, SHAPE, 4))
    drawn = _sampled(image, points) * bias + rng.normal(0, rng.uniform(0.003, 0.035), SHAPE)
    return Brain(
        family,
        np.where(brain, drawn, 0).astype(np.float16),
        brain,
        _sampled((person.tissues == FLUID).astype(np.float32), points) > 0.5,
        _sampled((person.tissues == WHITE).astype(np.float32), points) > 0.5,
    )


def _caps(
    tissues: np.ndarray, inside: np.ndarray, family: str, rng: np.random.Generator
) -> np.ndarray | float:
    """White matter around the ventricles, as it looks in old people."""
    if family not in ("flair", "t2", "pd") or rng.random() > 0.4:
        return 0.0
    deep = ndimage.uniform_filter(inside.astype(np.float32), 17) > 0.98
    distance = ndimage.distance_transform_edt(~((tissues == FLUID) & deep)) * SOURCE_MM
    caps = np.exp(-((distance / rng.uniform(2, 5)) ** 2)) * (tissues == WHITE)
    return rng.uniform(0.1, 0.4) * caps * np.clip(smooth_field(rng, tissues.shape, 10) + 0.3, 0, 2)


def _enhancing(tissues: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sinuses, dura and vessels under contrast agent: along the surface, in threads and spots."""
    depth = ndimage.distance_transform_edt(inside) * SOURCE_MM
    rim = np.exp(-((depth / rng.uniform(1.5, 4)) ** 2))
    threads = np.exp(-((smooth_field(rng, tissues.shape, 14) / 0.12) ** 2))
    patchy = np.clip(smooth_field(rng, tissues.shape, 8) + rng.uniform(-0.8, 0.4), 0, 2)
    grey_or_fluid = (tissues == FLUID) | (tissues == CORTEX)
    return rng.uniform(0.05, 0.5) * patchy * np.maximum(rim, threads * grey_or_fluid)


def _scraps(inside: np.ndarray, rng: np.random.Generator) -> np.ndarray | float:
    """What a skull-stripping leaves at the surface: spots far brighter than the brain."""
    if rng.random() < 0.4:
        return 0.0
    depth = ndimage.distance_transform_edt(inside) * SOURCE_MM
    spots = smooth_field(rng, inside.shape, int(rng.integers(10, 18))) - rng.uniform(0.6, 1.8)
    return rng.uniform(0.3, 2.0) * (depth < rng.uniform(2, 7)) * np.clip(3 * spots, 0, 1)


def _points(
    shape: tuple[int, ...], inside: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Where each voxel of the working grid lies in the person's grid, ``(3, *SHAPE)``."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(rng.normal(0, 6, 3))):
        i, j = (k for k in range(3) if k != axis)
        one = np.eye(3)
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        turn = turn @ one
    turn = turn @ np.diag(rng.uniform(0.9, 1.1, 3))
    box = ndimage.find_objects(inside.astype(np.uint8))[0]
    centre = np.array([(b.start + b.stop - 1) / 2 for b in box])
    axes = [np.arange(n) - (n - 1) / 2 for n in SHAPE]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    if rng.random() < 0.5:
        x = -x
    further = rng.uniform(*ZOOMS) if rng.random() < 0.6 else 1
    offsets = np.stack([x, y, z]) * further * SPACING_MM / SOURCE_MM
    points = np.tensordot(turn, offsets, 1) + centre[:, None, None, None]
    strength = rng.uniform(0, 1.8)
    return tuple(point + strength * smooth_field(rng, SHAPE, 6) for point in points)


def _sampled(volume: np.ndarray, points: tuple[np.ndarray, ...]) -> np.ndarray:
    scaled = [2 * p / (n - 1) - 1 for p, n in zip(points, volume.shape, strict=True)]
    where = torch.from_numpy(np.stack(scaled[::-1], -1).astype(np.float32))[None]
    source = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))[None, None]
    return np.asarray(functional.grid_sample(source, where, align_corners=True)[0, 0].numpy())
