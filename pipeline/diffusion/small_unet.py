"""The small U-Net of the networks that come with anomap, and how their weights are read."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import InputError

_N_GROUPS = 8
_Convolution = type[nn.Conv2d] | type[nn.Conv3d]


class SmallUNet(nn.Module):
    """Blocks of two convolutions, max pooling down, nearest neighbours up, skips between.

    Args:
        n_in, n_out: channels.
        widths: of each level, the finest first; multiples of 8.
        dims: 2 or 3.
    """

    def __init__(self, n_in: int, n_out: int, widths: tuple[int, ...], *, dims: int) -> None:
        super().__init__()
        self.pool = functional.max_pool2d if dims == 2 else functional.max_pool3d
        convolution: _Convolution = nn.Conv2d if dims == 2 else nn.Conv3d
        self.down = nn.ModuleList()
        n_before = n_in
        for width in widths:
            self.down.append(_block(convolution, n_before, width))
            n_before = width
        self.up = nn.ModuleList(
            _block(convolution, deep + width, width)
            for width, deep in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.head = convolution(widths[0], n_out, 1)

    def forward(self, values: Tensor) -> Tensor:
        """``(N, n_in, ...)`` to ``(N, n_out, ...)``, sides multiples of 2 to the levels less 1."""
        kept = []
        for level, block in enumerate(self.down):
            values = block(self.pool(values, 2) if level else values)
            kept.append(values)
        for block, beside in zip(self.up, kept[-2::-1], strict=True):
            values = functional.interpolate(values, scale_factor=2, mode="nearest")
            values = block(torch.cat([values, beside], dim=1))
        out: Tensor = self.head(values)
        return out


def _block(convolution: _Convolution, n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        convolution(n_in, n_out, 3, padding=1),
        nn.GroupNorm(_N_GROUPS, n_out),
        nn.SiLU(),
        convolution(n_out, n_out, 3, padding=1),
        nn.GroupNorm(_N_GROUPS, n_out),
        nn.SiLU(),
    )


_Network = TypeVar("_Network", bound=nn.Module)


def with_weights(network: _Network, path: Path, what: str, otherwise: str) -> _Network:
    """A network with the weights that come with anomap, to be asked, on the CPU.

    Args:
        network: gets them.
        path: of the file; its numbers may have fewer bits.
        what: the weights are of, for the message.
        otherwise: what to do without them.

    Raises:
        InputError: they did not come with this copy of anomap.
    """
    if not path.is_file():
        raise InputError(
            f"the weights of {what} ({path.name}) are not in this copy of anomap: install the "
            f"package, or {otherwise}"
        )
    weights = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    return network.eval()
