"""The network that has learnt what lesions do to brains of any contrast; it saw none that is real.

Trained by ``tools/any_contrast`` on brains painted from parcellations, with lesions painted in.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.cases.grid import Grid
from pipeline.diffusion.small_unet import SmallUNet, with_weights
from pipeline.files.identity import content_hash
from pipeline.files.names import LESION_NETWORK

WEIGHTS = Path(__file__).with_name(LESION_NETWORK)
SPACING_MM = 3.25
"""Of the voxels that it learnt on, along all axes."""
VIEWS = ((SPACING_MM, False), (SPACING_MM, True), (4.2, False), (4.2, True))
"""Spacings of the voxels, and whether left and right are exchanged. Each case is looked at in all
of them, and the mean of the probabilities counts: where the network errs, the views differ."""
SIDE = 64
"""Rows and columns that it learnt on; it is given as many at least."""
REACH = 2
"""Slices on both sides of the one that is marked."""
WIDTHS = (32, 64, 96, 128)
_MULTIPLE, _BATCH = 8, 16


@dataclass(frozen=True)
class Marked:
    """What the network says of a case.

    Attributes:
        probability: of a lesion, ``(N, 1, H, W)`` in 0..1, 0 outside the brain; the mean of
            `VIEWS`.
        healthy: the image without it, ``(N, C, H, W)`` in [-1, 1]; the image itself outside. By
            the views of the spacing that the network learnt on.
    """

    probability: Tensor
    healthy: Tensor


class LesionNetwork(SmallUNet):
    """Five slices in [-1, 1] to the logit of a lesion and the change of the middle one.

    ``(N, 5, H, W)`` to ``(N, 2, H, W)``, H and W multiples of 8. The mirror image is looked at too,
    so the brain lies in the middle of the slice. The second output is what has to be added to the
    middle slice to make it healthy.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__(2 * (2 * REACH + 1), 2, widths, dims=2)

    def forward(self, slab: Tensor) -> Tensor:
        """Logit and change ``(N, 2, H, W)`` of slabs ``(N, 5, H, W)``."""
        return super().forward(torch.cat([slab, slab.flip(-1)], dim=1))


def slabs(stack: Tensor, places: Tensor) -> Tensor:
    """Slices with their neighbours; beyond an end the last slice is repeated.

    Args:
        stack: ``(N, H, W)``.
        places: of the middle slices, ``(M,)``.

    Returns:
        ``(M, 5, H, W)``.
    """
    around = places[:, None] + torch.arange(-REACH, REACH + 1)
    return stack[around.clamp(0, len(stack) - 1)]


@functools.cache
def lesion_network() -> LesionNetwork:
    """The network with its weights, on the CPU.

    Raises:
        InputError: they did not come with this copy of anomap.
    """
    return with_weights(
        LesionNetwork(), WEIGHTS, "the lesion network", "set detection.lesion_power to 0"
    )


@functools.cache
def weights_sha256() -> str:
    """Of the file with the weights; "" where it is not there."""
    return content_hash(WEIGHTS) if WEIGHTS.is_file() else ""


@torch.inference_mode()
def mark(slices: Tensor, brain: Tensor, grid: Grid) -> Marked:
    """Where a case has a lesion; of several channels the mean.

    Args:
        slices: ``(N, C, H, W)`` in [-1, 1], background -1.
        brain: ``(N, 1, H, W)`` bool.
        grid: of both; it is resampled to the spacing of each view.

    Raises:
        InputError: see `lesion_network`.
    """
    network = lesion_network()
    inside = brain[:, 0].float()
    shares, changes = [], []
    for image in slices.unbind(1):
        seen = [(mm, _seen(network, image, inside, grid, (mm, swap))) for mm, swap in VIEWS]
        shares.append(torch.stack([torch.sigmoid(out[0]) for _, out in seen]).mean(0))
        fine = [out[1] for mm, out in seen if mm == SPACING_MM]
        changes.append(torch.stack(fine).mean(0))
    probability = torch.stack(shares, 1).mean(1, keepdim=True) * brain
    healthy = (slices + torch.stack(changes, 1)).clamp(-1, 1)
    return Marked(probability, torch.where(brain, healthy, slices))


def _seen(
    network: LesionNetwork, image: Tensor, inside: Tensor, grid: Grid, view: tuple[float, bool]
) -> Tensor:
    """The two maps ``(2, N, H, W)`` of one channel ``(N, H, W)``, in one of `VIEWS`."""
    spacing_mm, swap = view
    size = list(image.shape)
    own = [max(1, round(n * mm / spacing_mm)) for n, mm in zip(size, grid.axes_mm, strict=True)]
    both = torch.stack([image + 1, inside])  # 0 outside, as what is filled in
    both = both.flip(-1) if swap else both
    if own != size:
        both = functional.interpolate(both[None], size=own, mode="trilinear")[0]
    rows, columns = (_padding(n) for n in own[1:])
    image, share = functional.pad(both, (*columns, *rows))
    given = torch.where(share > 0.5, image / share.clamp_min(1e-3) - 1, -1.0)
    parts = torch.arange(len(given)).split(_BATCH)
    out = torch.cat([network(slabs(given, places)) for places in parts]).transpose(0, 1)
    out = out[..., rows[0] : rows[0] + own[1], columns[0] : columns[0] + own[2]]
    if own != size:
        out = functional.interpolate(out[None], size=size, mode="trilinear")[0]
    return out.flip(-1) if swap else out


def _padding(n: int) -> tuple[int, int]:
    """Before and after, to `SIDE` at least and a multiple of 8."""
    more = max(SIDE, -(-n // _MULTIPLE) * _MULTIPLE) - n
    return more // 2, more - more // 2
