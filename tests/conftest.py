"""What several test modules share: the development data, and small brains on any grid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from pipeline.atlas import Atlas, save_atlases
from pipeline.calibration import Calibration, MethodCalibration, save_calibration
from pipeline.config import FALSE_POSITIVE_RATES, dump_config, override, preset_config
from pipeline.model import ATLASES, atlases_made_for
from pipeline.network import build_network
from pipeline.normative import INTENSITY, RESIDUAL
from pipeline.placement import FRAME

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

BRAIN_CENTRE_MM = np.array([5.0, -12.0, 20.0])
SEMI_AXES_MM = np.array([60.0, 76.0, 55.0])
"""An ellipsoid of 1050 mL, in world space (RAS)."""

Intensity = Callable[[np.ndarray], np.ndarray]
"""World coordinates ``(..., 3)`` in millimetres to scanner units ``(...)``, > 0."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the development data; tests that use it carry the marker ``shared``."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the development data is not at {SHARED_DATA}")
    return SHARED_DATA


def world_of(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """World coordinates of all voxels, ``(*shape, 3)``."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def centred_affine(linear: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Affine and shape of a grid with these axes (columns, mm) that holds the brain and a rim."""
    spacing = np.linalg.norm(linear, axis=0)
    half_mm = np.sqrt(((linear / spacing).T ** 2) @ SEMI_AXES_MM**2) + 6.0
    # One voxel more at one end, so that the brain is not in the middle of the array.
    shape = tuple(int(n) for n in 2 * np.ceil(half_mm / spacing) + 2)
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = BRAIN_CENTRE_MM - linear @ ((np.array(shape) - 2) / 2)
    return affine, shape


def inside_brain(world: np.ndarray) -> np.ndarray:
    """Whether points lie in the ellipsoid."""
    return (((world - BRAIN_CENTRE_MM) / SEMI_AXES_MM) ** 2).sum(-1) < 1


def smooth_intensity(world: np.ndarray) -> np.ndarray:
    """A brain without detail: it varies over centimetres, between 300 and 700."""
    x, y, z = np.moveaxis((world - BRAIN_CENTRE_MM) / 30.0, -1, 0)
    return 500 + 90 * np.sin(x + 0.3) + 60 * np.sin(y - 0.5) + 50 * np.cos(z + 0.2 * x)


@dataclass(frozen=True)
class SmallBrain:
    """A skull-stripped brain on disk, and what it was made of."""

    path: Path
    data: np.ndarray
    affine: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        return self.data != 0

    @property
    def world(self) -> np.ndarray:
        return world_of(self.data.shape, self.affine)


@pytest.fixture
def make_brain(tmp_path: Path) -> Callable[..., SmallBrain]:
    """Writes a small brain: ``make_brain(linear=..., intensity=..., name=...)``."""

    def write(
        linear: np.ndarray | None = None,
        intensity: Intensity = smooth_intensity,
        name: str = "brain_t1.nii.gz",
    ) -> SmallBrain:
        affine, shape = centred_affine(np.diag([3.0, 3.0, 3.0]) if linear is None else linear)
        world = world_of(shape, affine)
        data = np.where(inside_brain(world), intensity(world), 0.0).astype(np.float32)
        path = tmp_path / name
        nib.save(nib.Nifti1Image(data, affine), path)
        return SmallBrain(path, data, affine)

    return write


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that no training made: random weights, flat atlases, plausible thresholds."""
    run_dir = tmp_path_factory.mktemp("made") / "run"
    values = {
        **{"grid.size": 32, "grid.spacing_mm": 6.5, "grid.slice_spacing_mm": 8.0},
        **{"detection.draws": 1, "detection.timesteps": [100, 300]},
    }
    config = override(preset_config("tiny", ("flair",)), values)
    torch.manual_seed(0)
    network = build_network(config.network)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    run_dir.mkdir()
    torch.save(network.state_dict(), run_dir / "model.pt")
    (run_dir / "config.yaml").write_text(dump_config(config))
    sha256 = hashlib.sha256((run_dir / "model.pt").read_bytes()).hexdigest()
    atlases = {
        name: Atlas(np.zeros((n, *FRAME), np.float32), np.ones((n, *FRAME), np.float32), 4)
        for name, n in ((INTENSITY, 1), (RESIDUAL, len(config.detection.timesteps)))
    }
    save_atlases(run_dir / ATLASES, atlases, atlases_made_for(config, sha256))
    thresholds = {f"{rate:g}": 0.5 - rate for rate in FALSE_POSITIVE_RATES}
    calibration = Calibration({"anomap": MethodCalibration(thresholds, {})}, ("Smith_J", "Doe_A"))
    save_calibration(run_dir / "calibration.json", calibration)
    people = {"training": [{"name": "Roe_B"}] * 3, "validation": [{"name": "Smith_J"}] * 2}
    (run_dir / "datalist.json").write_text(json.dumps(people))
    return run_dir


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a browser is slow."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from headless import launched

    with launched() as chromium:
        yield chromium
