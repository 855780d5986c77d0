"""Models that no training made, for many tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.cases.transforms import Prepared
from pipeline.detection.case_work import CaseWork
from pipeline.detection.methods.table import METHODS
from pipeline.detection.recipe import MapResult
from pipeline.run.config import RunConfig
from pipeline.run.model import Model, make_scheduler


class Zero(nn.Module):
    """A network that predicts 0."""

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        return torch.zeros_like(x)


def untrained(config: RunConfig, network: nn.Module, device: str = "cpu") -> Model:
    """A model of this network, without atlases, from no folder."""
    return Model(
        config=config,
        network=network,
        scheduler=make_scheduler(config.diffusion),
        device=torch.device(device),
        path=Path("untrained"),
        weights_sha256="0" * 64,
    )


def map_of(name: str, prepared: Prepared, models: Mapping[str, Model], seed: int = 0) -> MapResult:
    """What a method makes of a case, with the run that it needs."""
    return METHODS[name].ready(models).compute(CaseWork(prepared), seed)
