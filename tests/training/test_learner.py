"""The learning rate, and how fast weights are averaged."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pipeline.run.config import RunConfig
from pipeline.training.learner import learning_rate_factor, make_learner


def test_learning_rate_warms_up_then_falls_to_zero(config: RunConfig) -> None:
    warm = replace(config.training, warmup_steps=10)
    factors = [learning_rate_factor(step, 1000, warm) for step in range(1001)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[10] == pytest.approx(1.0)
    assert factors[505] == pytest.approx(0.5, abs=0.01)
    assert factors[1000] == pytest.approx(0.0)


def test_the_average_forgets_the_random_start(config: RunConfig) -> None:
    learner = make_learner(config, 1000, torch.device("cpu"))
    assert learner.momentum(0) == 1
    assert learner.momentum(10) == pytest.approx(0.5)
    assert learner.momentum(10**6) == pytest.approx(1 - config.training.ema_decay)
