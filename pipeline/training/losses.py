"""The loss, and the table of what it was in each epoch: ``loss.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.errors import InputError
from pipeline.files.limits import MAX_TABLE_BYTES
from pipeline.files.names import LOSSES
from pipeline.files.strict_json import read_text
from pipeline.files.texts import brief
from pipeline.files.writing import write_text
from pipeline.training import distributed


class WeightedLoss(nn.Module):
    """Mean error over the pixels whose weight, the target's last channel, is 1.

    Args:
        kind: ``"l2"``, squared, or ``"l1"``, absolute.
        by_all: of processes that train together, the pixels of all count as those of one batch, so
            that the mean of their gradients is that of one process. Each must call it then.
    """

    def __init__(self, kind: str, *, by_all: bool = False) -> None:
        super().__init__()
        self.by_all = by_all
        self.error = {"l2": torch.square, "l1": torch.abs}[kind]

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar loss, >= 0, of ``(B, C, H, W)`` against ``(B, C + 1, H, W)``."""
        target, weight = target[:, :-1], target[:, -1:]
        error = self.error(prediction.float() - target) * weight
        n_pixels = weight.sum()
        if self.by_all:
            n_pixels = distributed.mean_of(n_pixels)
        return error.sum() / (n_pixels * prediction.shape[1]).clamp_min(1.0)


@dataclass(frozen=True)
class EpochLosses:
    """A row of ``loss.csv``.

    Attributes:
        epoch: from 1.
        step: batches since the start, at the end of the epoch.
        train_loss: mean over the epoch's steps, and over the processes.
        val_loss: of the averaged weights, on the validation slices.
        learning_rate: of the next step.
        seconds: that the epoch took.
    """

    epoch: int
    step: int
    train_loss: float
    val_loss: float
    learning_rate: float
    seconds: float


def write_losses(run_dir: Path, rows: Sequence[EpochLosses]) -> None:
    """Write the table of a run whole."""
    text = io.StringIO()
    columns = [column.name for column in fields(EpochLosses)]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_text(run_dir / LOSSES, text.getvalue())


def read_losses(run_dir: Path) -> list[EpochLosses]:
    """The table of a run.

    Raises:
        InputError: it is missing, or not such a table.
    """
    path = run_dir / LOSSES
    try:
        text = io.StringIO(read_text(path, MAX_TABLE_BYTES), newline="")
        return [
            EpochLosses(
                int(row["epoch"]),
                int(row["step"]),
                *(float(row[column.name]) for column in fields(EpochLosses)[2:]),
            )
            for row in csv.DictReader(text)
        ]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{path}: not the losses of a training ({brief(error)})") from error
