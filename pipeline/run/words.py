"""Words that a user may say, without what they mean: to refuse others before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence

SHIPPED = {
    "flair": "simplex_ddpm_brain",
    "t2": "simplex_ddpm_brain_t2",
    "t1": "simplex_ddpm_brain_t1",
    "t1ce": "simplex_ddpm_brain_t1ce",
}
"""Modality -> bundle with weights that come with anomap; the first fits where several do."""
NAMED = SHIPPED | {"phantom": "simplex_ddpm_brain_phantom"}
"""What ``--model`` may say instead of a path; the last were trained on synthetic FLAIR alone."""
PRESETS = ("tiny", "small", "base", "paper", "anoddpm", "dae", "picture")
"""Names in `pipeline.run.presets`."""
NOISES = ("simplex", "gaussian", "coarse", "mixed")
"""Names in `pipeline.noise.noises`; packages add others."""
DEGRADATIONS = ("noise", "anomaly", "both")
"""What a network learns to undo; see `pipeline.run.config.DiffusionConfig`."""
FALSE_POSITIVE_RATES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""At which thresholds are tabulated."""
METHODS = (
    *("anomap", "no_network", "atlas_ssim", "intensity", "intensity_dark", "normative"),
    *("blur_residual", "lesion_network", "brain_damage", "gaussian_one_shot", "dae"),
    "anoddpm_chain",
)
"""Names in `pipeline.detection.methods.table`, less the steps of the ladder and the raw ones."""
GROUPS = ("all", "raw", "ladder")
"""Words for several methods."""
STEPS = (
    *("with_intensity", "with_place", "with_asymmetry", "with_median", "with_edge"),
    *("with_smoothing", "with_level", "with_structure", "with_spread", "with_residual"),
    "with_lesions",
)
"""The steps of the ladder."""
SETTINGS = {
    "": (
        *("modalities", "preset", "network", "mirrored", "validation_fraction", "hold_out"),
        "seed",
    ),
    "grid": ("size", "spacing_mm", "slice_spacing_mm"),
    "diffusion": (
        *("num_train_timesteps", "schedule", "prediction_type", "noise", "noise_parameters"),
        *("noise_depth", "min_beta", "clip_sample", "degradation"),
    ),
    "training": (
        *("epochs", "slices_per_epoch", "batch_size", "learning_rate", "warmup_steps"),
        *("ema_decay", "timestep_range", "rotate_degrees", "translate_mm", "scale", "flip"),
        *("contrast", "bias_field", "blur_mm", "loss", "coherent_noise", "bfloat16", "workers"),
    ),
    "detection": (
        *("reconstruction", "timesteps", "draws", "coherent_noise", "chain_stride", "residual"),
        *("standardise", "intensity_power", "normative_power", "asymmetry_power"),
        *("residual_power", "ssim_power", "spread_power", "lesion_power", "median_mm"),
        *("smoothing_mm", "case_quantile", "edge_mm", "min_component_ml"),
        *("false_positive_rate", "half_height"),
    ),
}
"""Keys of ``config.yaml`` by section."""


def no_weights_for(modalities: Sequence[str]) -> str:
    """That no weights come with anomap for a scan of these modalities, and what to do."""
    known = ", ".join(modalities) or "of unknown modality: say --modality"
    return (
        f"weights come with anomap for {', '.join(SHIPPED)}; the scan is {known}. Give --model "
        "RUN, a training of your own"
    )


def degradation_settings(name: str) -> dict[str, object]:
    """What a run is set to that learns to undo noise, painted anomalies, or both.

    Args:
        name: in `DEGRADATIONS`.
    """
    settings: dict[str, object] = {"diffusion.degradation": name}
    if name != "noise":  # as noise, an anomaly would be without bounds where there is little of it
        settings["diffusion.prediction_type"] = "sample"
    if name == "anomaly":
        settings |= {
            "detection.reconstruction": "one_shot",
            "detection.timesteps": [300, 600, 900],
            "detection.draws": 1,
        }
    return settings


def is_setting(dotted: str) -> bool:
    """Whether a dotted key is one of ``config.yaml``, or of the parameters of a noise."""
    section, _, key = dotted.rpartition(".")
    return key in SETTINGS.get(section, ()) or section == "diffusion.noise_parameters"
