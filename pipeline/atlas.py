"""What healthy brains show at each place: mean and spread of a quantity, in a common frame.

The frame is the brain's own box: centre and size of the brain mask along each axis of the working
grid, from the first two moments of the mask. It needs no registration, and nothing in the image
moves it.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from pipeline.errors import InputError
from pipeline.nifti import write_atomically

FRAME = (48, 56, 48)
"""Voxels of the frame along slices, rows and columns."""
FRAME_VOXEL_MM = 3.5
"""About, in an adult's brain."""
_EXTENT = 2.1
"""Half the frame in standard deviations of the mask; a solid ellipsoid ends at sqrt(5) = 2.24."""
_MIN_WEIGHT = 0.05
_MIN_SUPPORT = 0.1
"""Share of the brains that must have tissue at a place for its own statistics to count."""


@dataclass(frozen=True)
class Atlas:
    """Position-wise statistics of healthy brains.

    Attributes:
        mean: ``(K, *FRAME)`` float32, K quantities.
        spread: standard deviations, same shape, >= the floor that it was made with.
        n_cases: brains that it is made of.
    """

    mean: np.ndarray
    spread: np.ndarray
    n_cases: int

    def z_scores(self, values: np.ndarray, brain: np.ndarray) -> np.ndarray:
        """``(values - mean) / spread`` at each voxel of a brain.

        Args:
            values: ``(N, K, H, W)``, on the working grid.
            brain: ``(N, H, W)`` bool.

        Returns:
            ``(N, K, H, W)`` float32, 0 outside the brain.

        Raises:
            ValueError: not the number of quantities that the atlas holds.
        """
        if values.shape[1] != len(self.mean):
            raise ValueError(f"an atlas of {len(self.mean)} quantities; got {values.shape[1]}")
        z = np.zeros(values.shape, dtype=np.float32)
        if not brain.any():
            return z
        placement = _placement(brain)
        for k in range(values.shape[1]):
            mean, spread = (
                _from_frame(a[k], placement, brain.shape) for a in (self.mean, self.spread)
            )
            z[:, k] = np.where(brain, (values[:, k] - mean) / spread, 0.0)
        return z

    def placed_mean(self, brain: np.ndarray) -> np.ndarray:
        """The mean where a brain ``(N, H, W)`` lies, ``(K, N, H, W)``."""
        placement = _placement(brain)
        return np.stack([_from_frame(mean, placement, brain.shape) for mean in self.mean])


class AtlasBuilder:
    """Sums over healthy brains, one at a time; `build` makes an atlas of them."""

    def __init__(self) -> None:
        self.n_cases = 0
        self._count = np.zeros(FRAME)
        self._total = self._square = np.zeros((0, *FRAME))

    def add(self, values: np.ndarray, brain: np.ndarray, healthy: np.ndarray) -> None:
        """Take a brain in.

        Args:
            values: ``(N, K, H, W)``, on the working grid.
            brain: ``(N, H, W)`` bool; it places the frame.
            healthy: what counts, same shape.

        Raises:
            ValueError: nothing counts, or these are not the quantities of the brains before.
        """
        if not healthy.any() or (self.n_cases and values.shape[1] != len(self._total)):
            raise ValueError(
                f"a brain needs healthy voxels and {len(self._total) or 'some'} quantities; got "
                f"{int(healthy.sum())} voxels and {values.shape[1]}"
            )
        placement = _placement(brain)
        share = _to_frame(healthy, placement)
        inside = share > 0.5
        in_frame = np.stack([_to_frame(v * healthy, placement) for v in values.swapaxes(0, 1)])
        # Values outside do not count as 0: they are divided by the share that lies inside.
        in_frame = np.where(inside, in_frame / np.maximum(share, 0.5), 0.0)
        if not self.n_cases:
            self._total = self._square = np.zeros(in_frame.shape)
        self._count = self._count + inside
        self._total, self._square = self._total + in_frame, self._square + in_frame**2
        self.n_cases += 1

    def build(self, *, sigma_mm: float, min_spread: float) -> Atlas:
        """The atlas of the brains so far.

        Args:
            sigma_mm: the sums are smoothed with this Gaussian (at 3.5 mm a voxel of the frame).
            min_spread: floor of the spread, in units of the values.

        Raises:
            ValueError: there was no brain.
        """
        if not self.n_cases:
            raise ValueError("an atlas is made of one brain at least")

        def smooth(volume: np.ndarray) -> np.ndarray:
            return np.asarray(ndimage.gaussian_filter(volume, sigma_mm / FRAME_VOXEL_MM))

        weight = np.maximum(smooth(self._count), _MIN_WEIGHT)
        mean = np.stack([smooth(total) for total in self._total]) / weight
        moment = np.stack([smooth(square) for square in self._square]) / weight
        spread = np.sqrt(np.maximum(moment - mean**2, min_spread**2))
        # A spread takes some brains; where few had tissue, the nearest better known place counts.
        seen = weight >= max(0.5, _MIN_SUPPORT * self.n_cases)
        mean, spread = (_filled(volumes, seen).astype(np.float32) for volumes in (mean, spread))
        return Atlas(mean, spread, self.n_cases)


def _filled(volumes: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Places where no brain was get the value of the nearest place where one was."""
    nearest = ndimage.distance_transform_edt(~seen, return_distances=False, return_indices=True)
    return volumes[(slice(None), *nearest)]


Placement = tuple[np.ndarray, np.ndarray]
"""First voxel of the frame and its step, in voxels of the working grid."""


def _placement(brain: np.ndarray) -> Placement:
    index = np.argwhere(brain)
    if not len(index):
        raise ValueError("there is no brain to place the frame on")
    # Of a flat brain (one slice) an axis has no extent: half a voxel then.
    half = np.maximum(_EXTENT * index.std(0), 0.5)
    return index.mean(0) - half, 2 * half / (np.array(FRAME) - 1)


def _to_frame(volume: np.ndarray, placement: Placement) -> np.ndarray:
    first, step = placement
    return np.asarray(
        ndimage.affine_transform(
            volume.astype(np.float32), step, first, output_shape=FRAME, order=1, mode="nearest"
        )
    )


def _from_frame(volume: np.ndarray, placement: Placement, shape: tuple[int, ...]) -> np.ndarray:
    first, step = placement
    return np.asarray(
        ndimage.affine_transform(
            volume, 1 / step, -first / step, output_shape=shape, order=1, mode="nearest"
        )
    )


def save_atlases(path: Path, atlases: dict[str, Atlas], made_for: str = "") -> None:
    """Write atlases by name into one ``.npz``.

    Args:
        made_for: what they depend on; see `load_atlases`.
    """
    arrays: dict[str, Any] = {
        f"{name}.{part.name}": getattr(atlas, part.name)
        for name, atlas in atlases.items()
        for part in fields(Atlas)
    }

    def write(temporary: Path) -> None:
        with temporary.open("wb") as handle:
            np.savez_compressed(handle, allow_pickle=False, made_for=made_for, **arrays)

    write_atomically(path, write)


def load_atlases(path: Path, made_for: str = "") -> dict[str, Atlas]:
    """Read what `save_atlases` wrote; nothing, if it was made for something else.

    Raises:
        InputError: it is missing or not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["made_for"]) != made_for:
                return {}
            names = sorted({key.split(".")[0] for key in stored.files} - {"made_for"})
            return {name: _checked(stored, name) for name in names}
    except (
        *(OSError, EOFError, ValueError, KeyError, TypeError, IndexError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise InputError(f"{path}: not the atlases of a run ({error}); remove it") from error


def _checked(stored: Any, name: str) -> Atlas:
    mean, spread = stored[f"{name}.mean"], stored[f"{name}.spread"]
    if mean.shape != spread.shape or mean.shape[1:] != FRAME:
        raise ValueError(f"{name} has the shapes {mean.shape} and {spread.shape}")
    if not np.isfinite(mean).all() or not (spread > 0).all() or not np.isfinite(spread).all():
        raise ValueError(f"{name} holds values that are not numbers")
    return Atlas(mean, spread, int(stored[f"{name}.n_cases"]))
