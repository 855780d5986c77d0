"""Configurations by name, and the recipe of the map that fits the modalities."""

from __future__ import annotations

import dataclasses

from pipeline.cases.grid import Grid
from pipeline.cases.layouts.names import PICTURE, canonical_modality
from pipeline.files.images.pictures import PICTURE_WIDTH_MM
from pipeline.run.config import (
    DetectionConfig,
    DiffusionConfig,
    RunConfig,
    TrainingConfig,
    check_choice,
)
from pipeline.run.settings import override

DAE_TIMESTEP = 235
"""Where noise stands to the image as 0.4 to 1, in a range of 2: a fifth, as in their paper."""
EVEN_NOISE = DiffusionConfig(noise_depth="typical")
SQUARED_ERROR = DetectionConfig(
    timesteps=(200,), draws=1, residual="squared", median_mm=0.0, edge_mm=0.0, min_component_ml=0.0
)
"""The map of those who published one without any further step: brain_damage's, at t = 200."""
PRESETS: dict[str, RunConfig] = {
    "tiny": RunConfig(diffusion=EVEN_NOISE),
    "small": RunConfig(
        preset="small",
        diffusion=EVEN_NOISE,
        network="small",
        grid=Grid(128, 1.625, 2.0),
        training=TrainingConfig(epochs=60, slices_per_epoch=4096, learning_rate=3e-4),
    ),
    "base": RunConfig(
        preset="base",
        network="base",
        diffusion=EVEN_NOISE,
        grid=Grid(128, 1.625, 2.0),
        training=TrainingConfig(
            epochs=150, slices_per_epoch=None, learning_rate=2e-4, ema_decay=0.999
        ),
    ),
    # brain_damage's recipe: its network, optimizer, augmentation, schedule, noise and map.
    "paper": RunConfig(
        preset="paper",
        network="paper",
        grid=Grid(128, 1.625, 1.625),
        diffusion=DiffusionConfig(
            noise_parameters={"shared_depth": True},
            noise_depth="timestep",
            min_beta=1e-4,
            clip_sample=False,
        ),
        training=TrainingConfig(
            epochs=250,
            slices_per_epoch=None,
            batch_size=8,
            learning_rate=1e-4,
            warmup_steps=1500,
            ema_decay=0.0,
            rotate_degrees=2.0,
            translate_mm=0.02 * PICTURE_WIDTH_MM,
            scale=0.02,
            flip=False,
        ),
        detection=SQUARED_ERROR,
        seed=42,
    ),
    # AnoDDPM's noise, schedule, network and chain (args28 of its repository); its augmentation
    # shifts the two axes by different shares, here by their mean.
    "anoddpm": RunConfig(
        preset="anoddpm",
        network="anoddpm",
        grid=Grid(256, 0.8125, 1.625),
        diffusion=DiffusionConfig(
            schedule="linear",
            noise_parameters={"base_frequency": 2**-6, "unit_variance": False},
            noise_depth="timestep",
        ),
        training=TrainingConfig(
            epochs=3000,
            slices_per_epoch=100,
            batch_size=1,
            learning_rate=1e-4,
            warmup_steps=0,
            ema_decay=0.9999,
            rotate_degrees=3.0,
            translate_mm=0.055 * PICTURE_WIDTH_MM,
            scale=0.0,
            flip=False,
        ),
        detection=dataclasses.replace(SQUARED_ERROR, reconstruction="chain", timesteps=(250,)),
    ),
    # A denoising autoencoder (Kascenas et al., MIDL 2022): coarse noise of one strength, so that t
    # tells the network nothing; it answers with the image, and sees the scan without noise.
    "dae": RunConfig(
        preset="dae",
        diffusion=DiffusionConfig(noise="coarse", prediction_type="sample"),
        training=TrainingConfig(timestep_range=(DAE_TIMESTEP, DAE_TIMESTEP + 1)),
        detection=DetectionConfig(reconstruction="clean", timesteps=(DAE_TIMESTEP,), draws=1),
    ),
}
PUBLISHED = frozenset({"paper", "anoddpm", "dae", "picture"})
"""Presets whose map is that of others, whatever the modality."""
PRESETS["picture"] = dataclasses.replace(
    # The same for pictures with skull; their longer side is 208 mm by convention, so 128 pixels of
    # it hold a whole one.
    PRESETS["paper"],
    preset="picture",
    modalities=(PICTURE,),
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


def preset_config(name: str, modalities: tuple[str, ...]) -> RunConfig:
    """The preset for these modalities; the sign and the factors of the map follow them.

    Raises:
        InputError: no such preset.
    """
    check_choice("preset", name, PRESETS)
    names = tuple(canonical_modality(m) for m in modalities)
    config = dataclasses.replace(PRESETS[name], modalities=names)
    if name in PUBLISHED:
        return config
    bright = all(m in BRIGHT_LESION_MODALITIES for m in names)
    recipe = (_BRIGHT_RECIPE if bright else _OTHER_RECIPE) | _ANY_RECIPE
    return override(config, {f"detection.{key}": value for key, value in recipe.items()})
