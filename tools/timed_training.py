"""Trains a network for so many minutes; a training that was broken off goes on where it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Batch = TypeVar("Batch")
LAST = "last.pt"
WARM_UP, SAID_EVERY, SAVED_EVERY = 100, 50, 100
"""In steps."""


@dataclass(frozen=True)
class Schedule:
    """How long, and how fast.

    Attributes:
        minutes: in all, those before a break among them.
        rate: the highest learning rate; it rises for `WARM_UP` steps and falls as a cosine.
        floor: what is left of it at the end, as a share.
        decay: of the running mean of the weights, which is what is kept.
    """

    minutes: float
    rate: float = 2e-3
    floor: float = 0.02
    decay: float = 0.995

    def rate_at(self, step: int, done: float) -> float:
        """The learning rate of a step, at a share of the time."""
        cosine = (1 + math.cos(math.pi * done)) / 2
        return self.rate * min(1, (step + 1) / WARM_UP) * (self.floor + (1 - self.floor) * cosine)


def train_for(
    schedule: Schedule,
    network: nn.Module,
    batches_from: Callable[[int], Iterator[Batch]],
    loss_of: Callable[[Batch], Tensor],
    kept: Path,
) -> None:
    """Train with AdamW.

    Args:
        schedule: see `Schedule`.
        network: freshly made.
        batches_from: the batches from a step on, without end.
        loss_of: of a batch, with the network.
        kept: gets the weights, of 16 bits each; ``last.pt`` beside it all that a training needs to
            go on.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.rate, weight_decay=1e-4)
    mean = {k: v.detach().clone() for k, v in network.state_dict().items()}
    spent, step = 0.0, 0
    if (kept.parent / LAST).is_file():
        last = torch.load(kept.parent / LAST, weights_only=True)
        network.load_state_dict(last["network"])
        optimizer.load_state_dict(last["optimizer"])
        mean, spent, step = last["mean"], last["spent"], last["step"]

    def save() -> None:
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
        _save(kept.parent / LAST, state | {"mean": mean, "spent": spent, "step": step})
        _save(kept, {key: value.half() for key, value in mean.items()})

    start, losses = time.monotonic() - spent, []
    for batch in batches_from(step):
        spent = time.monotonic() - start
        done = spent / (60 * schedule.minutes)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate_at(step, done)
        loss = loss_of(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        for key, value in network.state_dict().items():
            mean[key].lerp_(value, 1 - min(schedule.decay, (1 + step) / (10 + step)))
        step += 1
        if step % SAID_EVERY == 0:
            recent = np.mean(losses[-SAID_EVERY:])
            print(f"{spent / 60:5.1f} min, step {step}, loss {recent:.4f}", flush=True)
        if step % SAVED_EVERY == 0:
            save()
    save()


def half_precision() -> torch.autocast:
    """bfloat16 on CPUs that compute with it; on others it takes ten times as long as float32."""
    can = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.autocast(
        "cpu", torch.bfloat16, enabled=any(can.get(name) for name in ("avx512_bf16", "amx_bf16"))
    )


def _save(path: Path, content: dict[str, Any]) -> None:
    part = path.with_name(f"{path.name}.part")
    torch.save(content, part)
    part.replace(path)
