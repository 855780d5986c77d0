"""The loss, and its table."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.errors import InputError
from pipeline.training.losses import EpochLosses, WeightedLoss, read_losses, write_losses


def test_the_loss_is_blind_where_the_weight_is_zero() -> None:
    target = torch.tensor([[[[1.0, 5.0]], [[1.0, 0.0]]]])  # value 1 counts, value 5 does not
    prediction = torch.tensor([[[[3.0, 0.0]]]])
    assert WeightedLoss("l2")(prediction, target) == pytest.approx(4.0)


def test_the_absolute_loss_is_the_mean_distance() -> None:
    target = torch.tensor([[[[1.0, 5.0]], [[1.0, 0.0]]]])
    prediction = torch.tensor([[[[4.0, 0.0]]]])
    assert WeightedLoss("l1")(prediction, target) == pytest.approx(3.0)


def test_the_table_of_losses_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [EpochLosses(1, 12, 0.1 + 0.2, 1 / 3, 5e-4, 1.25), EpochLosses(2, 24, 0.2, 0.3, 0.0, 1)]
    write_losses(tmp_path, rows)
    assert read_losses(tmp_path) == rows


def test_a_table_without_a_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "loss.csv").write_text("epoch,step\n1,12\n")
    with pytest.raises(InputError, match=r"loss\.csv: not the losses of a training"):
        read_losses(tmp_path)
