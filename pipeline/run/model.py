"""A trained network with its configuration, loaded from a run folder."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from pipeline.diffusion.cold import AnomalyScheduler
from pipeline.diffusion.network import DenoisingUNet, build_network
from pipeline.diffusion.scheduler import SimplexDDPMScheduler
from pipeline.errors import InputError, reason_of
from pipeline.files.identity import content_hash
from pipeline.files.names import ATLASES, CONFIG, WEIGHTS
from pipeline.maps.atlas import Atlas
from pipeline.noise.noises import make_noise
from pipeline.run.atlases import load_atlases
from pipeline.run.config import DetectionConfig, DiffusionConfig, RunConfig
from pipeline.run.finished import check_unchanged
from pipeline.run.locate import run_folder
from pipeline.run.settings import load_config
from pipeline.run.weights import load_weights


@dataclass(frozen=True, eq=False)
class Model:
    """What a reconstruction needs; two are the same only if they are one object.

    Attributes:
        network: in evaluation mode on ``device``.
        path: the run folder.
        weights_sha256: of ``model.pt``.
        atlases: of what healthy brains show, by name; see `pipeline.detection.normative`.
        atlases_sha256: of ``atlases.npz``; None where there is none.
    """

    config: RunConfig
    network: nn.Module
    scheduler: SimplexDDPMScheduler
    device: torch.device
    path: Path
    weights_sha256: str
    atlases: Mapping[str, Atlas] = field(default_factory=dict)
    atlases_sha256: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to another process by the CPU; see `_arrived`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.device.type != "cpu":
            values["network"] = copy.deepcopy(self.network).cpu()
        named = None if self.device == default_device() else self.device
        return _arrived, (values, named)

    @property
    def noise(self) -> str:
        """Name of the noise that perturbs a scan; a network of mixed noises gets simplex."""
        name = self.config.diffusion.noise
        return "simplex" if name == "mixed" else name


def _arrived(values: dict[str, Any], named: torch.device | None) -> Model:
    """A model in the process that it travelled to, on the device that was named or the best one."""
    device = named or default_device()
    return Model(**{**values, "network": values["network"].to(device), "device": device})


def make_scheduler(config: DiffusionConfig) -> SimplexDDPMScheduler:
    """The scheduler, with its noise, that a configuration describes."""
    if config.degradation == "anomaly":
        return AnomalyScheduler(config.num_train_timesteps, clip_sample=config.clip_sample)
    return SimplexDDPMScheduler(
        num_train_timesteps=config.num_train_timesteps,
        schedule=config.schedule,
        prediction_type=config.prediction_type,
        clip_sample=config.clip_sample,
        min_beta=config.min_beta,
        noise=make_noise(config.noise, **config.noise_parameters),
    )


def network_of(config: RunConfig) -> DenoisingUNet:
    """The network that a configuration describes, with random weights."""
    return build_network(config.network, len(config.modalities), mirrored=config.mirrored)


def load_model(run: Path | str, device: torch.device | None = None) -> Model:
    """The trained model of a run.

    Args:
        run: as ``--model`` takes it; see `pipeline.run.locate.run_folder`.

    Raises:
        InputError: the folder is not a finished run, or the weights do not fit its configuration.
    """
    run_dir = run_folder(Path(run))
    if not (run_dir / CONFIG).is_file():
        raise InputError(f"{run_dir}: not a run; expected config.yaml and model.pt in it")
    config = load_config(run_dir / CONFIG)
    weights, atlases = run_dir / WEIGHTS, run_dir / ATLASES
    if not weights.is_file():
        raise InputError(
            f"{run_dir}: the training is not finished (no model.pt); repeat its command with "
            "--resume"
        )
    network = network_of(config)
    load_weights(weights, network)
    # On CPUs convolutions take a fifth less time (tests/benchmarks/speed.py).
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    check_unchanged(weights)
    device = device or default_device()
    weights_sha256 = content_hash(weights)
    made_for = atlases_made_for(config, weights_sha256)
    return Model(
        config=config,
        network=network.to(device).eval(),
        scheduler=make_scheduler(config.diffusion),
        device=device,
        path=run_dir,
        weights_sha256=weights_sha256,
        atlases=load_atlases(atlases, made_for) if atlases.is_file() else {},
        atlases_sha256=content_hash(atlases) if atlases.is_file() else None,
    )


def atlases_made_for(config: RunConfig, weights_sha256: str) -> str:
    """What a run's atlases depend on: those that were made for something else are not used."""
    recipe = config.detection
    return json.dumps(
        {
            "weights": weights_sha256,
            "grid": asdict(config.grid),
            "modalities": config.modalities,
            "diffusion": diffusion_settings(config),
            "reconstruction": recipe.reconstruction,
            "timesteps": recipe.timesteps,
            "draws": recipe.draws,
            "coherent_noise": recipe.coherent_noise,
            "chain_stride": recipe.chain_stride,
            "residual": needs_residual_atlas(recipe),
        },
        sort_keys=True,
    )


def diffusion_settings(config: RunConfig) -> dict[str, Any]:
    """Settings of the diffusion; of those that older runs do not have, what is not as in them."""
    settings, older = asdict(config.diffusion), asdict(DiffusionConfig())
    new = ("noise_depth", "min_beta", "clip_sample", "degradation")
    same = [name for name in new if settings[name] == older[name]]
    kept = {name: value for name, value in settings.items() if name not in same}
    return kept | ({"mirrored": True} if config.mirrored else {})


def needs_residual_atlas(recipe: DetectionConfig) -> bool:
    """Whether a recipe standardises a residual that counts."""
    return recipe.standardise and recipe.residual_power > 0


def default_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def usable_device(name: str | torch.device | None) -> torch.device:
    """The device of that name, as ``cuda:1``; None takes `default_device`.

    Raises:
        InputError: there is none, or PyTorch cannot use it.
    """
    if name is None:
        return default_device()
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # some devices make tensors that hold nothing
    except Exception as error:  # PyTorch has many ways to say no
        raise InputError(f"--device {name}: not usable here ({reason_of(error)})") from error
    return device
