"""Configurations by name."""

from __future__ import annotations

import pytest

from pipeline.diffusion.network import NETWORKS, slice_multiple
from pipeline.errors import InputError
from pipeline.files.images.pictures import PICTURE_WIDTH_MM
from pipeline.run.presets import PRESETS, preset_config


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_names_itself_and_fits_its_network(name: str) -> None:
    config = PRESETS[name]
    assert config.preset == name
    assert config.network in NETWORKS
    assert config.grid.size % slice_multiple(config.network) == 0


def test_the_paper_preset_is_brain_damage_s_recipe() -> None:
    config = PRESETS["paper"]
    training, detection, diffusion = config.training, config.detection, config.diffusion
    assert training.learning_rate == 1e-4
    assert training.warmup_steps == 1500
    assert training.epochs == 250
    assert training.batch_size == 8
    assert training.slices_per_epoch is None
    assert config.grid.size == 128
    assert detection.reconstruction == "one_shot"
    assert detection.timesteps == (200,)
    assert detection.draws == 1
    assert detection.residual == "squared"
    assert detection.median_mm == detection.edge_mm == 0
    assert (diffusion.schedule, diffusion.noise) == ("cosine", "simplex")
    assert diffusion.num_train_timesteps == 1000
    assert diffusion.prediction_type == "epsilon"


def test_the_picture_preset_is_the_same_for_whole_pictures() -> None:
    config, paper = preset_config("picture", ("image",)), PRESETS["paper"]
    training = config.training
    assert config.modalities == ("image",)
    # The longer side of a picture fills the grid.
    assert config.grid.size * config.grid.spacing_mm == PICTURE_WIDTH_MM
    assert config.detection == paper.detection
    assert training.rotate_degrees == 2
    assert training.translate_mm == pytest.approx(0.02 * PICTURE_WIDTH_MM)
    assert training.scale == 0.02
    assert not training.flip
    same = ("learning_rate", "warmup_steps", "epochs", "batch_size", "slices_per_epoch")
    assert [getattr(training, key) for key in same] == [
        getattr(paper.training, key) for key in same
    ]


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
    with pytest.raises(InputError, match=r"tiny, small, base, paper, picture.*huge"):
        preset_config("huge", ("t1",))
