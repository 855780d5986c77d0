"""Weights and checkpoints on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trainings import train_quietly

from pipeline.cases.case import Case
from pipeline.errors import InputError
from pipeline.run.config import RunConfig
from pipeline.training.checkpoint import save_state


def test_a_torn_checkpoint_is_named(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    train_quietly(controls, config, tmp_path)
    (tmp_path / "last.pt").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"last\.pt"):
        train_quietly(controls, config, tmp_path, resume=True)


def test_the_same_weights_are_the_same_file(tmp_path: Path) -> None:
    """Their SHA-256 is in the provenance of every map."""
    for name in ("a", "b"):
        save_state(tmp_path / name / "model.pt", {"weight": torch.ones(3)})
    first, second = (tmp_path / name / "model.pt" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert torch.equal(torch.load(first, weights_only=True)["weight"], torch.ones(3))
