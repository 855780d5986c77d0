"""Whether a mask has the size and shape of a brain, or of a box, a cylinder, a part of a brain."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np

MAX_EXTENT_MM = 400.0
"""No head is longer; the field of view of one seldom."""
MAX_FILL = 0.85
"""Share of its bounding box: 0.41 to 0.48 of whole brains, 0.79 of a cylinder, 1 of a box."""
MAX_EVENNESS = 0.93
"""Mean cross-section over the largest, along an axis: 0.61 to 0.74 of whole brains, 0.67 of an
ellipsoid, 1 of a box, or of a cylinder along its own axis."""
MIN_LENGTH = 0.6
"""Share of the largest extent below which an even cross-section is that of a slab of a brain."""
FLAT_END = 0.4
"""Share of the largest cross-section from which a mask ends flat: a part of a brain. Whole brains
end with less than 0.29."""
ENDS = (("left", "right"), ("back", "front"), ("bottom", "top"))


@dataclass(frozen=True)
class Shape:
    """Figures of a brain mask.

    Attributes:
        extent_mm: of its bounding box, along the image's axes, those nearest right, anterior and
            superior in this order.
        fill: share of the bounding box.
        evenness: mean over largest cross-section, for each of these axes.
        ends: cross-section of the first and last slice over the largest, for each of these axes.
    """

    extent_mm: tuple[float, float, float]
    fill: float
    evenness: tuple[float, float, float]
    ends: tuple[tuple[float, float], ...]

    @property
    def flat_ends(self) -> tuple[str, ...]:
        """Sides at which the mask ends flat, as a part of a brain does."""
        return tuple(
            name
            for names, shares in zip(ENDS, self.ends, strict=True)
            for name, share in zip(names, shares, strict=True)
            if share > FLAT_END
        )


def shape_of(mask: np.ndarray, affine: np.ndarray) -> Shape:
    """The figures of a mask ``(X, Y, Z)`` bool, True somewhere; affine ``(4, 4)`` in mm."""
    turn = nib.orientations.io_orientation(affine)
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    extent_mm, evenness = np.zeros(3), np.zeros(3)
    ends = np.zeros((3, 2))
    box = 1
    for axis, (world, flip) in enumerate(turn):
        areas = mask.sum(axis=tuple(a for a in range(3) if a != axis))
        (there,) = np.nonzero(areas)
        areas = areas[there[0] : there[-1] + 1]
        box *= len(areas)
        extent_mm[int(world)] = len(areas) * spacing_mm[axis]
        evenness[int(world)] = areas.mean() / areas.max()
        first_last = areas[[0, -1]] / areas.max()
        ends[int(world)] = first_last if flip > 0 else first_last[::-1]
    x, y, z = (float(mm) for mm in extent_mm)
    return Shape(
        (x, y, z),
        float(mask.sum() / box),
        (float(evenness[0]), float(evenness[1]), float(evenness[2])),
        tuple((float(low), float(high)) for low, high in ends),
    )


def why_no_size(shape: Shape) -> str:
    """What in the size is that of nothing in a head, "" where nothing is."""
    if max(shape.extent_mm) <= MAX_EXTENT_MM:
        return ""
    measures = " x ".join(f"{mm:.4g}" for mm in shape.extent_mm)
    return (
        f"what is not background measures {measures} mm (right-left, front-back, up-down), more "
        f"than any head (at most {MAX_EXTENT_MM:.0f}): are the spacings in the header right?"
    )


def is_box_or_cylinder(shape: Shape) -> bool:
    """Whether the mask is as even as no brain is."""
    longest = max(shape.extent_mm)
    long = [mm >= MIN_LENGTH * longest for mm in shape.extent_mm]
    even = [value > MAX_EVENNESS for value in shape.evenness]
    return any(one and other for one, other in zip(long, even, strict=True)) or (
        shape.fill > MAX_FILL and sum(long) > 1
    )


def note_of_coverage(shape: Shape) -> str:
    """That the mask is a part of a brain, "" where it ends as a whole one does."""
    if not shape.flat_ends:
        return ""
    axis = next(i for i, names in enumerate(ENDS) if set(names) & set(shape.flat_ends))
    return (
        f"only a part of the brain is covered: it ends flat at its {' and '.join(shape.flat_ends)} "
        f"({shape.extent_mm[axis]:.0f} mm between {ENDS[axis][0]} and {ENDS[axis][1]}); atlas and "
        "thresholds are for whole brains"
    )
