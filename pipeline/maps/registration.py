"""The frame placed on a brain where its image agrees best with the mean of healthy brains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from pipeline.maps.placement import FRAME, Placement, on_box

MIN_SLICES = 12
"""Of a brain of fewer slices its box is all that is known."""
MIN_OVERLAP = 0.9
"""Dice of a brain and the template's in the frame, below which a fit is not believed. Of 140
healthy brains and brains with tumours, T1w and FLAIR, none had less than 0.949."""
LEVELS = ((2.0, 2), (1.0, 2), (0.5, 1))
"""Coarse to fine: blur (standard deviation) and stride, in voxels of the frame."""
MAX_STEPS = 20
"""Of the optimiser a level; three times as many find the same."""
MARGIN = 2
"""Voxels of the frame about the template's brain that count too, so that its edge does."""


_LAST = np.array(FRAME) - 1


@dataclass(frozen=True)
class Template:
    """The mean of healthy brains, to which others are registered.

    Attributes:
        image: mean over brains and channels, ``FRAME`` float32 in [0, 1], 0 outside the brain.
        brain: where most of them have tissue, ``FRAME`` bool.
        extent: of the boxes on which they lay; see `pipeline.maps.placement.on_box`.
    """

    image: np.ndarray
    brain: np.ndarray
    extent: float


@torch.inference_mode(False)
@torch.enable_grad()
def register(slices: Tensor, brain: Tensor, template: Template) -> Placement:
    """The affine placement at which a brain correlates best with a template.

    Twelve parameters, from the brain's box on, by L-BFGS on the correlation over the template's
    brain and its margin. The box itself where that does not end on the brain (`MIN_OVERLAP`), or
    no higher, and for a brain of few slices (`MIN_SLICES`).

    Args:
        slices: ``(N, C, H, W)`` in [-1, 1]; the mean over channels counts.
        brain: ``(N, 1, H, W)`` bool.
        template: to which it is registered.

    Returns:
        From voxels of the frame to voxels of the working grid.

    Raises:
        ValueError: there is no brain.

    Reference: Jenkinson and Smith, Medical Image Analysis 2001, for affine registration of brains;
    Liu and Nocedal, Mathematical Programming 1989, for the optimiser.
    """
    inside = brain[:, 0].numpy()
    box = on_box(inside, template.extent)
    if inside.any((1, 2)).sum() < MIN_SLICES:
        return box
    image = ((slices.mean(1) + 1) / 2).clamp(0, 1).numpy() * inside
    counts = ndimage.binary_dilation(template.brain, iterations=MARGIN)
    affine = torch.eye(3, 4, requires_grad=True)
    for blur, stride in LEVELS:
        points = np.argwhere(counts[::stride, ::stride, ::stride]) * stride
        fixed = ndimage.gaussian_filter(template.image, blur)[tuple(points.T)]
        moving = ndimage.gaussian_filter(image, blur * box.step)
        match = _Match(fixed, points, moving, box)
        _maximise(match, affine)
    found = affine.detach()
    placement = _placement(found, box)
    good = match(found) > match(torch.eye(3, 4))
    return placement if good and _overlap(placement, inside, template) >= MIN_OVERLAP else box


class _Match:
    """Correlation of a brain with a template as a function of the affine, ``(3, 4)``.

    The affine maps the frame, as the cube [-1, 1]^3, to the box of the brain, as the same cube; the
    identity is the box.

    Args:
        fixed: the template at some voxels, ``(P,)``.
        points: those voxels of the frame, ``(P, 3)``.
        moving: the brain on the working grid, ``(N, H, W)``, 0 outside.
    """

    def __init__(
        self, fixed: np.ndarray, points: np.ndarray, moving: np.ndarray, box: Placement
    ) -> None:
        self.fixed = torch.from_numpy(fixed - fixed.mean())
        self.points = torch.from_numpy(2 * points / _LAST - 1).float()
        self.moving = torch.from_numpy(moving)[None, None]
        half = box.step * _LAST / 2
        size = np.maximum(np.array(moving.shape) - 1, 1)
        # grid_sample takes the grid as [-1, 1]^3 too, the last axis first.
        self.scale = torch.from_numpy(2 * half / size).float()
        self.centre = torch.from_numpy(2 * (box.first + half) / size - 1).float()

    def __call__(self, affine: Tensor) -> Tensor:
        at = self.centre + self.scale * (self.points @ affine[:, :3].T + affine[:, 3])
        seen = functional.grid_sample(
            self.moving, at.flip(-1)[None, None, None], align_corners=True
        ).flatten()
        return functional.cosine_similarity(seen - seen.mean(), self.fixed, dim=0)


def _maximise(match: _Match, affine: Tensor) -> None:
    """Bring an affine, in place, to where a match is highest nearby."""
    optimiser = torch.optim.LBFGS([affine], max_iter=MAX_STEPS, line_search_fn="strong_wolfe")

    def misfit() -> Tensor:
        optimiser.zero_grad()
        value = 1 - match(affine)
        value.backward()
        return value

    optimiser.step(misfit)


def _placement(affine: Tensor, box: Placement) -> Placement:
    """An affine of the cube, ``(3, 4)``, as a map from voxels of the frame to the grid."""
    matrix, shift = affine[:, :3].double().numpy(), affine[:, 3].double().numpy()
    half = box.step * _LAST / 2
    first = box.first + half * (1 + shift - matrix.sum(1))
    return Placement(first, (box.step * _LAST)[:, None] * matrix / _LAST)


def _overlap(placement: Placement, brain: np.ndarray, template: Template) -> float:
    """Dice of a brain ``(N, H, W)`` and the template's, in the frame."""
    there = placement.to_frame(brain) > 0.5
    return float(2 * (there & template.brain).sum() / (there.sum() + template.brain.sum()))
