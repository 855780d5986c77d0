"""Where a scan lies in MNI space."""

from __future__ import annotations

import numpy as np

from pipeline.files.record.findings import MniPlacement
from pipeline.findings.places import LATTICE_MM, Atlas
from pipeline.findings.registration import (
    Lattice,
    boxed,
    is_whole,
    on_lattice,
    overlap,
    register_affine,
)

MIN_OVERLAP = 0.8
"""Dice of a brain and the atlas's, below which a placement is not believed. Fifteen scans of T1w,
T1ce, T2w and FLAIR, eleven with a tumour, had 0.935 to 0.967."""
IMAGE, MASK = "pseudo-healthy", "brain mask"
"""What was registered."""


def place_in_mni(
    image: np.ndarray | None, brain: np.ndarray, affine: np.ndarray, atlas: Atlas
) -> MniPlacement | None:
    """The affine of a scan to MNI space, by its image or its brain mask alone.

    Args:
        image: ``(X, Y, Z)``, of any contrast and unit; the pseudo-healthy one has no tumour that
            could mislead. None where there is no image.
        brain: same shape, bool.
        affine: voxel index to world (RAS, millimetres), ``(4, 4)``.
        atlas: gives MNI space.

    Returns:
        None for a slab or a picture, and for a brain that does not fit.
    """
    if not is_whole(brain, affine):
        return None
    lattices = {MASK: on_lattice(brain.astype(np.float32), brain, affine, LATTICE_MM)}
    if image is not None:
        lattices = {IMAGE: on_lattice(image, brain, affine, LATTICE_MM), **lattices}
    for what, moving in lattices.items():
        if (found := _believed(moving, atlas.t1)) is not None:
            a, b, c, d = np.round(found, 6).T.tolist()
            rows = tuple(zip(a, b, c, d, strict=True))
            dice = round(overlap(moving, atlas.t1, found), 4)
            return MniPlacement(affine=rows, image=what, overlap=dice)
    return None


def _believed(moving: Lattice, fixed: Lattice) -> np.ndarray | None:
    """The affine ``(4, 4)`` where the brains overlap; None where they do not, or less than before.

    A brain that is mirrored or squeezed to a half is no registration, either.
    """
    found = register_affine(moving, fixed)
    if found is None or not 0.5 <= np.linalg.det(found[:3, :3]) <= 2.0:
        return None
    dice = overlap(moving, fixed, found)
    return found if dice >= max(MIN_OVERLAP, overlap(moving, fixed, boxed(moving, fixed))) else None
