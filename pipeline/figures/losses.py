"""The losses of a training over its epochs."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.figure import Figure

from pipeline.figures.style import BLUE, ORANGE, SINGLE, save, styled, tight
from pipeline.files.names import LOSS_CHART, LOSSES


def training_figure(run_dir: Path) -> Path:
    """Training and validation loss over the epochs, from ``loss.csv``; PNG.

    Returns:
        The picture.
    """
    return save(_loss_curves(run_dir / LOSSES), run_dir / LOSS_CHART)


@styled
def _loss_curves(path: Path) -> Figure:
    with path.open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    epochs = [int(row["epoch"]) for row in rows]
    figure = Figure(figsize=(SINGLE, 2.4), layout=tight(0.04))
    ax = figure.subplots()
    for column, colour, name in (
        ("train_loss", ORANGE, "training"),
        ("val_loss", BLUE, "validation (EMA weights)"),
    ):
        ax.plot(epochs, [float(row[column]) for row in rows], color=colour, label=name, marker=".")
    ax.set(xlabel="epoch", ylabel="loss", yscale="log")
    ax.legend()
    return figure
