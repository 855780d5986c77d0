"""The slices of a converted series as DICOM objects, and volumes brought onto them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from pipeline.dicom.convert import require
from pipeline.dicom.search import study_files
from pipeline.errors import InputError
from pipeline.files.record.series import SeriesRecord

_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME = 1e-2
"""Voxels by which a slice may lie off the grid of a volume to be on it."""


@dataclass(frozen=True)
class Source:
    """A series.

    Attributes:
        datasets: its objects, as pydicom reads them: one a slice, or one with all frames.
        affine: ``(column, row, slice)`` to world (RAS, mm), ``(4, 4)``.
        shape: columns, rows, slices.
        record: of the conversion.
    """

    datasets: tuple[Any, ...]
    affine: np.ndarray
    shape: tuple[int, int, int]
    record: SeriesRecord


@contextmanager
def opened_source(record: SeriesRecord) -> Iterator[Source]:
    """Read the objects that an image was converted from; a zip is unpacked meanwhile.

    Raises:
        InputError: they are not there any more, or are others.
    """
    pydicom = require("pydicom")
    root = Path(record.source)
    if not root.exists():
        raise InputError(f"{root}: the DICOM files that the scan was converted from are gone")
    files = study_files(root)
    try:
        paths = {file.name: file.path for file in files.files}
        wanted = dict.fromkeys(one.path for one in record.files)
        if missing := [name for name in wanted if name not in paths]:
            raise InputError(f"{root}: {missing[0]}, of which the scan was made, is gone")
        datasets = tuple(pydicom.dcmread(paths[name]) for name in wanted)
        _check_identity(datasets, record, root)
        affine = _affine(datasets, record)
        first = datasets[0]
        shape = (int(first.Columns), int(first.Rows), _n_frames(datasets))
        yield Source(datasets, affine, shape, record)
    finally:
        files.close()


def _check_identity(datasets: tuple[Any, ...], record: SeriesRecord, root: Path) -> None:
    expected = {one.sop_instance_uid for one in record.files}
    if {str(dataset.SOPInstanceUID) for dataset in datasets} != expected:
        raise InputError(f"{root}: holds other DICOM objects than those that the scan was made of")


def _n_frames(datasets: tuple[Any, ...]) -> int:
    return int(getattr(datasets[0], "NumberOfFrames", 1)) if len(datasets) == 1 else len(datasets)


def _affine(datasets: tuple[Any, ...], record: SeriesRecord) -> np.ndarray:
    """Of the slices in the order of the objects, or of the frames of the one object."""
    places = [_place(datasets, k) for k in range(_n_frames(datasets))]
    position, orientation, spacing = places[0]
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * spacing[1], column * spacing[0]
    n = len(places)
    step = (np.array(places[-1][0]) - position) / (n - 1) if n > 1 else np.cross(row, column)
    affine[:3, 2], affine[:3, 3] = step, position
    expected = np.array(position) + np.arange(n)[:, None] * step
    off = np.abs(expected - np.array([place[0] for place in places])).max()
    if off > 0.05 * np.linalg.norm(step):
        raise InputError(
            f"{record.source}: the frames of {record.series_description or 'the series'} do not "
            "follow each other in space, so no result can refer to them"
        )
    return np.asarray(_TO_RAS @ affine)


def _place(datasets: tuple[Any, ...], frame: int) -> tuple[Any, Any, Any]:
    """Position, orientation and spacing of a frame."""
    if len(datasets) > 1 or "PerFrameFunctionalGroupsSequence" not in datasets[0]:
        one = datasets[frame]
        return one.ImagePositionPatient, one.ImageOrientationPatient, one.PixelSpacing
    groups = datasets[0].PerFrameFunctionalGroupsSequence[frame]
    shared = datasets[0].SharedFunctionalGroupsSequence[0]

    def group(name: str) -> Any:
        return (groups if name in groups else shared)[name][0]

    return (
        group("PlanePositionSequence").ImagePositionPatient,
        group("PlaneOrientationSequence").ImageOrientationPatient,
        group("PixelMeasuresSequence").PixelSpacing,
    )


def on_slices(
    volume: np.ndarray, affine: np.ndarray, source: Source, *, order: int
) -> tuple[np.ndarray, bool]:
    """A volume of the scan's grid on the slices of its series.

    Args:
        volume: ``(X, Y, Z)``.
        affine: voxel index to world (RAS, mm), ``(4, 4)``.
        source: the series.
        order: of the interpolation where the grids differ: 0 for masks, 1 for maps.

    Returns:
        ``(slices, rows, columns)`` of the volume's type, and whether voxels had to be resampled;
        where the grids are one up to the order and direction of their axes, they are not.
    """
    to_volume = np.linalg.solve(affine, source.affine)
    linear, offset = np.round(to_volume[:3, :3]), to_volume[:3, 3]
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(source.shape) - 1)
    exact = corners @ to_volume[:3, :3].T + offset
    whole = corners @ linear.T + np.round(offset)
    is_turn = np.array_equal(np.sort(np.abs(linear), axis=0)[::-1][0], np.ones(3))
    if is_turn and np.abs(linear).sum() == 3 and np.abs(exact - whole).max() < _SAME:
        index = np.indices(source.shape).reshape(3, -1)
        places = (linear @ index + np.round(offset)[:, None]).astype(int)
        inside = np.all((places >= 0) & (places < np.array(volume.shape)[:, None]), axis=0)
        flat = np.zeros(index.shape[1], volume.dtype)
        flat[inside] = volume[tuple(places[:, inside])]
        return flat.reshape(source.shape).transpose(2, 1, 0), False
    moved = ndimage.affine_transform(
        volume.astype(np.float32), to_volume[:3, :3], offset, source.shape, order=order
    )
    return moved.astype(volume.dtype).transpose(2, 1, 0), True
