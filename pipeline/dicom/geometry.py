"""Slices in space: their order, their spacing, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.dicom.header import Frame

SAME_MM = 1e-2
"""Slices nearer to each other are at one place."""
EVEN = 0.02
"""Share of the spacing by which slices may be out of place."""
MAX_TILT_DEGREES = 0.5
"""Of the way from slice to slice against the normal of the slices."""
_PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class Stack:
    """Slices of one orientation, in order along their normal.

    Attributes:
        order: indices into the frames that were given, one a place.
        places_mm: of the slices along the normal, ascending.
        spacing_mm: between columns, rows and slices; the last is the usual step.
        plane: axial, coronal or sagittal, or oblique to which.
        repeated: indices of frames at a place that ``order`` has already.
        missing: how many slices are missing inside.
        is_uneven: steps differ otherwise than by whole slices that are missing.
        steps_mm: the shortest and the longest step.
        tilt_degrees: the shear of the stack, as of a tilted gantry.
    """

    order: tuple[int, ...]
    places_mm: tuple[float, ...]
    spacing_mm: tuple[float, float, float]
    plane: str
    repeated: tuple[int, ...] = ()
    missing: int = 0
    is_uneven: bool = False
    steps_mm: tuple[float, float] = (0.0, 0.0)
    tilt_degrees: float = 0.0


def stack_of(frames: Sequence[Frame]) -> Stack:
    """The stack of frames that all have a position and one orientation."""
    normal = normal_of(frames[0].orientation)
    positions = np.array([frame.position for frame in frames])
    places = positions @ normal
    sorted_places = np.argsort(places, kind="stable")
    order, repeated = _without_repeated(sorted_places, places)
    steps = np.diff(places[order])
    step = float(np.median(steps)) if len(steps) else 0.0
    counts = np.rint(steps / step) if step else np.zeros(0)
    rows, columns = frames[0].spacing or (0.0, 0.0)
    return Stack(
        order=tuple(order),
        places_mm=tuple(places[order].tolist()),
        spacing_mm=(columns, rows, step),
        plane=_plane(normal),
        repeated=tuple(repeated),
        missing=int((counts - 1).clip(0).sum()),
        is_uneven=bool(step and (np.abs(steps - counts * step) > EVEN * step).any()),
        steps_mm=(float(steps.min()), float(steps.max())) if len(steps) else (0.0, 0.0),
        tilt_degrees=_tilt(positions[order[-1]] - positions[order[0]], normal),
    )


def normal_of(orientation: Sequence[float]) -> np.ndarray:
    """Unit vector ``(3,)`` across the slices, LPS."""
    normal = np.cross(orientation[:3], orientation[3:])
    return np.asarray(normal / np.linalg.norm(normal))


def is_orthonormal(orientation: Sequence[float]) -> bool:
    """Whether the direction of rows and of columns are at right angles, and of length one."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm([row, column], axis=1)
    return bool(np.allclose(lengths, 1, atol=1e-2) and abs(row @ column) < 1e-2)


def _without_repeated(indices: np.ndarray, places: np.ndarray) -> tuple[list[int], list[int]]:
    order: list[int] = []
    repeated: list[int] = []
    for index in indices.tolist():
        is_same = bool(order) and places[index] - places[order[-1]] < SAME_MM
        (repeated if is_same else order).append(index)
    return order, repeated


def _plane(normal: np.ndarray) -> str:
    axis = int(np.abs(normal).argmax())
    is_oblique = np.abs(normal[axis]) < np.cos(np.radians(10))
    return f"oblique {_PLANES[axis]}" if is_oblique else _PLANES[axis]


def _tilt(way: np.ndarray, normal: np.ndarray) -> float:
    """Degrees between the way from the first slice to the last and the normal."""
    length = float(np.linalg.norm(way))
    if not length:
        return 0.0
    return float(np.degrees(np.arccos(np.clip(abs(way @ normal) / length, 0, 1))))
