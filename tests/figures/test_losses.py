"""The losses of a training as curves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from pipeline.figures.losses import training_figure
from pipeline.training.losses import EpochLosses, write_losses


def test_losses_are_drawn_beside_their_table(tmp_path: Path) -> None:
    first = EpochLosses(1, 10, 1.0, 0.9, 1e-4, 2.0)
    write_losses(tmp_path, [first, replace(first, epoch=2, train_loss=0.5, val_loss=0.45)])
    picture = training_figure(tmp_path)
    assert picture == tmp_path / "loss.png"
    assert Image.open(picture).width == 1050
