"""A picture to perturb, and results to draw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.figures import noise, paper
from pipeline.files.images.nifti import write_volume

AFFINE = np.diag([-4.0, 4.0, 5.0, 1.0])
SHAPE = (20, 24, 6)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "N_SPECTRUM_FIELDS", 4)
    monkeypatch.setattr(paper, "SIZE", 32)


@pytest.fixture
def picture() -> torch.Tensor:
    x = torch.linspace(-1, 1, 32)
    return 2 * torch.exp(-4 * (x[:, None] ** 2 + x**2)) - 1


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """What a detection of two cases leaves, without labels; the first has no restored image."""
    x, y, z = np.indices(SHAPE)
    brain = ((x - 10) / 8) ** 2 + ((y - 12) / 10) ** 2 < 1
    for i, name in enumerate(("a", "b")):
        image = np.where(brain, 100.0 + x, 0).astype(np.float32)
        spot = (abs(x - 12) < 3) & (abs(y - 8) < 3) & (z == 2 + i)
        write_volume(tmp_path / f"{name}_flair.nii.gz", image, AFFINE)
        folder = tmp_path / "out" / name
        maps = {"anomaly": np.where(spot, 0.9, 0.1 * brain), "brain_mask": brain, "mask": spot}
        if i:
            maps["pseudo_healthy"] = image
        for kind, volume in maps.items():
            write_volume(folder / f"{kind}.nii.gz", volume.astype(np.float32), AFFINE)
        inputs = {"flair": str(tmp_path / f"{name}_flair.nii.gz")}
        (folder / "result.json").write_text(json.dumps({"method": "anomap", "inputs": inputs}))
    return tmp_path / "out"
