"""The brain mask of a case, with what was done to find it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.cases.brain.background import Background, background_of
from pipeline.cases.brain.head import head_of
from pipeline.cases.brain.parts import large_parts, without_holes
from pipeline.cases.brain.rim import rim_of, why_no_tissue
from pipeline.cases.brain.shape import is_box_or_cylinder, note_of_coverage, shape_of, why_no_size
from pipeline.cases.case import Case
from pipeline.cases.loading import BrainExtractor, mask_on_grid, read_modalities
from pipeline.errors import InputError
from pipeline.files.images.formats import is_picture
from pipeline.files.images.volume import Volume

BRAIN_ML = (200.0, 2300.0)
"""Plausible brain volumes; a mask beyond holds a skull, or a piece of a brain."""
NOTED_ML = 1.0
"""What is dropped below this is not worth a note, as specks in the background are not."""
NOTED_HOLES = 0.1
"""Ventricles that a skull-stripping left out are less of a brain."""
MIN_AGREEMENT, NOTED_AGREEMENT = 0.5, 0.9
"""Overlap of a brain mask and what is not background, over the smaller of the two: below the first
the mask is that of another image. Over the mask: below the second there is a note."""
MIN_COVER = 0.6
"""Share of a skull-stripped brain that its mask covers without a note; masks leave out fluid."""
ADVICE = "put a mask beside it, named <case>_brain_mask.nii.gz, or use --brain-extraction anomap"


@dataclass(frozen=True)
class FoundBrain:
    """A brain mask, and what a user should know of it.

    Attributes:
        mask: ``(X, Y, Z)`` bool.
        origin: the file that it is from, for messages.
        notes: one sentence each.
    """

    mask: np.ndarray
    origin: str
    notes: tuple[str, ...] = ()


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
    return images, brain.mask, volumes[0].affine


def find_brain(
    case: Case, volumes: Sequence[Volume], extract_brain: BrainExtractor | None = None
) -> FoundBrain:
    """The brain mask of a case on the grid of its first image.

    From the case's mask or parcellation; else what differs from the background, which is the value
    at the edges of the field of view; else by ``extract_brain``. Holes are filled.

    Raises:
        InputError: there is no background and no extractor, or the result is no brain.
    """
    found = _candidate(case, volumes, extract_brain)
    first = volumes[0]
    if not found.mask.any():
        raise InputError(f"{found.origin}: the brain mask is empty on the grid of {first.path}")
    if is_picture(first.path):
        return found
    shape = shape_of(found.mask, first.affine)
    if reason := why_no_size(shape):
        raise InputError(f"{found.origin}: {reason}")
    if min(found.mask.shape) == 1:
        return found
    _check_volume(found, first)
    if is_box_or_cylinder(shape):
        raise InputError(f"{found.origin}: the brain mask is a box or cylinder, not a brain")
    note = note_of_coverage(shape)
    return replace(found, notes=(*found.notes, note)) if note else found


def _filled(found: FoundBrain, image: Volume) -> FoundBrain:
    """Without holes; large ones are a note."""
    filled = without_holes(found.mask)
    n_filled, n_all = int(filled.sum() - found.mask.sum()), int(filled.sum())
    if n_filled <= NOTED_HOLES * n_all:
        return replace(found, mask=filled)
    note = (
        f"{100 * n_filled / n_all:.0f} % of the brain are holes of background "
        f"({n_filled * image.voxel_ml:.1f} mL), which count as brain"
    )
    return replace(found, mask=filled, notes=(*found.notes, note))


def _candidate(
    case: Case, volumes: Sequence[Volume], extract_brain: BrainExtractor | None
) -> FoundBrain:
    """A mask that is still to be looked at."""
    first = volumes[0]
    if case.brain_mask is not None:
        given = mask_on_grid(case.brain_mask, first)
        origin = str(case.brain_mask.path)
        notes = (*given.notes, *_notes_of_given(given.data, origin, volumes))
        found = FoundBrain(given.data, origin, notes)
        return _filled(found, first)
    if is_picture(first.path):
        head = np.logical_or.reduce([head_of(volume) for volume in volumes])
        return FoundBrain(without_holes(head), str(first.path))
    found = _filled(foreground(volumes), first)
    if min(found.mask.shape) == 1 or not found.mask.any():
        return found
    why_not = _why_not_stripped(found, first)
    if why_not and extract_brain is not None:
        origin = f"{first.path} (brain extraction)"
        note = f"a whole head: the brain was found in it by {extract_brain.name}"
        mask = np.asarray(extract_brain(first), bool)
        return _filled(FoundBrain(mask, origin, (note,)), first)
    if why_not:
        raise InputError(f"{found.origin}: {why_not}: {ADVICE}")
    return found


def _check_volume(found: FoundBrain, image: Volume) -> None:
    """See that a mask has the volume of a brain.

    Raises:
        InputError: it has not.
    """
    volume_ml = _ml(found.mask, image)
    if volume_ml > BRAIN_ML[1]:
        raise InputError(
            f"{found.origin}: the brain mask holds {volume_ml:.0f} mL, more than any brain (at "
            f"most {BRAIN_ML[1]:.0f})"
        )
    if volume_ml < BRAIN_ML[0]:
        raise InputError(
            f"{found.origin}: only {volume_ml:.1f} mL are brain; expected at least "
            f"{BRAIN_ML[0]:.0f} mL"
        )


def _why_not_stripped(found: FoundBrain, image: Volume) -> str:
    """Why what is not background is no brain but may hold one, "" where it may be one.

    Raises:
        InputError: it is larger than anything that may hold one.
    """
    brain = found.mask
    shape = shape_of(brain, image.affine)
    if reason := why_no_size(shape):
        raise InputError(f"{found.origin}: {reason}")
    volume_ml = _ml(brain, image)
    if volume_ml > BRAIN_ML[1]:
        return (
            f"{volume_ml:.0f} mL are not background, more than any brain (at most "
            f"{BRAIN_ML[1]:.0f}); the image is not skull-stripped"
        )
    if volume_ml < BRAIN_ML[0]:
        return ""
    if is_box_or_cylinder(shape):
        return (
            f"what is not background, {volume_ml:.0f} mL, is a box or cylinder that fills "
            f"{100 * shape.fill:.0f} % of its bounding box, where a brain fills about 45 %; the "
            "background must have one value"
        )
    rim = rim_of(image.data, brain, image.affine)
    reason = why_no_tissue(rim) if rim is not None else ""
    return f"of {volume_ml:.0f} mL that are not background, {reason}" if reason else ""


def foreground(volumes: Sequence[Volume]) -> FoundBrain:
    """The large parts that differ from the background in at least one of the images.

    Args:
        volumes: at least one, ``(X, Y, Z)`` each, on one grid.
    """
    first = volumes[0]
    backgrounds = [background_of(volume) for volume in volumes]
    inside = [b.leaves(v.data) for b, v in zip(backgrounds, volumes, strict=True)]
    parts = large_parts(np.logical_or.reduce(inside))
    notes = _notes_of_background(volumes, backgrounds)
    dropped_ml = parts.dropped_size * first.voxel_ml
    if dropped_ml > NOTED_ML:
        notes.append(
            f"{dropped_ml:.1f} mL that are not background, in {parts.dropped} small "
            f"part{'s' if parts.dropped > 1 else ''} apart from the rest, are not taken as brain"
        )
    if len(parts.sizes) > 1:
        sizes = ", ".join(f"{size * first.voxel_ml:.0f}" for size in parts.sizes)
        notes.append(
            f"the brain lies in {len(parts.sizes)} separate parts ({sizes} mL), all of which are "
            "used: are slices empty?"
        )
    notes += _notes_of_union(parts.mask, inside, volumes)
    return FoundBrain(parts.mask, str(first.path), tuple(notes))


def _notes_of_background(volumes: Sequence[Volume], backgrounds: Sequence[Background]) -> list[str]:
    return [
        f"{volume.path.name}: its background is {background.value:.4g}, not 0; voxels of that "
        "value are taken as outside the brain"
        for volume, background in zip(volumes, backgrounds, strict=True)
        if background.value
    ]


def _notes_of_union(
    brain: np.ndarray, inside: Sequence[np.ndarray], volumes: Sequence[Volume]
) -> list[str]:
    """Images that are background in a good part of the brain, which is that of all of them."""
    if len(volumes) == 1:
        return []
    shares = [1 - float(one[brain].mean()) if brain.any() else 0.0 for one in inside]
    return [
        f"{volume.path.name}: {100 * share:.0f} % of the brain of the other images are background "
        "in it"
        for share, volume in zip(shares, volumes, strict=True)
        if share > 1 - NOTED_AGREEMENT
    ]


def _notes_of_given(mask: np.ndarray, origin: str, volumes: Sequence[Volume]) -> tuple[str, ...]:
    """What a given mask and the background of a skull-stripped image say of each other.

    Raises:
        InputError: the mask is that of another image.
    """
    notes: list[str] = []
    for volume in volumes:
        inside = background_of(volume).leaves(volume.data)
        common, smaller = int((mask & inside).sum()), min(int(mask.sum()), int(inside.sum()))
        if common < MIN_AGREEMENT * smaller:
            raise InputError(
                f"{origin}: only {100 * common / smaller:.0f} % of it lie where {volume.path} is "
                "not background; is it the mask of another image?"
            )
        notes += _notes_of_overlap(mask, inside, volume)
    return tuple(notes)


def _notes_of_overlap(mask: np.ndarray, inside: np.ndarray, volume: Volume) -> list[str]:
    """Where a given mask and what is not background differ by much."""
    n_common, n_mask, n_inside = (int(x.sum()) for x in (mask & inside, mask, inside))
    notes = []
    if n_mask - n_common > (1 - NOTED_AGREEMENT) * n_mask:
        share = 100 * (1 - n_common / n_mask)
        notes.append(f"{volume.path.name} is background in {share:.0f} % of the brain mask")
    is_stripped = n_inside * volume.voxel_ml <= BRAIN_ML[1]
    if is_stripped and n_common < MIN_COVER * n_inside:
        notes.append(
            f"the brain mask covers {n_common * volume.voxel_ml:.0f} of the "
            f"{n_inside * volume.voxel_ml:.0f} mL that are not background in {volume.path.name}"
        )
    return notes


def _ml(mask: np.ndarray, like: Volume) -> float:
    return float(mask.sum()) * like.voxel_ml
