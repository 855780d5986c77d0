"""How a tumour looks: intensities of its parts, soft edges, texture, noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pipeline.phantom.growth import ENHANCING, NECROSIS, OEDEMA, Growth
from pipeline.phantom.plan import Site
from pipeline.phantom.splines import smooth_field
from pipeline.phantom.tissue import Levels

CONTRASTS = ("bright", "dark", "iso", "mixed")
"""Of a tumour against the tissue around it."""

ODDS = {
    "t1": {"bright": 0.12, "dark": 0.70, "iso": 0.18},
    "t1ce": {"bright": 0.12, "dark": 0.75, "iso": 0.13},
    "t2": {"bright": 0.88, "dark": 0.04, "iso": 0.08},
    "flair": {"bright": 0.86, "dark": 0.05, "iso": 0.09},
}
"""How often a tumour is bright, dark or iso-intense in a modality when the contrast is mixed."""

SHIFTS: dict[str, dict[int, tuple[float, float]]] = {
    "bright": {OEDEMA: (0.25, 0.65), ENHANCING: (0.3, 0.85), NECROSIS: (-0.2, 0.7)},
    "dark": {OEDEMA: (-0.40, -0.18), ENHANCING: (-0.40, -0.15), NECROSIS: (-0.80, -0.40)},
    "iso": {OEDEMA: (-0.05, 0.05), ENHANCING: (-0.06, 0.06), NECROSIS: (-0.08, 0.08)},
}
"""Ranges of a part's intensity above normal tissue, in units of `Levels.scale`."""
BRIGHT_GAIN = {"t1": 0.5, "t1ce": 0.5, "t2": 1.4, "flair": 1.0}
"""Bright on T1 (fat, protein, blood) is a smaller step than bright on T2 (water)."""


@dataclass(frozen=True)
class Appearance:
    """A tumour in one image, in the unit of the image.

    Attributes:
        kind: ``bright``, ``dark`` or ``iso``.
        steps: label value of a part to its intensity above normal tissue.
        texture: amplitude.
        normal: intensity of normal tissue.
        noise: standard deviation of the white noise.
    """

    kind: str
    steps: Mapping[int, float]
    texture: float
    normal: float
    noise: float


def draw_appearance(
    rng: np.random.Generator, modality: str, contrast: str, levels: Levels, noise: float
) -> Appearance:
    """Draw how a tumour looks in an image.

    Args:
        rng: drawn from.
        modality: one of `ODDS`.
        contrast: one of `CONTRASTS`.
        levels: of the image.
        noise: of the image.
    """
    odds = ODDS[modality]
    drawn = str(rng.choice(list(odds), p=list(odds.values())))
    kind = drawn if contrast == "mixed" else contrast
    gain = levels.scale * (BRIGHT_GAIN[modality] if kind == "bright" else 1.0)
    steps = {part: gain * float(rng.uniform(*limits)) for part, limits in SHIFTS[kind].items()}
    if modality == "t1ce":
        steps[ENHANCING] = levels.scale * float(rng.uniform(0.4, 1.0))
    texture = levels.scale * (0.06 if kind == "iso" else 0.09)
    return Appearance(kind, steps, texture, levels.normal, noise)


def paint(
    rng: np.random.Generator,
    image: np.ndarray,
    growth: Growth,
    site: Site,
    appearance: Appearance,
) -> np.ndarray:
    """Give each part of the tumour its intensity, soft at the edges, textured and as noisy.

    Args:
        rng: drawn from.
        image: the healthy image of the site, ``(X, Y, Z)``, any unit.
        growth: label and spread, same shape.
        site: that it grew in.
        appearance: in the unit of the image.

    Returns:
        float32, same shape and unit, 0 outside the brain.
    """
    label, normal = growth.label, appearance.normal
    coarsest = float(site.spacing_mm.max())
    mottle = 0.75 * smooth_field(rng, image.shape, site.spacing_mm, max(6.0, 2.5 * coarsest))
    mottle += 0.5 * smooth_field(rng, image.shape, site.spacing_mm, max(2.5, 2.0 * coarsest))
    mottle *= np.float32(appearance.texture)
    smooth = ndimage.gaussian_filter(image, 2.5 / site.spacing_mm)
    sigma = np.maximum(0.7 / site.spacing_mm, 0.35)
    out, cover = image.copy(), np.zeros(image.shape, np.float32)
    for part in (OEDEMA, NECROSIS, ENHANCING):
        soft = ndimage.gaussian_filter((label == part).astype(np.float32), sigma)
        if part == OEDEMA:
            # Water among tissue that is still there: half its detail stays, and margins fade.
            soft *= (1 - site.tissue.csf) * np.clip(1.25 - 0.75 * growth.spread**2, 0, 1)
            base = 0.5 * (smooth + normal) + 0.55 * (image - smooth)
            target = base + appearance.steps[part] + mottle
        else:
            soft *= 0.92
            target = normal + appearance.steps[part] + 1.3 * mottle
        out += soft * (target - image)
        cover = np.maximum(cover, soft)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    # What was painted over lost its noise; give it back.
    out += appearance.noise * np.sqrt(np.clip(1 - (1 - 0.8 * cover) ** 2, 0, 1)) * grain
    out = np.where(label > 0, np.maximum(out, 0.02 * normal), out)
    return np.where(site.brain_mask, out, 0).astype(np.float32)
