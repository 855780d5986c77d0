"""What several test modules share: the development data, and small brains on any grid."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from brains import (
    Intensity,
    SmallBrain,
    centred_affine,
    inside_brain,
    smooth_intensity,
    world_of,
)

from pipeline.detection.normative import INTENSITY, RESIDUAL
from pipeline.diffusion.network import build_network
from pipeline.files.names import ATLASES
from pipeline.files.record.calibration import Calibration, MethodCalibration
from pipeline.files.record.datalist import CaseEntry, Datalist
from pipeline.maps.atlas import Atlas
from pipeline.maps.placement import FRAME
from pipeline.run.atlases import save_atlases
from pipeline.run.model import atlases_made_for
from pipeline.run.presets import preset_config
from pipeline.run.settings import dump_config, override
from pipeline.run.words import FALSE_POSITIVE_RATES

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the development data; tests that use it carry the marker ``shared``."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the development data is not at {SHARED_DATA}")
    return SHARED_DATA


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
    table = MethodCalibration(thresholds=thresholds, left_out_rates={})
    calibration = Calibration(methods={"anomap": table}, cases=("Smith_J", "Doe_A"))
    calibration.write(run_dir / "calibration.json")
    roe, smith = (
        CaseEntry(name=name, image={"flair": f"{name}.nii.gz"}) for name in ("Roe_B", "Smith_J")
    )
    Datalist(training=(roe,) * 3, validation=(smith,) * 2).write(run_dir / "datalist.json")
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
