"""Volumes small enough for a web page: cropped to the brain, coarsened, 8 bits, base64."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy import ndimage

MARGIN_MM = 4.0
"""Rim that is kept around the brain."""
LEVELS = 255


@dataclass(frozen=True)
class Frame:
    """The part of a source grid that is shown, and how it is sampled.

    Attributes:
        box: voxels of the source, a slice an axis.
        shape: voxels of the miniature along each axis.
        affine: voxel index of the miniature to world (mm), ``(4, 4)``.
    """

    box: tuple[slice, ...]
    shape: tuple[int, ...]
    affine: np.ndarray


def frame_of(brain_mask: np.ndarray, affine: np.ndarray, max_voxels: int) -> Frame:
    """A frame around the brain with at most so many voxels (roughly), as isotropic as they allow.

    Args:
        brain_mask: ``(X, Y, Z)`` bool; everything is kept where it is empty.
        affine: voxel index to world (mm), ``(4, 4)``.
        max_voxels: of the miniature.
    """
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    box = _box(brain_mask, np.ceil(MARGIN_MM / spacing_mm).astype(int))
    size = np.array([part.stop - part.start for part in box])
    target_mm = float(spacing_mm.min())
    while (shape := _shape(size, spacing_mm, target_mm)).prod() > max_voxels:
        target_mm *= 1.03
    step = size / shape
    own = np.array(affine, dtype=np.float64)
    own[:3, 3] += own[:3, :3] @ (np.array([part.start for part in box]) + (step - 1) / 2)
    own[:3, :3] *= step
    return Frame(box, tuple(int(n) for n in shape), own)


def _box(mask: np.ndarray, margin: np.ndarray) -> tuple[slice, ...]:
    if not mask.any():
        return tuple(slice(0, n) for n in mask.shape)
    tight = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(part.start - rim, 0), min(part.stop + rim, n))
        for part, rim, n in zip(tight, margin, mask.shape, strict=True)
    )


def _shape(size: np.ndarray, spacing_mm: np.ndarray, target_mm: float) -> np.ndarray:
    """Voxels along each axis at spacing ``target_mm``, where that is coarser than the source."""
    voxels = np.maximum(np.rint(size * np.minimum(1, spacing_mm / target_mm)), 1)
    return np.asarray(voxels.astype(int))


def sample(data: np.ndarray, frame: Frame, *, labels: bool = False) -> np.ndarray:
    """The voxels of a frame: linear between smoothed neighbours, or the nearest for labels.

    Args:
        data: ``(X, Y, Z)`` on the source grid, in any unit.
        frame: what of it is shown.
        labels: they are whole numbers that mean something.

    Returns:
        Of the frame's shape, in the same unit.
    """
    part = data[frame.box]
    if part.shape == frame.shape:
        return part
    step = np.array(part.shape) / np.array(frame.shape)
    if not labels:
        part = ndimage.gaussian_filter(part.astype(np.float32), (step - 1) / 2)
    return np.asarray(
        ndimage.affine_transform(
            part,
            step,
            (step - 1) / 2,
            output_shape=frame.shape,
            order=0 if labels else 1,
            mode="nearest",
        )
    )


def encode(data: np.ndarray, affine: np.ndarray, low: float, high: float) -> str:
    """A gzipped 8-bit NIfTI in base64; values are clipped to ``low..high``, whose range it codes.

    Args:
        data: ``(X, Y, Z)``, finite.
        affine: voxel index to world (mm), ``(4, 4)``.
        low, high: in units of ``data``.
    """
    slope = (high - low) / LEVELS if high > low else 1.0
    levels = np.clip(np.rint((data - low) / slope), 0, LEVELS).astype(np.uint8)
    return _base64(levels, affine, slope, low)


def encode_labels(labels: np.ndarray, affine: np.ndarray) -> str:
    """As `encode`, for whole numbers ``(X, Y, Z)`` from 0 to 255, which are kept."""
    return _base64(labels.astype(np.uint8), affine, 1.0, 0.0)


def _base64(levels: np.ndarray, affine: np.ndarray, slope: float, low: float) -> str:
    image = nib.Nifti1Image(levels, affine)
    image.header.set_slope_inter(slope, low)
    image.header.set_xyzt_units("mm")
    # No time stamp, so that the same volume gives the same text.
    return base64.b64encode(gzip.compress(image.to_bytes(), 9, mtime=0)).decode("ascii")
