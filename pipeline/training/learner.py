"""The network that learns, and what changes with it at every step."""

from __future__ import annotations

import math
import typing
from dataclasses import dataclass

import torch
from ignite.handlers import EMAHandler
from monai.networks.nets import DiffusionModelUNet
from torch.optim.lr_scheduler import LambdaLR

from pipeline.noise.noises import derive_seed
from pipeline.run.config import RunConfig, TrainingConfig
from pipeline.run.model import network_of

_NO_AVERAGE = 1 - 1e-9
"""Momentum with which nothing is left of earlier weights; ignite takes no 1."""


@dataclass(frozen=True)
class Learner:
    """A network and all that a step changes; a checkpoint holds its state.

    Attributes:
        network: the weights that the optimizer moves.
        ema: keeps their exponential moving average.
        optimizer: AdamW.
        rate: the learning rate over the steps.
    """

    network: DiffusionModelUNet
    ema: EMAHandler
    optimizer: torch.optim.AdamW
    rate: LambdaLR

    @property
    def averaged(self) -> DiffusionModelUNet:
        """The network with the averaged weights: what is measured, and kept at the end."""
        return typing.cast(DiffusionModelUNet, self.ema.ema_model)

    @property
    def n_weights(self) -> int:
        """Numbers that the network learns."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def momentum(self, step: int) -> float:
        """Share of the average that the weights of a step replace.

        Early on the average must forget the random start quickly.
        """
        return max(float(self.ema.momentum), 1.0 / (1.0 + 0.1 * step))


def make_learner(config: RunConfig, n_steps: int, device: torch.device) -> Learner:
    """A network with random weights, which the seed decides.

    Args:
        n_steps: of the whole training.
        device: of the network.
    """
    training = config.training
    torch.manual_seed(derive_seed(config.seed, "weights"))
    network = network_of(config).to(device)
    ema = EMAHandler(network, momentum=min(1 - training.ema_decay, _NO_AVERAGE))
    optimizer = torch.optim.AdamW(network.parameters(), lr=training.learning_rate, fused=True)
    rate = LambdaLR(optimizer, lambda step: learning_rate_factor(step, n_steps, training))
    return Learner(network, ema, optimizer, rate)


def learning_rate_factor(step: int, n_steps: int, training: TrainingConfig) -> float:
    """Linear warm-up, then cosine decay to 0 at the last step."""
    warmup = min(training.warmup_steps, max(1, n_steps // 10))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, n_steps - warmup))))
