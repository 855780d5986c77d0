"""``last.pt``, from which a training goes on, and how weights are written."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch

from pipeline.errors import InputError
from pipeline.files.limits import MAX_CHECKPOINT_BYTES
from pipeline.files.names import CHECKPOINT
from pipeline.files.texts import brief
from pipeline.files.writing import opened, write_atomically
from pipeline.run.config import RunConfig
from pipeline.run.model import network_of
from pipeline.run.weights import read_state
from pipeline.training.losses import EpochLosses


class Stateful(Protocol):
    """What has a state, as networks, optimizers and engines do."""

    def state_dict(self) -> Mapping[str, Any]:
        """The state as plain values and tensors."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Take on a state."""


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint; the same state gives the same bytes, so its SHA-256 tells the weights.

    Given a path, `torch.save` would put the name of the temporary file into it.
    """

    def write(temporary: Path) -> None:
        with opened(temporary) as file:
            torch.save(state, file)

    write_atomically(path, write)


def checkpoint_bytes(config: RunConfig) -> int:
    """Size of `CHECKPOINT`: weights, their average, and the two moments of the optimizer."""
    with torch.device("meta"):
        network = network_of(config)
    return 4 * sum(p.numel() * p.element_size() for p in network.parameters())


def save_checkpoint(
    run_dir: Path, parts: Mapping[str, Stateful], losses: Sequence[EpochLosses]
) -> None:
    """Write the state of all parts, and the losses of the epochs so far."""
    state: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
    state["rows"] = [asdict(row) for row in losses]
    save_state(run_dir / CHECKPOINT, state)


def restore_checkpoint(
    run_dir: Path, parts: Mapping[str, Stateful], device: torch.device
) -> list[EpochLosses]:
    """Bring the parts to the state of a run's checkpoint; without one they stay as they are.

    Returns:
        The losses of the epochs so far.

    Raises:
        InputError: the file is torn, or of other parts, or holds code.
    """
    path = run_dir / CHECKPOINT
    if not path.is_file():
        return []
    state = read_state(
        path, device, max_bytes=MAX_CHECKPOINT_BYTES, else_do="delete it to start again"
    )
    try:
        losses = [EpochLosses(**row) for row in state["rows"]]
        for name, part in parts.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                part.load_state_dict(state[name])
    except InputError:
        raise
    except Exception as error:  # torch raises many kinds on a torn or foreign file
        raise InputError(
            f"{path}: not a checkpoint of this run ({brief(error)}); delete it to start again"
        ) from error
    return losses
