"""Presets of MONAI's DiffusionModelUNet."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from monai.networks.nets import DiffusionModelUNet
from torch import Tensor


@dataclass(frozen=True)
class NetworkPreset:
    """Widths of a network; the names are those of MONAI's arguments.

    Attributes:
        channels: of each level, the finest first.
        attention_levels: whether a level attends.
        num_res_blocks: of each level.
        num_head_channels: of a head of attention.
        norm_num_groups: of the group norms.
        resblock_updown: residual blocks halve and double the resolution.
    """

    channels: tuple[int, ...]
    attention_levels: tuple[bool, ...]
    num_res_blocks: tuple[int, ...]
    num_head_channels: int
    norm_num_groups: int
    resblock_updown: bool = False


NETWORKS: dict[str, NetworkPreset] = {
    # 1.8 M parameters; two CPU cores train it on some 75 slices of 64x64 a second.
    "tiny": NetworkPreset(
        channels=(16, 32, 64, 96),
        attention_levels=(False, False, False, True),
        num_res_blocks=(1, 1, 1, 1),
        num_head_channels=16,
        norm_num_groups=8,
    ),
    "small": NetworkPreset(
        channels=(32, 64, 128, 128),
        attention_levels=(False, False, False, True),
        num_res_blocks=(1, 1, 1, 1),
        num_head_channels=32,
        norm_num_groups=8,
    ),
    "base": NetworkPreset(
        channels=(64, 128, 256),
        attention_levels=(False, False, True),
        num_res_blocks=(2, 2, 2),
        num_head_channels=64,
        norm_num_groups=32,
    ),
    # As brain_damage's UNet2D of diffusers: 92.17 M parameters.
    "paper": NetworkPreset(
        channels=(128, 128, 256, 384, 512),
        attention_levels=(False, False, True, True, True),
        num_res_blocks=(2, 2, 2, 2, 2),
        num_head_channels=8,
        norm_num_groups=32,
    ),
    # As AnoDDPM's at 256x256: base width 128, attention at 16x16 and 8x8, two heads.
    "anoddpm": NetworkPreset(
        channels=(128, 128, 256, 256, 512, 512),
        attention_levels=(False, False, False, False, True, True),
        num_res_blocks=(2, 2, 2, 2, 2, 2),
        num_head_channels=256,
        norm_num_groups=32,
        resblock_updown=True,
    ),
}


class DenoisingUNet(DiffusionModelUNet):
    """MONAI's network; timesteps may be left out, as the checks of MONAI bundles do, and are 0.

    Args:
        mirrored: the mirror images are given to the network as well, as further channels: where a
            brain is not as on its other side. The middle of the brain is that of the slice.
        settings: MONAI's.
    """

    def __init__(self, *, mirrored: bool = False, **settings: Any) -> None:
        if mirrored:
            settings["in_channels"] *= 2
        super().__init__(**settings)
        self.mirrored = mirrored

    def forward(
        self, x: Tensor, timesteps: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Tensor:
        """The prediction for noisy images.

        Args:
            x: ``(B, C, H, W)``.
            timesteps: ``(B,)``, in 0..T-1; all 0 where None.
            args, kwargs: MONAI's.

        Returns:
            ``(B, C, H, W)``, of what the scheduler's ``prediction_type`` says.
        """
        if timesteps is None:
            timesteps = torch.zeros(len(x), dtype=torch.long, device=x.device)
        if self.mirrored:
            x = torch.cat([x, x.flip(-1)], dim=1)
        prediction: Tensor = super().forward(x, timesteps, *args, **kwargs)
        return prediction


def build_network(name: str, n_channels: int = 1, *, mirrored: bool = False) -> DenoisingUNet:
    """The network of a preset, 2-D, ``n_channels`` in and out; called as ``network(x, timesteps)``.

    Args:
        mirrored: see `DenoisingUNet`.

    Raises:
        ValueError: no such preset.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(NETWORKS)}")
    return DenoisingUNet(
        mirrored=mirrored,
        spatial_dims=2,
        in_channels=n_channels,
        out_channels=n_channels,
        **asdict(NETWORKS[name]),
    )


def slice_multiple(name: str) -> int:
    """Height and width of a slice, in pixels, must be a multiple of this for that network."""
    return int(2 ** (len(NETWORKS[name].channels) - 1))
