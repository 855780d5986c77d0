"""Configurations by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from opensimplex import OpenSimplex

from pipeline.diffusion.network import NETWORKS, build_network, slice_multiple
from pipeline.errors import InputError
from pipeline.files.images.pictures import PICTURE_WIDTH_MM
from pipeline.noise.depths import seeded_fields
from pipeline.run.model import make_scheduler
from pipeline.run.presets import PRESETS, preset_config
from pipeline.run.settings import to_dict


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_names_itself_and_fits_its_network(name: str) -> None:
    config = PRESETS[name]
    assert config.preset == name
    assert config.network in NETWORKS
    assert config.grid.size % slice_multiple(config.network) == 0


BRAIN_DAMAGE = {
    # mri-engine.ipynb of Asymmetric-OG/brain_damage (commit 301f757).
    "diffusion": {
        "num_train_timesteps": 1000,
        "schedule": "cosine",
        "min_beta": 1e-4,
        "prediction_type": "epsilon",
        "clip_sample": False,
        "noise": "simplex",
        "noise_depth": "timestep",
        "noise_parameters": {"shared_depth": True},
        "degradation": "noise",
    },
    "training": {
        "epochs": 250,
        "slices_per_epoch": None,
        "batch_size": 8,
        "learning_rate": 1e-4,
        "warmup_steps": 1500,
        "ema_decay": 0,
        "timestep_range": (0, 1000),
        "rotate_degrees": 2,
        "translate_mm": pytest.approx(0.02 * PICTURE_WIDTH_MM),
        "scale": 0.02,
        "flip": False,
        "contrast": 0,
        "bias_field": 0,
        "blur_mm": 0,
        "loss": "l2",
        "coherent_noise": False,
    },
    "detection": {
        "reconstruction": "one_shot",
        "timesteps": (200,),
        "draws": 1,
        "coherent_noise": False,
        "residual": "squared",
        "standardise": False,
        "intensity_power": 0,
        "normative_power": 0,
        "asymmetry_power": 0,
        "residual_power": 1,
        "ssim_power": 0,
        "spread_power": 0,
        "lesion_power": 0,
        "median_mm": 0,
        "smoothing_mm": 0,
        "case_quantile": 0,
        "edge_mm": 0,
        "min_component_ml": 0,
        "half_height": 0,
    },
}
ANODDPM = {
    # args28.json, simplex.py and GaussianDiffusion.py of Julian-Wyatt/AnoDDPM (commit 3052f04).
    "diffusion": {
        "num_train_timesteps": 1000,
        "schedule": "linear",
        "min_beta": 0,
        "prediction_type": "epsilon",
        "noise": "simplex",
        "noise_depth": "timestep",
        "noise_parameters": {"base_frequency": 1 / 64, "unit_variance": False},
    },
    "training": {"epochs": 3000, "batch_size": 1, "learning_rate": 1e-4, "ema_decay": 0.9999},
    "detection": {"reconstruction": "chain", "chain_stride": 1, "residual": "squared"},
}


@pytest.mark.parametrize(
    ("name", "published"),
    [("paper", BRAIN_DAMAGE), ("picture", BRAIN_DAMAGE), ("anoddpm", ANODDPM)],
)
def test_a_preset_of_others_is_what_they_published(
    name: str, published: dict[str, dict[str, object]]
) -> None:
    config = to_dict(PRESETS[name])
    for section, values in published.items():
        assert {key: config[section][key] for key in values} == {
            key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
        }


def test_the_dae_preset_has_one_strength_of_noise_in_training_and_none_at_test() -> None:
    """Kascenas et al., DAE: N(0, 0.2) on a grid of 16x16 for images in 0..1, so 0.4 in -1..1."""
    config = PRESETS["dae"]
    first, last = config.training.timestep_range
    assert (first, last) == (config.detection.timesteps[0], first + 1)
    assert (config.diffusion.noise, config.diffusion.prediction_type) == ("coarse", "sample")
    alpha_bar = float(make_scheduler(config.diffusion).alphas_cumprod[first])
    assert ((1 - alpha_bar) / alpha_bar) ** 0.5 == pytest.approx(0.4, abs=1e-3)
    assert config.detection.reconstruction == "clean"


def test_the_presets_of_others_have_their_networks() -> None:
    paper, anoddpm = NETWORKS[PRESETS["paper"].network], NETWORKS[PRESETS["anoddpm"].network]
    n_weights = sum(p.numel() for p in build_network("paper").parameters())
    assert round(n_weights / 1e6, 2) == 92.17
    assert paper.channels == (128, 128, 256, 384, 512)
    assert paper.attention_levels == (False, False, True, True, True)
    assert paper.num_head_channels == 8
    assert anoddpm.channels == tuple(128 * width for width in (1, 1, 2, 2, 4, 4))
    assert anoddpm.attention_levels == (False,) * 4 + (True,) * 2
    assert (PRESETS["paper"].grid.size, PRESETS["anoddpm"].grid.size) == (128, 256)
    assert PRESETS["paper"].seed == PRESETS["picture"].seed == 42
    # The longer side of a picture fills the grid.
    grid = PRESETS["picture"].grid
    assert grid.size * grid.spacing_mm == PICTURE_WIDTH_MM


def test_the_noise_of_the_paper_preset_is_brain_damage_s() -> None:
    """Its loop over octaves, by `opensimplex` itself, at z = t in each of them."""
    size, t = 24, 200
    noise = make_scheduler(PRESETS["paper"].diffusion).noise
    like = torch.empty(1, 1, size, size)
    ours = seeded_fields(noise, like, PRESETS["paper"].diffusion.noise_depth, t, [11])[0, 0]
    theirs, amplitude, frequency = np.zeros((size, size)), 1.0, 2**-5
    source = OpenSimplex(11)
    for _ in range(6):
        theirs += (
            amplitude
            * source.noise3array(
                np.arange(size) * frequency, np.arange(size) * frequency, np.array([float(t)])
            )[0]
        )
        amplitude, frequency = 0.8 * amplitude, 2 * frequency
    theirs = (theirs - theirs.mean()) / theirs.std()
    np.testing.assert_allclose(ours.numpy(), theirs, atol=2e-3)


def test_the_noise_of_the_anoddpm_preset_is_theirs() -> None:
    """``noise3(x / f, y / f, t / f)`` with f = 64, 32 ... 2, not scaled."""
    size, t = 24, 200
    noise = make_scheduler(PRESETS["anoddpm"].diffusion).noise
    like = torch.empty(1, 1, size, size)
    ours = seeded_fields(noise, like, "timestep", t, [11])[0, 0]
    theirs, amplitude = np.zeros((size, size)), 1.0
    source = OpenSimplex(11)
    for period in (64, 32, 16, 8, 4, 2):
        places = np.arange(size) / period
        theirs += amplitude * source.noise3array(places, places, np.array([t / period]))[0]
        amplitude *= 0.8
    np.testing.assert_allclose(ours.numpy(), theirs, atol=2e-3)
    assert abs(float(ours.std()) - 1) > 0.1


def test_the_betas_of_the_paper_preset_are_brain_damage_s() -> None:
    steps = torch.linspace(0, 1000, 1001)
    f = torch.cos((steps / 1000 + 0.008) / 1.008 * torch.pi * 0.5) ** 2
    betas = (1 - f[1:] / f[:-1]).clip(1e-4, 0.999)
    scheduler = make_scheduler(PRESETS["paper"].diffusion)
    torch.testing.assert_close(scheduler.betas, betas)
    torch.testing.assert_close(scheduler.alphas_cumprod, torch.cumprod(1 - betas, dim=0))
    assert (
        scheduler.predict_x_0(torch.full((1, 1, 2, 2), -9.0), 200, torch.ones(1, 1, 2, 2)).max() > 1
    )


@pytest.mark.parametrize(
    ("modalities", "residual"),
    [
        (("flair",), "positive"),
        (("t2", "flair"), "positive"),
        (("t1",), "absolute"),
        (("flair", "t1"), "absolute"),
    ],
)
def test_the_sign_of_the_residual_follows_the_modality(
    modalities: tuple[str, ...], residual: str
) -> None:
    config = preset_config("tiny", modalities)
    assert config.modalities == modalities
    assert config.detection.residual == residual
    assert preset_config("paper", modalities).detection.residual == "squared"


def test_an_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(InputError, match=r"tiny, small, base, paper, anoddpm, dae, picture.*huge"):
        preset_config("huge", ("t1",))
