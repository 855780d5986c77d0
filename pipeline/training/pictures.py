"""Pictures of what a network makes of slices, as TensorBoard shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from torch import Tensor, nn
from torch.utils.data import Subset

from pipeline.cases.transforms import BACKGROUND
from pipeline.diffusion.scheduler import SimplexDDPMScheduler
from pipeline.noise.noises import derive_seed
from pipeline.training.dataset import SliceItem, evenly_spaced
from pipeline.training.probes import Probe, ProbeMap, noise_of, pooled

CELL, MARGIN, LINE = 128, 68, 20
"""Pixels: the least side of a slice in a picture, room for its row's name, and for a heading."""
OUTLINE = (230, 159, 0)
TOP_QUANTILE = 0.999
RESTORED_TIMESTEPS = (100, 300, 500)
N_RESTORED = 3
"""Slices of a picture of restored ones."""


@torch.no_grad()
def restored_picture(
    slices: Subset[SliceItem],
    network: nn.Module,
    scheduler: SimplexDDPMScheduler,
    seed: int,
    device: torch.device,
) -> np.ndarray:
    """Some of the larger slices at some timesteps: image, noisy, restored, |difference|.

    It draws from no generator: the noise follows from seed, slice and timestep.

    Args:
        slices: healthy ones.
        network: called as ``network(x_t, timesteps)``, on ``device``.

    Returns:
        One picture ``(H', W', 3)`` uint8, a row for each slice and timestep.
    """
    rows = []
    last = scheduler.num_train_timesteps - 1
    areas = [int((slices[i]["image"] > BACKGROUND).sum()) for i in range(len(slices))]
    large = sorted(range(len(areas)), key=areas.__getitem__)[len(areas) // 2 :]
    for i in (sorted(large)[k] for k in evenly_spaced(len(large), N_RESTORED)):
        image = slices[i]["image"][None].to(device)
        for t in (min(t, last) for t in RESTORED_TIMESTEPS):
            field = scheduler.noise.seeded(image, [derive_seed(seed, i, t)])
            noisy = scheduler.add_noise(image, field, t)
            restored = scheduler.reconstruct(network, image, t, noise_of(field))
            cells = [(x[0, 0] + 1) / 2 for x in (image, noisy, restored)]
            cells.append((restored - image)[0, 0].abs())
            rows.append((f"t = {t}", [_upright(cell) for cell in cells]))
    return labelled_grid(("image", "with noise", "restored", "|difference|"), rows)


def _upright(cell: Tensor) -> np.ndarray:
    """A slice ``(H, W)`` with anterior at the top."""
    return cell.flip(0).float().cpu().numpy()


def probe_picture(probes: Sequence[Probe], maps: Sequence[ProbeMap]) -> np.ndarray:
    """Each tumour at the slice where it is largest: image, restored, map, outline.

    Returns:
        One picture ``(H', W', 3)`` uint8, a row for each probe; all maps have one scale.
    """
    top = float(np.quantile(pooled(probes, maps)[0], TOP_QUANTILE)) or 1.0
    rows = []
    for i, (probe, made) in enumerate(zip(probes, maps, strict=True)):
        z = int(probe.lesion.flatten(1).sum(1).argmax())
        image, restored = (
            (stack[z, 0].numpy()[::-1] + 1) / 2 for stack in (probe.slices, made.restored)
        )
        scaled = made.anomaly_map[z, 0].numpy()[::-1] / top
        outlined = _outlined(image, probe.lesion[z, 0].numpy()[::-1])
        rows.append((f"tumour {i + 1}", (image, restored, scaled, outlined)))
    return labelled_grid(("image", "restored", "anomaly map", "tumour"), rows)


def labelled_grid(
    headings: Sequence[str], rows: Sequence[tuple[str, Sequence[np.ndarray]]]
) -> np.ndarray:
    """Slices in rows and columns with their names.

    Args:
        headings: of the columns.
        rows: name, and a slice ``(H, W)`` or ``(H, W, 3)`` in [0, 1] for each heading.

    Returns:
        ``(H', W', 3)`` uint8; small slices are enlarged to `CELL` pixels.
    """
    cells = [[_enlarged(cell) for cell in row] for _, row in rows]
    size = cells[0][0].shape[0]
    canvas = Image.new(
        "RGB", (MARGIN + size * len(headings), LINE + size * len(rows)), (255, 255, 255)
    )
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for column, heading in enumerate(headings):
        place = (MARGIN + size * (column + 0.5), LINE / 2)
        draw.text(place, heading, fill=(0, 0, 0), font=font, anchor="mm")
    for i, ((name, _), row) in enumerate(zip(rows, cells, strict=True)):
        top = LINE + size * i
        draw.text((MARGIN - 6, top + size / 2), name, fill=(0, 0, 0), font=font, anchor="rm")
        for column, cell in enumerate(row):
            canvas.paste(Image.fromarray(cell), (MARGIN + size * column, top))
    return np.asarray(canvas)


def _enlarged(cell: np.ndarray) -> np.ndarray:
    factor = _factor(cell)
    grey = np.round(np.clip(cell, 0, 1) * 255).astype(np.uint8)
    colour = grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)
    return colour.repeat(factor, 0).repeat(factor, 1)


def _factor(cell: np.ndarray) -> int:
    return max(1, math.ceil(CELL / int(cell.shape[0])))


def _outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A slice ``(H, W)`` in [0, 1] in colours, enlarged, with the rim of a mask."""
    factor = _factor(image)
    large = np.clip(image, 0, 1).repeat(factor, 0).repeat(factor, 1)
    inside = mask.repeat(factor, 0).repeat(factor, 1)
    rim = inside & ~ndimage.binary_erosion(inside)
    colour = np.repeat(large[..., None], 3, axis=2)
    colour[rim] = np.array(OUTLINE) / 255
    return colour
