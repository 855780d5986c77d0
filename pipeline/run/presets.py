"""Configurations by name, and the recipe of the map that fits the modalities."""

from __future__ import annotations

import dataclasses

from pipeline.cases.grid import Grid
from pipeline.cases.layouts.names import PICTURE, canonical_modality
from pipeline.files.images.pictures import PICTURE_WIDTH_MM
from pipeline.run.config import DetectionConfig, RunConfig, TrainingConfig, check_choice
from pipeline.run.settings import override

PRESETS: dict[str, RunConfig] = {
    "tiny": RunConfig(),
    "small": RunConfig(
        preset="small",
        network="small",
        grid=Grid(128, 1.625, 2.0),
        training=TrainingConfig(epochs=60, slices_per_epoch=4096, learning_rate=3e-4),
    ),
    "base": RunConfig(
        preset="base",
        network="base",
        grid=Grid(128, 1.625, 2.0),
        training=TrainingConfig(
            epochs=150, slices_per_epoch=None, learning_rate=2e-4, ema_decay=0.999
        ),
    ),
    # brain_damage's recipe: 128x128, AdamW 1e-4, 1500 warm-up steps, cosine rate, 250 epochs,
    # batches of 8, one-shot x_0 at t = 200, squared error and nothing else.
    "paper": RunConfig(
        preset="paper",
        network="paper",
        grid=Grid(128, 1.625, 1.625),
        training=TrainingConfig(
            epochs=250,
            slices_per_epoch=None,
            batch_size=8,
            learning_rate=1e-4,
            warmup_steps=1500,
            ema_decay=0.999,
        ),
        detection=DetectionConfig(
            timesteps=(200,), draws=1, residual="squared", median_mm=0.0, edge_mm=0.0
        ),
    ),
}
PRESETS["picture"] = dataclasses.replace(
    # The same for pictures with skull; their longer side is 208 mm by convention, so 128 pixels of
    # it hold a whole one. Rotation 2 degrees, shift 2 % of the side, scale 2 %, no flip.
    PRESETS["paper"],
    preset="picture",
    modalities=(PICTURE,),
    training=dataclasses.replace(
        PRESETS["paper"].training,
        rotate_degrees=2.0,
        translate_mm=0.02 * PICTURE_WIDTH_MM,
        scale=0.02,
        flip=False,
    ),
)

BRIGHT_LESION_MODALITIES = frozenset({"flair", "t2"})
"""Where oedema and tumour are brighter than any healthy tissue beside them."""


_BRIGHT_RECIPE: dict[str, object] = {
    "residual": "positive",
    "intensity_power": 1.0,
    "normative_power": 0.2,
    "asymmetry_power": 0.25,
    "residual_power": 0.1,
    "ssim_power": 0.1,
    "case_quantile": 0.75,
}
"""As chosen on five FLAIR gliomas."""
_OTHER_RECIPE: dict[str, object] = {
    "residual": "absolute",
    "normative_power": 0.5,
    "asymmetry_power": 0.5,
    "residual_power": 1.0,
    "ssim_power": 0.5,
    "smoothing_mm": 5.0,
    "case_quantile": 0.85,
}
"""As chosen on tumours put into T1."""
_ANY_RECIPE: dict[str, object] = {"standardise": True, "edge_mm": 0.0, "half_height": 0.5}


def degradation_settings(name: str) -> dict[str, object]:
    """What a run is set to that learns to undo noise, painted anomalies, or both.

    Args:
        name: in `pipeline.run.words.DEGRADATIONS`.
    """
    settings: dict[str, object] = {"diffusion.degradation": name}
    if name == "anomaly":
        settings |= {
            "diffusion.prediction_type": "sample",
            "detection.reconstruction": "one_shot",
            "detection.timesteps": [300, 600, 900],
            "detection.draws": 1,
        }
    return settings


def preset_config(name: str, modalities: tuple[str, ...]) -> RunConfig:
    """The preset for these modalities; the sign and the factors of the map follow them.

    Raises:
        InputError: no such preset.
    """
    check_choice("preset", name, PRESETS)
    names = tuple(canonical_modality(m) for m in modalities)
    config = dataclasses.replace(PRESETS[name], modalities=names)
    if name in ("paper", "picture"):
        return config
    bright = all(m in BRIGHT_LESION_MODALITIES for m in names)
    recipe = (_BRIGHT_RECIPE if bright else _OTHER_RECIPE) | _ANY_RECIPE
    return override(config, {f"detection.{key}": value for key, value in recipe.items()})
