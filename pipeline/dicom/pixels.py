"""The voxels of a converted image against the pixels of its files, read by another library."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipeline.dicom.header import Header
from pipeline.dicom.series import Series, Slice
from pipeline.errors import InputError
from pipeline.files.texts import brief

SAME = 0.999
"""Correlation from which two slices are one: converters may scale the values."""
_TO_LPS = np.array([-1.0, -1.0, 1.0])


def check_pixels(series: Series, image: Any, order: Sequence[int]) -> None:
    """See that every slice of an image holds the pixels of the file that it is said to be of.

    Files that are compressed, or have no preamble, are not decoded for it.

    Args:
        series: with its slices.
        image: of nibabel, ``(columns, rows, slices)``.
        order: index into the slices of the series of each slice of the image.

    Raises:
        InputError: a slice is another, or a file cannot be decoded.
    """
    voxels = np.asanyarray(image.dataobj)
    orientation = np.array(series.slices[0].frame.orientation)
    # The rows of DICOM go down, the second axis of most converters up.
    forwards = [
        float(image.affine[:3, axis] * _TO_LPS @ orientation[3 * axis : 3 * axis + 3]) > 0
        for axis in (0, 1)
    ]
    steps = tuple(slice(None, None, 1 if forward else -1) for forward in forwards)
    given = _pixels([series.slices[index] for index in order])
    for k, pixels in enumerate(given):
        if pixels is not None and not _alike(voxels[(*steps, k)].T, pixels):
            source = series.slices[order[k]].header.file.name
            raise InputError(
                f"{series.title}: slice {k + 1} as converted by dcm2niix is not what {source} "
                "holds: its header is damaged, or read in two ways; export it again"
            )


def _pixels(slices: Sequence[Slice]) -> Iterator[np.ndarray | None]:
    """``(rows, columns)`` of each slice as stored; None where it is not decoded."""
    kept: tuple[Header, np.ndarray] | None = None
    for header, frame in slices:
        if not header.is_plain:
            yield None
            continue
        if kept is None or kept[0] is not header:
            kept = (header, _decoded(header))
        yield kept[1] if frame.number is None else kept[1][frame.number - 1]


def _decoded(header: Header) -> np.ndarray:
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(pydicom.dcmread(header.file.path).pixel_array)
    except Exception as error:  # whatever the bytes made of a library
        raise InputError(f"{header.file.name}: cannot be decoded ({brief(error)})") from error


def _alike(made: np.ndarray, given: np.ndarray) -> bool:
    """Whether two slices are the same up to scale and offset."""
    if made.shape != given.shape:
        return False
    one, other = (np.asarray(values, np.float64).ravel() for values in (made, given))
    one, other = one - one.mean(), other - other.mean()
    norms = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if not all(norms):
        return not any(norms)
    return float(one @ other) >= SAME * norms[0] * norms[1]
