"""A case's files as volumes on one grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from pipeline.cases.case import Case, ImageFile
from pipeline.errors import InputError
from pipeline.files.images.formats import is_picture
from pipeline.files.images.reading import read_header, read_labels, read_mask, read_volume
from pipeline.files.images.volume import Volume, VolumeHeader, grid_difference
from pipeline.files.memory import enough_memory
from pipeline.files.record.series import notes_of_series

BYTES_A_VOXEL, BYTES_A_VOXEL_OF_EACH = 36, 8
"""Peak of preparing a case and of bringing its maps back, and what each modality adds; measured."""


@dataclass(frozen=True)
class BrainExtractor:
    """Finds the brain in an image that is not skull-stripped.

    Attributes:
        name: for notes.
        extract: raw head to brain mask ``(X, Y, Z)`` bool.
        is_automatic: nobody asked for it by name.
    """

    name: str
    extract: Callable[[Volume], np.ndarray]
    is_automatic: bool = False

    def __call__(self, head: Volume) -> np.ndarray:
        """See ``extract``."""
        return self.extract(head)


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
        volume = read_volume(file.path, file.channel)
        volumes.append(replace(volume, notes=(*volume.notes, *notes_of_series(file.path))))
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
        a, b = read_header(label.path), read_header(image.path)
    except InputError:  # reading it will say so
        return
    if grid_difference(a, b):
        raise InputError(_other_grid(a, b))


def _other_grid(label: Volume | VolumeHeader, image: Volume | VolumeHeader) -> str:
    return (
        f"{label.path}: the label's grid {label.shape} differs from {image.path}'s "
        f"{image.shape} in shape or affine; resample the label (nearest neighbour)"
    )


def mask_on_grid(file: ImageFile, like: Volume, *, probable: bool = False) -> Volume:
    """A mask of any kind, see `read_mask`, on the grid of another image, through the affines.

    Args:
        file: on any grid that overlaps in world space.
        like: the image, ``(X, Y, Z)``.
        probable: as of `read_mask`.

    Returns:
        ``(X, Y, Z)`` bool, with the notes of reading it.

    Raises:
        InputError: the two do not overlap in world space.
    """
    mask = read_mask(file.path, file.channel, probable=probable)
    inside = mask.data
    if not grid_difference(mask, like):
        return mask
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
    return replace(mask, data=on_grid, affine=like.affine)


def shape_on_disk(case: Case, modalities: Sequence[str]) -> tuple[int, ...]:
    """Shape of a case's first image from its header; empty where that cannot be believed."""
    file = case.images.get(modalities[0]) if modalities else None
    if file is None or is_picture(file.path):
        return ()
    try:
        return read_header(file.path).shape
    except InputError:  # reading it will say so
        return ()


def memory_for(shape: Sequence[int], n_images: int) -> AbstractContextManager[None]:
    """The memory that work on a case's own grid takes; see `enough_memory`.

    Args:
        shape: of the grid.
        n_images: modalities.
    """
    needed = math.prod(shape) * (BYTES_A_VOXEL + BYTES_A_VOXEL_OF_EACH * n_images) if shape else 0
    return enough_memory("x".join(map(str, shape)) or "a picture", needed)
