"""Small cohorts that are detected in several ways, and whether the maps are the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
from brains import centred_affine, inside_brain, smooth_intensity, world_of


def write_scans(folder: Path, n: int) -> Path:
    """So many noisy brains of 6 mm, ``p0_flair.nii.gz`` and so on."""
    affine, shape = centred_affine(np.diag([6.0, 6.0, 6.0]))
    world = world_of(shape, affine)
    for number in range(n):
        rng = np.random.default_rng(number)
        data = smooth_intensity(world) + rng.normal(0, 30, shape)
        image = np.where(inside_brain(world), np.maximum(data, 1), 0).astype(np.float32)
        nib.save(nib.Nifti1Image(image, affine), folder / f"p{number}_flair.nii.gz")
    return folder


def maps_in(out: Path) -> dict[str, str]:
    """Name below a folder of results -> hash, of each volume."""
    files = sorted(out.glob("*/*.nii.gz"))
    return {str(f.relative_to(out)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
