"""Healthy brains: the MNI152 template deformed, and sorted into tissues."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy import ndimage

from pipeline.cases.brain.parts import largest_part
from pipeline.errors import InputError
from pipeline.files.images.reading import read_volume
from pipeline.phantom.splines import smooth_field, spline_at

KNOT_MM = 4.0
"""Spacing of the grid on which deformations live."""
CSF_T1, GREY_T1, WHITE_T1 = 65.0, 165.0, 223.0
"""Intensities of the template's tissues in its T1 image."""


@dataclass(frozen=True)
class Template:
    """The MNI152 brain on its own 1 mm RAS grid, ``(X, Y, Z)`` float32 each.

    Attributes:
        t1: intensities, see `CSF_T1`.
        grey, white: shares of the tissues, in 0..1.
        depth_mm: below the brain's surface, negative outside.
        towards_ventricles: ``(3, A, B, C)`` on the knots, at most 1 long.
    """

    t1: np.ndarray
    grey: np.ndarray
    white: np.ndarray
    depth_mm: np.ndarray
    towards_ventricles: np.ndarray


@dataclass(frozen=True)
class Composition:
    """What the voxels of a brain are made of, ``(X, Y, Z)`` each, float32 except for the mask.

    Attributes:
        brain_mask: bool.
        csf, grey, white: shares that add up to 1.
        texture: what the T1 template shows beyond its tissue shares, in units of white matter.
        rim: how near the ventricles white matter lies, in 0..1.
    """

    brain_mask: np.ndarray
    csf: np.ndarray
    grey: np.ndarray
    white: np.ndarray
    texture: np.ndarray
    rim: np.ndarray

    def within(self, box: tuple[slice, ...]) -> Composition:
        """Those of a box of the grid."""
        return Composition(*(getattr(self, part.name)[box] for part in fields(self)))


@dataclass(frozen=True)
class Anatomy:
    """One subject.

    Attributes:
        box: of the brain and a margin, on the output grid.
        tissues: in the box.
        age: from 0, small ventricles and narrow sulci, to 1.
        ventricles_mm: largest displacement of the tissue at the ventricles.
        scale: of the template, along each axis.
    """

    box: tuple[slice, ...]
    tissues: Composition
    age: float
    ventricles_mm: float
    scale: tuple[float, float, float]


@lru_cache(maxsize=2)
def load_template(spacing_mm: float = 1.0) -> Template:
    """The template from the nilearn wheel, smoothed for sampling at ``spacing_mm``."""
    fine = _read_template()
    sigma = 0.4 * np.sqrt(max(spacing_mm**2 - 1, 0))
    if sigma == 0:
        return fine
    t1, grey, white = (ndimage.gaussian_filter(v, sigma) for v in (fine.t1, fine.grey, fine.white))
    return replace(fine, t1=t1, grey=grey, white=white)


@lru_cache(maxsize=1)
def _read_template() -> Template:
    """Read the template and sharpen it.

    Raises:
        InputError: nilearn is not installed.
    """
    spec = find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("phantoms stand on the brain template in nilearn; pip install nilearn")
    # Read beside nilearn's loaders: importing nilearn.datasets takes longer than a whole phantom.
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    t1, grey, white = (
        read_volume(folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz").data
        for name in ("t1", "gm", "wm")
    )
    brain = ndimage.binary_fill_holes(t1 > 0)
    # The template's neck is cut by its lowest slice, which would go on for ever.
    brain[:, :, 0] = False
    depth_mm = ndimage.distance_transform_edt(brain) - ndimage.distance_transform_edt(~brain)
    fluid = (depth_mm > 20) & (grey + white < 100)
    # An average of 152 heads is soft; unsharp masking gives back some of one head's edges.
    t1 += 0.9 * (t1 - ndimage.gaussian_filter(t1, 1.5)) * (depth_mm > 1)
    towards = _towards(fluid)
    return Template(t1, grey / 255, white / 255, depth_mm.astype(np.float32), towards)


def _towards(region: np.ndarray) -> np.ndarray:
    """Unit-scaled vectors ``(3, A, B, C)`` on the knot grid that point into ``region``."""
    blurred = ndimage.gaussian_filter(region.astype(np.float32), 7.0)
    coarse = blurred[tuple(slice(None, None, int(KNOT_MM)) for _ in range(3))]
    gradient = np.array(np.gradient(coarse))
    towards = gradient / np.sqrt((gradient**2).sum(axis=0)).max()
    return np.asarray(towards, dtype=np.float32)


def draw_deformation(rng: np.random.Generator, ventricles_mm: float) -> np.ndarray:
    """A random invertible deformation of the template.

    A smooth velocity field at three scales, plus flow out of (or, where ``ventricles_mm`` < 0,
    into) the ventricles, integrated by scaling and squaring (Arsigny et al., MICCAI 2006).

    Args:
        rng: drawn from.
        ventricles_mm: largest displacement of the tissue at the ventricles.

    Returns:
        Displacement in mm, ``(3, A, B, C)`` float32 on the template's 4 mm knots, to be added to
        a position in the subject to reach the template.
    """
    towards = load_template().towards_ventricles
    shape, knots = towards.shape[1:], np.full(3, KNOT_MM)
    velocity: np.ndarray = ventricles_mm * towards
    for scale_mm, size_mm in ((45.0, 3.0), (22.0, 1.8), (10.0, 1.0)):
        velocity = velocity + size_mm * np.stack(
            [smooth_field(rng, shape, knots, scale_mm) for _ in range(3)]
        )
    n_squarings = 6
    displacement: np.ndarray = velocity / 2**n_squarings
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"))
    for _ in range(n_squarings):
        points = grid + displacement / KNOT_MM
        displacement = displacement + np.stack(
            [ndimage.map_coordinates(d, points, order=1, mode="nearest") for d in displacement]
        )
    return displacement.astype(np.float32)


def draw_anatomy(rng: np.random.Generator, shape: tuple[int, ...], spacing_mm: float) -> Anatomy:
    """Deform the template onto the output grid and sort its voxels into tissues.

    Args:
        rng: drawn from.
        shape: X, Y, Z of the output grid.
        spacing_mm: of its voxels.
    """
    age = float(rng.beta(1.6, 1.8))
    ventricles_mm = float(np.clip(-2.0 + 10.0 * age**1.5 + rng.normal(0, 1.0), -4.0, 8.0))
    scale = float(rng.uniform(0.87, 0.955)) * np.exp(rng.normal(0, 0.018, 3))
    template = load_template(spacing_mm)
    displacement = draw_deformation(rng, ventricles_mm)
    # Brains of one atlas: nearly centred, upright; x and y run towards left and posterior.
    centre = np.array([98.0, 116.0, 79.0]) + rng.normal(0, 1.5, 3)
    directions = np.array([-1, -1, 1]) * spacing_mm / scale
    axes = [
        (np.arange(n) - (n - 1) / 2) * d + c
        for n, d, c in zip(shape, directions, centre, strict=True)
    ]
    box = tuple(
        slice(*(np.flatnonzero((a > -6) & (a < n + 6))[[0, -1]] + [0, 1]))
        for a, n in zip(axes, template.t1.shape, strict=True)
    )
    axes = [a[cut] for a, cut in zip(axes, box, strict=True)]
    points = np.stack([spline_at(d, [a / KNOT_MM for a in axes]) for d in displacement])
    for axis, a in enumerate(axes):
        points[axis] += a.astype(np.float32).reshape([-1 if k == axis else 1 for k in range(3)])
    tissues = _sort_tissues(rng, template, points, age, spacing_mm)
    inner = _around_brain(tissues.brain_mask)
    return Anatomy(
        box=tuple(
            slice(b.start + c.start, min(b.start + c.stop, b.stop))
            for b, c in zip(box, inner, strict=True)
        ),
        tissues=tissues.within(inner),
        age=round(age, 3),
        ventricles_mm=round(ventricles_mm, 2),
        scale=(round(float(scale[0]), 3), round(float(scale[1]), 3), round(float(scale[2]), 3)),
    )


def _around_brain(brain_mask: np.ndarray) -> tuple[slice, ...]:
    """The box of the brain and a margin of two voxels; its end may lie beyond the array."""
    cuts = []
    for axis in range(3):
        hit = np.flatnonzero(brain_mask.any(axis=tuple(a for a in range(3) if a != axis)))
        cuts.append(slice(max(int(hit[0]) - 2, 0), int(hit[-1]) + 3))
    return tuple(cuts)


def _step(values: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """Smooth step from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _sort_tissues(
    rng: np.random.Generator,
    template: Template,
    points: np.ndarray,
    age: float,
    spacing_mm: float,
) -> Composition:
    """Sort the template at points ``(3, X, Y, Z)``, in its voxels, into tissues."""
    shape, spacing = points.shape[1:], np.full(3, spacing_mm)
    depth = ndimage.map_coordinates(template.depth_mm, points, order=1, mode="nearest")
    # Brain extraction is here tight and there leaves fluid outside the cortex.
    margin = float(rng.uniform(-1.0, 0.7)) + 0.9 * smooth_field(rng, shape, spacing, 9.0)
    brain = depth > np.clip(margin, -2.0, 2.0)
    where = depth > -2.5
    t1, grey, white = (
        _sampled(v, points, where) for v in (template.t1, template.grey, template.white)
    )
    sulci, ribbon = _draw_folds(rng, points, depth, spacing)
    cut = 116.0 + 14.0 * age
    fluid = _step(t1 - (75 + 45 * age) * sulci, cut + 28, cut - 28)
    fluid = np.maximum(fluid, _step(1 - grey - white, 0.45, 0.8))
    bright = np.clip((t1 - GREY_T1) / (WHITE_T1 - GREY_T1), 0, 1)
    bright = _step(0.5 * white + 0.5 * bright, 0.3, 0.9) * (1 - ribbon)
    white = (1 - fluid) * bright
    grey = (1 - fluid) * (1 - bright)
    texture = (t1 - (CSF_T1 * fluid + GREY_T1 * grey + WHITE_T1 * white)) / WHITE_T1
    texture = np.clip(texture, -0.15, 0.15) * (1 - fluid) * (1 - ribbon)
    brain &= largest_part(brain)
    deep = fluid * (depth > 18)
    rim = ndimage.gaussian_filter(deep.astype(np.float32), 1.6 / spacing) * white
    return Composition(brain, fluid, grey, white, texture, rim)


def _sampled(volume: np.ndarray, points: np.ndarray, where: np.ndarray) -> np.ndarray:
    out = np.zeros(where.shape, np.float32)
    out[where] = ndimage.map_coordinates(volume, points[:, where], order=1, mode="nearest")
    return out


def _draw_folds(
    rng: np.random.Generator, points: np.ndarray, depth: np.ndarray, spacing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sulci that the average brain has lost, [0, 1]: random sheets of fluid, lined with cortex."""
    field = smooth_field(rng, depth.shape, spacing, 6.5)
    reach = 11.0 + 3.5 * smooth_field(rng, depth.shape, spacing, 15.0)
    band = _step(depth, reach, reach - 5.0)
    band *= 1 - _step(points[1], 85.0, 70.0) * _step(points[2], 62.0, 50.0)
    lining = _step(depth, reach + 3.0, reach - 3.0) * (band > 0)
    # Level sets close into shells, which a slice shows as rings; gaps leave open furrows.
    gaps = _step(smooth_field(rng, depth.shape, spacing, 4.5), -0.6, 0.0)
    return np.exp(-((field / 0.17) ** 2)) * band * gaps, np.exp(-((field / 0.55) ** 4)) * lining
