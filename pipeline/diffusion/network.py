"""Presets of MONAI's DiffusionModelUNet."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.nets import DiffusionModelUNet
from torch import Tensor

NETWORKS: dict[str, dict[str, Any]] = {
    # 1.8 M parameters; two CPU cores train it on some 75 slices of 64x64 a second.
    "tiny": {
        "channels": (16, 32, 64, 96),
        "attention_levels": (False, False, False, True),
        "num_res_blocks": (1, 1, 1, 1),
        "num_head_channels": 16,
        "norm_num_groups": 8,
    },
    "small": {
        "channels": (32, 64, 128, 128),
        "attention_levels": (False, False, False, True),
        "num_res_blocks": (1, 1, 1, 1),
        "num_head_channels": 32,
        "norm_num_groups": 8,
    },
    "base": {
        "channels": (64, 128, 256),
        "attention_levels": (False, False, True),
        "num_res_blocks": (2, 2, 2),
        "num_head_channels": 64,
        "norm_num_groups": 32,
    },
    # The widths of brain_damage's diffusers UNet2D.
    "paper": {
        "channels": (128, 128, 256, 256, 512),
        "attention_levels": (False, False, False, True, False),
        "num_res_blocks": (2, 2, 2, 2, 2),
        "num_head_channels": 64,
        "norm_num_groups": 32,
    },
}


class DenoisingUNet(DiffusionModelUNet):
    """MONAI's network; timesteps may be left out, as the checks of MONAI bundles do, and are 0."""

    def forward(
        self, x: Tensor, timesteps: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Tensor:
        """The prediction for noisy images ``(B, C, H, W)`` at ``timesteps`` ``(B,)``."""
        if timesteps is None:
            timesteps = torch.zeros(len(x), dtype=torch.long, device=x.device)
        prediction: Tensor = super().forward(x, timesteps, *args, **kwargs)
        return prediction


def build_network(name: str, n_channels: int = 1) -> DenoisingUNet:
    """The network of a preset, 2-D, ``n_channels`` in and out; called as ``network(x, timesteps)``.

    Raises:
        ValueError: no such preset.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(NETWORKS)}")
    return DenoisingUNet(
        spatial_dims=2, in_channels=n_channels, out_channels=n_channels, **NETWORKS[name]
    )


def slice_multiple(name: str) -> int:
    """Height and width of a slice must be a multiple of this for the network of that name."""
    return int(2 ** (len(NETWORKS[name]["channels"]) - 1))
