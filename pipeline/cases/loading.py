"""A case's files as volumes on one grid, and its brain mask."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from pipeline.cases.case import Case, ImageFile
from pipeline.errors import InputError
from pipeline.files.nifti import Volume, grid_difference, is_picture, read_labels, read_volume

BRAIN_ML = (200.0, 2300.0)
"""Plausible brain volumes; a mask beyond holds a skull, or a piece of a brain."""

JPEG_BLACK = 10
"""Grey values up to this are background in a JPEG."""

BrainExtractor = Callable[[Volume], np.ndarray]
"""Raw head to brain mask ``(X, Y, Z)`` bool, for images that are not skull-stripped."""


def load_brain(
    case: Case, modalities: Sequence[str], extract_brain: BrainExtractor | None = None
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Images by modality ``(X, Y, Z)`` in scanner units, brain mask (bool) and affine of a case.

    Raises:
        InputError: see `read_modalities` and `find_brain`.
    """
    volumes = read_modalities(case, modalities)
    brain = find_brain(case, volumes, extract_brain)
    images = {m: v.data for m, v in zip(modalities, volumes, strict=True)}
    return images, brain, volumes[0].affine


def read_modalities(case: Case, modalities: Sequence[str]) -> list[Volume]:
    """The images of a case, in the order asked for, on one grid.

    Raises:
        InputError: a modality is missing, unreadable, or on another grid than the first.
    """
    volumes: list[Volume] = []
    for modality in modalities:
        if modality not in case.images:
            raise InputError(
                f"case {case.name}: has {', '.join(sorted(case.images))}; {modality} is missing"
            )
        file = case.images[modality]
        volumes.append(read_volume(file.path, file.channel))
    for volume in volumes[1:]:
        if grid_difference(volume, volumes[0]):
            raise InputError(
                f"{volume.path}: grid {volume.data.shape} differs from {volumes[0].path}'s "
                f"{volumes[0].data.shape} in shape or affine; register and resample them together"
            )
    return volumes


def read_label(case: Case, like: Volume | None = None) -> Volume:
    """The lesion label of a case as int32.

    Raises:
        InputError: there is none, or it is on another grid than ``like``.
    """
    if case.label is None:
        raise InputError(f"case {case.name}: no lesion label was found beside its images")
    label = read_labels(case.label.path, case.label.channel)
    if like is not None and grid_difference(label, like):
        raise InputError(_other_grid(label, like))
    return label


def check_same_grid(label: ImageFile, image: ImageFile) -> None:
    """See from the headers alone that a label lies on its image's grid.

    Raises:
        InputError: it does not. Files whose headers cannot be read are left to the reader.
    """
    if is_picture(label.path) or is_picture(image.path):
        return
    try:
        a, b = _header_only(label.path), _header_only(image.path)
    except Exception:  # whatever is wrong with it, reading it will say so
        return
    if grid_difference(a, b):
        raise InputError(_other_grid(a, b))


def _header_only(path: Path) -> Volume:
    """A volume whose voxels are not read: all are 0, and take no memory."""
    image = typing.cast(nib.Nifti1Image, nib.load(path))
    shape = (*image.shape, 1, 1, 1)[:3]
    return Volume(np.broadcast_to(np.float32(0), shape), np.asarray(image.affine), path)


def _other_grid(label: Volume, image: Volume) -> str:
    return (
        f"{label.path}: the label's grid {label.data.shape} differs from {image.path}'s "
        f"{image.data.shape} in shape or affine; resample the label (nearest neighbour)"
    )


def find_brain(
    case: Case, volumes: Sequence[Volume], extract_brain: BrainExtractor | None = None
) -> np.ndarray:
    """The brain mask of a case on the grid of its first image, ``(X, Y, Z)`` bool.

    From the case's mask or parcellation; else from the background of exact zeros; else by
    ``extract_brain``. Holes are filled.

    Raises:
        InputError: there is no background of zeros and no extractor, or the result is no brain.
    """
    first = volumes[0]
    if case.brain_mask is not None:
        brain, origin = mask_on_grid(case.brain_mask, first), str(case.brain_mask.path)
    else:
        brain, origin = nonzero_brain(volumes), str(first.path)
        if is_picture(first.path):
            return _without_holes(brain)
        if extract_brain is not None and _ml(brain, first) > BRAIN_ML[1]:
            brain, origin = extract_brain(first), f"{first.path} (brain extraction)"
    if not brain.any():
        raise InputError(f"{origin}: the brain mask is empty on the grid of {first.path}")
    brain = _without_holes(brain)
    volume_ml = _ml(brain, first)
    if volume_ml > BRAIN_ML[1]:
        raise InputError(
            f"{origin}: {volume_ml:.0f} mL are not background, more than any brain (at most "
            f"{BRAIN_ML[1]:.0f}); the image is not skull-stripped: put a mask beside it, named "
            "<case>_brain_mask.nii.gz, or (T1w only) use --brain-extraction deepbet"
        )
    if volume_ml < BRAIN_ML[0] and min(brain.shape) > 1:
        raise InputError(
            f"{origin}: only {volume_ml:.1f} mL are brain; expected at least {BRAIN_ML[0]:.0f} mL"
        )
    return brain


def nonzero_brain(volumes: Sequence[Volume]) -> np.ndarray:
    """The largest connected part that differs from zero in at least one of the images.

    Args:
        volumes: at least one, ``(X, Y, Z)`` each, on one grid.

    Returns:
        ``(X, Y, Z)`` bool.
    """
    brain = np.zeros(volumes[0].data.shape, bool)
    for volume in volumes:
        # A JPEG's background is not exactly black.
        level = JPEG_BLACK if volume.path.suffix.lower() in (".jpg", ".jpeg") else 0
        brain |= np.abs(volume.data) > level
    return largest_part(brain)


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest part of a mask whose voxels touch by a face; the mask itself where it is one.

    Args:
        mask: bool, any shape.

    Returns:
        bool, the same shape.
    """
    parts, n_parts = ndimage.label(mask)
    if n_parts <= 1:
        return mask
    sizes = np.bincount(parts.reshape(-1))[1:]
    largest: np.ndarray = parts == 1 + int(sizes.argmax())
    return largest


def mask_on_grid(file: ImageFile, like: Volume) -> np.ndarray:
    """A mask or label map, > 0, on the grid of another image, through the affines.

    Args:
        file: on any grid that overlaps in world space.
        like: the image, ``(X, Y, Z)``.

    Returns:
        ``(X, Y, Z)`` bool.

    Raises:
        InputError: the two do not overlap in world space.
    """
    mask = read_labels(file.path, file.channel)
    inside: np.ndarray = mask.data > 0
    if not grid_difference(mask, like):
        return inside
    # Index of `like` to index of the mask.
    back = np.linalg.solve(mask.affine, like.affine)
    moved = ndimage.affine_transform(
        inside.astype(np.float32), back[:3, :3], back[:3, 3], like.data.shape, order=1
    )
    on_grid: np.ndarray = moved > 0.5
    if not on_grid.any() and inside.any():
        raise InputError(
            f"{file.path}: in world space it does not overlap {like.path}; check both affines"
        )
    return on_grid


def _without_holes(brain: np.ndarray) -> np.ndarray:
    """Holes filled: in 3-D, or in 2-D where there is a single slice."""
    filled = ndimage.binary_fill_holes(brain.squeeze())
    return np.asarray(filled).reshape(brain.shape)


def _ml(mask: np.ndarray, like: Volume) -> float:
    return float(mask.sum()) * like.voxel_ml
