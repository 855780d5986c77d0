"""What healthy brains show at each place: mean and spread of a quantity, in a common frame."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from pipeline.maps.placement import EXTENT, FRAME, FRAME_VOXEL_MM, Placement, on_box
from pipeline.maps.registration import Template

_MIN_WEIGHT = 0.05
_MIN_SUPPORT = 0.1
"""Share of the brains that must have tissue at a place for its own statistics to count."""

_MIN_SHARE = 0.5
"""Share of the brains that have tissue where the brain of their template is."""


@dataclass(frozen=True)
class Atlas:
    """Position-wise statistics of healthy brains.

    Attributes:
        mean: ``(K, *FRAME)`` float32, K quantities.
        spread: standard deviations, same shape, >= the floor that it was made with.
        n_cases: brains that it is made of.
        template: what they were placed by; None where that was their boxes.
        extent: of the box of a brain without a placement; see `pipeline.maps.placement.on_box`.
    """

    mean: np.ndarray
    spread: np.ndarray
    n_cases: int
    template: Template | None = None
    extent: float = EXTENT

    def z_scores(
        self, values: np.ndarray, brain: np.ndarray, placement: Placement | None = None
    ) -> np.ndarray:
        """``(values - mean) / spread`` at each voxel of a brain.

        Args:
            values: ``(N, K, H, W)``, on the working grid.
            brain: ``(N, H, W)`` bool.
            placement: of the frame on the brain; None takes its box.

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
        placement = placement or on_box(brain, self.extent)
        for k in range(values.shape[1]):
            mean, spread = (
                placement.from_frame(a[k], brain.shape) for a in (self.mean, self.spread)
            )
            z[:, k] = np.where(brain, (values[:, k] - mean) / spread, 0.0)
        return z

    def placed_mean(self, brain: np.ndarray, placement: Placement | None = None) -> np.ndarray:
        """The mean where it lies on a brain.

        Args:
            brain: ``(N, H, W)`` bool, on the working grid.
            placement: of the frame on the brain; None takes its box.

        Returns:
            ``(K, N, H, W)`` float32, in units of the values.
        """
        placement = placement or on_box(brain, self.extent)
        return np.stack([placement.from_frame(mean, brain.shape) for mean in self.mean])


def blended(prior: Atlas, own: Atlas, prior_cases: float) -> Atlas:
    """One atlas of two, as if the first were of ``prior_cases`` brains and the second of its own.

    Means and second moments are averaged: where the two differ the spread grows.

    Args:
        prior: known before; its template and extent stay.
        own: of the same quantities, placed likewise.
        prior_cases: above 0.

    Raises:
        ValueError: not of the same quantities.
    """
    if prior.mean.shape != own.mean.shape:
        raise ValueError(f"atlases {prior.mean.shape} and {own.mean.shape}; expected the same")
    share = prior_cases / (prior_cases + own.n_cases)
    mean = share * prior.mean + (1 - share) * own.mean
    moments = [one.spread.astype(np.float64) ** 2 + one.mean**2 for one in (prior, own)]
    variance = share * moments[0] + (1 - share) * moments[1] - mean.astype(np.float64) ** 2
    # Rounding may take the little that both spreads have at the least.
    least = np.minimum(prior.spread, own.spread)
    spread = np.maximum(np.sqrt(np.maximum(variance, 0)), least).astype(np.float32)
    return replace(prior, mean=mean, spread=spread, n_cases=prior.n_cases + own.n_cases)


class AtlasBuilder:
    """Sums over healthy brains, one at a time; `build` makes an atlas of them.

    Args:
        extent: of the box of a brain without a placement; see `pipeline.maps.placement.on_box`.
    """

    def __init__(self, extent: float = EXTENT) -> None:
        self.extent = extent
        self.n_cases = 0
        self._count = np.zeros(FRAME)
        self._total = self._square = np.zeros((0, *FRAME))

    def add(
        self,
        values: np.ndarray,
        brain: np.ndarray,
        healthy: np.ndarray,
        placement: Placement | None = None,
    ) -> None:
        """Take a brain in.

        Args:
            values: ``(N, K, H, W)``, on the working grid.
            brain: ``(N, H, W)`` bool.
            healthy: what counts, same shape.
            placement: of the frame on the brain; None takes its box.

        Raises:
            ValueError: nothing counts, or these are not the quantities of the brains before.
        """
        if not healthy.any() or (self.n_cases and values.shape[1] != len(self._total)):
            raise ValueError(
                f"a brain needs healthy voxels and {len(self._total) or 'some'} quantities; got "
                f"{int(healthy.sum())} voxels and {values.shape[1]}"
            )
        placement = placement or on_box(brain, self.extent)
        share = placement.to_frame(healthy)
        inside = share > 0.5
        in_frame = np.stack([placement.to_frame(v * healthy) for v in values.swapaxes(0, 1)])
        # Values outside do not count as 0: they are divided by the share that lies inside.
        in_frame = np.where(inside, in_frame / np.maximum(share, 0.5), 0.0)
        if not self.n_cases:
            self._total = self._square = np.zeros(in_frame.shape)
        self._count = self._count + inside
        self._total, self._square = self._total + in_frame, self._square + in_frame**2
        self.n_cases += 1

    def __add__(self, other: AtlasBuilder) -> AtlasBuilder:
        """One that has taken in the brains of both; neither is changed.

        Raises:
            ValueError: they hold other quantities, or frames of another extent.
        """
        if not (self.n_cases and other.n_cases):
            return copy(self if self.n_cases else other)
        if self.extent != other.extent or len(self._total) != len(other._total):
            raise ValueError("only sums over the same quantities in the same frame can be joined")
        both = AtlasBuilder(self.extent)
        both.n_cases = self.n_cases + other.n_cases
        both._count = self._count + other._count
        both._total, both._square = self._total + other._total, self._square + other._square
        return both

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
        return Atlas(mean, spread, self.n_cases, extent=self.extent)

    def template(self) -> Template:
        """The mean of the brains so far, of intensities in [-1, 1], to register others to.

        Raises:
            ValueError: there was no brain.
        """
        if not self.n_cases:
            raise ValueError("a template is made of one brain at least")
        brain = self._count > _MIN_SHARE * self.n_cases
        intensity = (self._total.mean(0) / np.maximum(self._count, 1) + 1) / 2
        image = np.where(brain, intensity, 0.0).clip(0, 1).astype(np.float32)
        return Template(image, brain, self.extent)


def _filled(volumes: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Places where no brain was get the value of the nearest place where one was."""
    nearest = ndimage.distance_transform_edt(~seen, return_distances=False, return_indices=True)
    return volumes[(slice(None), *nearest)]
