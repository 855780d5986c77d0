"""The losses of a training as curves."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from pipeline.figures.losses import training_figure


def test_losses_are_drawn_beside_their_table(tmp_path: Path) -> None:
    rows = ["epoch,train_loss,val_loss", "1,1.0,0.9", "2,0.5,0.45"]
    (tmp_path / "loss.csv").write_text("\n".join(rows) + "\n")
    picture = training_figure(tmp_path)
    assert picture == tmp_path / "loss.png"
    assert Image.open(picture).width == 1050
