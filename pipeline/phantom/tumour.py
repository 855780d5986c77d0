"""A tumour model: draws a glioma and puts it into a healthy skull-stripped brain on any grid."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.errors import InputError
from pipeline.files.images.volume import voxel_volume_ml
from pipeline.files.record.cohort import TumourFacts
from pipeline.phantom.growth import (
    ENHANCING,
    NECROSIS,
    OEDEMA,
    grow,
    mass_effect,
    pull,
    pushed,
)
from pipeline.phantom.paint import CONTRASTS, ODDS, draw_appearance, paint
from pipeline.phantom.plan import (
    Plan,
    Site,
    bounding_box,
    box_around,
    draw_centre,
    draw_plan,
)
from pipeline.phantom.tissue import Levels, Tissue, estimate_levels, estimate_noise, estimate_tissue


@dataclass(frozen=True)
class Brain:
    """A healthy skull-stripped brain.

    Attributes:
        images: modality (``t1``, ``t1ce``, ``t2``, ``flair``) to voxels ``(X, Y, Z)``, any scale.
        mask: same shape, > 0 in the brain.
        affine: voxel index to world (RAS, mm), ``(4, 4)``; anisotropic, flipped and oblique ones
            are fine.
        tissue: true maps, same shape, where known; else they are estimated from the images.
    """

    images: Mapping[str, np.ndarray]
    mask: np.ndarray
    affine: np.ndarray
    tissue: Tissue | None = None


@dataclass(frozen=True)
class WithTumour:
    """A brain that got a tumour.

    Attributes:
        images: modality to float32 voxels, shape and scale of the healthy ones, 0 outside the
            brain.
        label: same shape, uint8: 1 necrosis, 2 oedema, 4 enhancing.
        facts: about the tumour.
    """

    images: dict[str, np.ndarray]
    label: np.ndarray
    facts: TumourFacts


def insert_tumour(
    brain: Brain,
    rng: np.random.Generator,
    *,
    contrast: str = "mixed",
    volume_ml: float | None = None,
) -> WithTumour:
    """Put one tumour, with its mass effect, into a healthy brain.

    Args:
        brain: is not written to.
        rng: drawn from; the same state gives the same tumour.
        contrast: ``bright``, ``dark`` or ``iso`` for every modality, or ``mixed``, which draws a
            kind for each modality with the odds that are typical of it.
        volume_ml: of the whole tumour; by default drawn from 3-150 mL.

    Raises:
        InputError: an unknown contrast or modality, shapes that differ, or a brain that is too
            small for the tumour.
    """
    mask = np.asarray(brain.mask) > 0
    _check(brain.images, mask, contrast, volume_ml)
    plan_rng, centre_rng, growth_rng, paint_rng = rng.spawn(4)
    voxel_ml = voxel_volume_ml(brain.affine)
    plan = draw_plan(plan_rng, volume_ml, float(mask.sum()) * voxel_ml)
    frame = bounding_box(mask)
    measured = _measure(brain, mask[frame], frame)
    spacing_mm = measured.spacing_mm
    centre = draw_centre(centre_rng, plan, measured.tissue, measured.mask, brain.affine)
    box = box_around(centre, 2.2 * plan.radius_mm + 30.0, spacing_mm, measured.mask.shape)
    centre = centre - np.array([cut.start for cut in box])
    healthy = Site(measured.mask[box], measured.tissue.within(box), spacing_mm, centre)
    shift = mass_effect(plan, healthy)
    site = pushed(healthy, shift)
    growth = grow(growth_rng, plan, site, voxel_ml)
    seed, kinds = int(paint_rng.integers(2**32)), dict[str, str]()
    for name, image in measured.images.items():
        # Seeded by name: an image does not depend on which others come with it.
        child = np.random.default_rng([seed, zlib.crc32(name.encode())])
        level, noise = measured.levels[name], measured.noise[name]
        appearance = draw_appearance(child, name, contrast, level, noise)
        pulled = pull(image[box], site.brain_mask, shift)
        image[box] = paint(child, pulled, growth, site, appearance)
        kinds[name] = appearance.kind
    label = np.zeros(mask.shape, np.uint8)
    label[frame][box] = growth.label
    images = {name: np.zeros(mask.shape, np.float32) for name in measured.images}
    for name, image in measured.images.items():
        images[name][frame] = image
    return WithTumour(images, label, _facts(label, brain.affine, plan, kinds))


@dataclass(frozen=True)
class _Measured:
    """The box of a brain, as arrays of its own, and what its images say about its tissues."""

    images: dict[str, np.ndarray]
    mask: np.ndarray
    tissue: Tissue
    spacing_mm: np.ndarray
    levels: dict[str, Levels]
    noise: dict[str, float]


def _measure(brain: Brain, mask: np.ndarray, frame: tuple[slice, ...]) -> _Measured:
    spacing_mm = np.linalg.norm(brain.affine[:3, :3], axis=0)
    images = {
        m: np.where(mask, image[frame], 0).astype(np.float32) for m, image in brain.images.items()
    }
    levels = {m: estimate_levels(m, image[mask]) for m, image in images.items()}
    if brain.tissue is None:
        tissue = estimate_tissue(images, mask, spacing_mm, levels)
    else:
        tissue = brain.tissue.within(frame)
    noise = {m: estimate_noise(image, tissue.white > 0.6) for m, image in images.items()}
    return _Measured(images, mask, tissue, spacing_mm, levels, noise)


def _check(
    images: Mapping[str, np.ndarray],
    brain_mask: np.ndarray,
    contrast: str,
    volume_ml: float | None,
) -> None:
    if not images:
        raise InputError("no image to put a tumour into")
    if contrast not in CONTRASTS:
        raise InputError(f"contrast {contrast!r}: expected one of {', '.join(CONTRASTS)}")
    for name, image in images.items():
        if name not in ODDS:
            raise InputError(f"modality {name!r}: tumours are modelled for {', '.join(ODDS)}")
        if image.shape != brain_mask.shape or image.ndim != 3:
            raise InputError(
                f"{name}: image {image.shape} and brain mask {brain_mask.shape} must share one "
                "3-D grid; resample the mask onto the image"
            )
    if volume_ml is not None and volume_ml <= 0:
        raise InputError(f"volume_ml {volume_ml:g}: expected a volume above 0 mL")


def _facts(label: np.ndarray, affine: np.ndarray, plan: Plan, kinds: dict[str, str]) -> TumourFacts:
    def volume_ml(voxels: np.ndarray) -> float:
        return round(float(voxels.sum()) * voxel_volume_ml(affine), 3)

    x, y, z = affine[:3, :3] @ np.argwhere(label).mean(axis=0) + affine[:3, 3]
    return TumourFacts(
        volume_ml=volume_ml(label > 0),
        necrosis_ml=volume_ml(label == NECROSIS),
        oedema_ml=volume_ml(label == OEDEMA),
        enhancing_ml=volume_ml(label == ENHANCING),
        contrast=kinds,
        centre_mm=(round(float(x), 1), round(float(y), 1), round(float(z), 1)),
        push_mm=round(plan.push_mm, 1),
    )
