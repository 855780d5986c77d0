"""Phantoms: synthetic subjects on real anatomy, with or without a tumour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from pipeline.errors import InputError
from pipeline.files.record.cohort import PhantomFacts
from pipeline.phantom.anatomy import Anatomy, draw_anatomy
from pipeline.phantom.paint import CONTRASTS
from pipeline.phantom.scanner import MODALITIES, acquire, synthesise
from pipeline.phantom.tissue import Tissue
from pipeline.phantom.tumour import Brain, WithTumour, insert_tumour

GRID_MM = (240, 240, 155)
"""Extent of the BraTS grid."""


@dataclass(frozen=True)
class Phantom:
    """A synthetic case.

    Attributes:
        images: modality to float32 ``(X, Y, Z)``, arbitrary units, > 0 in the brain, 0 outside.
        label: same shape, uint8, BraTS values (1 necrosis, 2 oedema, 4 enhancing), zeros when
            healthy.
        brain_mask: same shape, bool.
        affine: voxel index to world (RAS, mm), ``(4, 4)``, LPS voxel order as BraTS has it.
        facts: what was drawn.
    """

    images: dict[str, np.ndarray]
    label: np.ndarray
    brain_mask: np.ndarray
    affine: np.ndarray
    facts: PhantomFacts


def make_phantom(
    rng: np.random.Generator,
    modalities: Sequence[str],
    *,
    tumour: bool,
    spacing_mm: float = 1.0,
    contrast: str = "mixed",
) -> Phantom:
    """Draw one brain and image it in several modalities.

    Anatomy, contrast, acquisition and tumour have a random stream each: the same generator state
    gives the same brain with and without a tumour, and the same image of a modality whatever else
    is asked for.

    Args:
        rng: drawn from.
        modalities: some of ``t1``, ``t2``, ``flair``.
        tumour: whether to insert one.
        spacing_mm: voxel size; 1 gives 240 x 240 x 155 voxels as in BraTS.
        contrast: of the tumour, see `insert_tumour`.

    Raises:
        InputError: an unknown modality or contrast, or a spacing outside 0.8-6 mm.
    """
    check_phantom(modalities, spacing_mm, contrast)
    anatomy_rng, contrast_rng, scanner_rng, tumour_rng = rng.spawn(4)
    shape = tuple(int(np.ceil(n / spacing_mm)) for n in GRID_MM)
    anatomy = draw_anatomy(anatomy_rng, shape, spacing_mm)
    paints = dict(zip(MODALITIES, contrast_rng.spawn(len(MODALITIES)), strict=True))
    scanners = dict(zip(MODALITIES, scanner_rng.spawn(len(MODALITIES)), strict=True))
    clean = {m: synthesise(paints[m], m, anatomy, spacing_mm) for m in modalities}
    affine = np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0])
    affine[1, 3] = GRID_MM[1] - 1
    brain, label, tumour_facts = anatomy.tissues.brain_mask, np.zeros(shape, np.uint8), None
    if tumour:
        grown = _with_tumour(clean, anatomy, affine, tumour_rng, contrast)
        clean, label[anatomy.box], tumour_facts = grown.images, grown.label, grown.facts
    images = {m: np.zeros(shape, np.float32) for m in clean}
    for m, image in clean.items():
        images[m][anatomy.box] = acquire(scanners[m], image, brain, spacing_mm)
    mask = np.zeros(shape, bool)
    mask[anatomy.box] = brain
    facts = PhantomFacts(
        spacing_mm=spacing_mm,
        age=anatomy.age,
        ventricles_mm=anatomy.ventricles_mm,
        scale=anatomy.scale,
        tumour=tumour_facts,
    )
    return Phantom(images, label, mask, affine, facts)


def _with_tumour(
    clean: Mapping[str, np.ndarray],
    anatomy: Anatomy,
    affine: np.ndarray,
    rng: np.random.Generator,
    contrast: str,
) -> WithTumour:
    """Insert before the scanner blurs and adds noise; the fluid around the brain stays."""
    start = np.array([cut.start for cut in anatomy.box])
    local = affine.copy()
    local[:3, 3] += affine[:3, :3] @ start
    mask = anatomy.tissues.brain_mask
    # Blurred: thin blades of white matter inside gyri carry less oedema than the deep mass.
    white = ndimage.gaussian_filter(anatomy.tissues.white, 1.0 / np.abs(np.diag(affine)[:3]))
    tissue = Tissue(white * mask, anatomy.tissues.csf * mask)
    grown = insert_tumour(Brain(clean, mask, local, tissue), rng, contrast=contrast)
    images = {m: np.where(mask, grown.images[m], clean[m]) for m in clean}
    return replace(grown, images=images)


def check_phantom(modalities: Sequence[str], spacing_mm: float, contrast: str) -> None:
    """Refuse what `make_phantom` cannot make.

    Raises:
        InputError: an unknown modality or contrast, or a spacing outside 0.8-6 mm.
    """
    unknown = [m for m in modalities if m not in MODALITIES]
    if unknown or not modalities:
        raise InputError(
            f"modality {', '.join(unknown) or '(none)'}: phantoms come in {', '.join(MODALITIES)}"
        )
    if not 0.8 <= spacing_mm <= 6:
        raise InputError(f"spacing_mm {spacing_mm:g}: expected 0.8 to 6 mm")
    if contrast not in CONTRASTS:
        raise InputError(f"contrast {contrast!r}: expected one of {', '.join(CONTRASTS)}")
