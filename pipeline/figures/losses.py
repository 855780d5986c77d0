"""The losses of a training over its epochs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pipeline.figures.style import BLUE, ORANGE, SINGLE, save, styled, tight
from pipeline.files.names import LOSS_CHART
from pipeline.training.losses import EpochLosses, read_losses


def training_figure(run_dir: Path) -> Path:
    """Training and validation loss over the epochs, from ``loss.csv``; PNG.

    Returns:
        The picture.
    """
    return save(_loss_curves(read_losses(run_dir)), run_dir / LOSS_CHART)


@styled
def _loss_curves(rows: Sequence[EpochLosses]) -> Figure:
    epochs = [row.epoch for row in rows]
    figure = Figure(figsize=(SINGLE, 2.4), layout=tight(0.04))
    ax = figure.subplots()
    for losses, colour, name in (
        ([row.train_loss for row in rows], ORANGE, "training"),
        ([row.val_loss for row in rows], BLUE, "validation (EMA weights)"),
    ):
        ax.plot(epochs, losses, color=colour, label=name, marker=".")
    ax.set(xlabel="epoch", ylabel="loss", yscale="log")
    ax.legend()
    return figure
