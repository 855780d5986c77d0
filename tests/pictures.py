"""Drawn pictures of brains, as collections have them: in a folder that says what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 160


def draw_picture(path: Path, *, ill: bool = False, radius: int = 60, seed: int = 0) -> Path:
    """A grey ellipse, brighter within, with a bright disc where it is ill."""
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2
    depth = (y / radius) ** 2 + (x / (0.8 * radius)) ** 2
    noise = 20 * np.random.default_rng(seed).random(depth.shape)
    grey = np.where(depth < 1, 90 + 60 * (1 - depth) + noise, 0)
    if ill:
        grey[lesion_mask()] = 240
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey.astype(np.uint8)).save(path)
    return path


def lesion_mask() -> np.ndarray:
    """Where `draw_picture` draws the disc, bool."""
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2
    disc: np.ndarray = (y + 10) ** 2 + (x - 15) ** 2 < 15**2
    return disc


def draw_cohort(root: Path, n_healthy: int, n_ill: int = 0, n_marked: int = 0) -> Path:
    """``healthy/h0.png`` ..., ``glioma/g0.png`` ...; the first of those have a mask beside them."""
    for i in range(n_healthy):
        draw_picture(root / f"healthy/h{i}.png", radius=57 + i, seed=i)
    for i in range(n_ill):
        draw_picture(root / f"glioma/g{i}.png", ill=True, radius=57 + i, seed=100 + i)
        if i < n_marked:
            white = 255 * lesion_mask().astype(np.uint8)
            Image.fromarray(white).save(root / f"glioma/g{i}_mask.png")
    return root
