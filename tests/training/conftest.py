"""Small trainings that several modules look at."""

from __future__ import annotations

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from trainings import WatchedRun, train_quietly

from pipeline.cases.case import Case
from pipeline.cases.find import find_cases
from pipeline.cases.loop import QUIET
from pipeline.files.images.nifti import write_volume
from pipeline.phantom.cohort import CohortPlan, write_cohort
from pipeline.run.config import RunConfig
from pipeline.run.presets import preset_config
from pipeline.run.settings import override

GRID = {"grid.size": 32, "grid.spacing_mm": 6.5, "grid.slice_spacing_mm": 8.0}


@pytest.fixture(scope="session")
def controls(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Five smooth synthetic brains of 4 mm voxels; the third has a mask of voxels to leave out."""
    folder = tmp_path_factory.mktemp("controls") / "healthy"
    for i in range(5):
        rng = np.random.default_rng(i)
        x, y, z = np.meshgrid(*[np.arange(40) - 20.0] * 3, indexing="ij")
        inside = (x / 15) ** 2 + (y / 18) ** 2 + (z / 13) ** 2 < 1
        image = 100 + 20 * np.cos(x / (4 + i)) + 10 * np.sin(y / 5) + rng.normal(0, 2, x.shape)
        affine = np.diag([4.0, 4.0, 4.0, 1.0])
        write_volume(folder / f"c{i}_flair.nii.gz", np.where(inside, image, 0).astype("f4"), affine)
        if i == 2:
            lesion = (inside & (x > 5) & (x < 9) & (abs(y) < 4)).astype(np.uint8)
            write_volume(folder / "c2_desc-wmh_mask.nii.gz", lesion, affine)
    return list(find_cases(folder, modalities=["flair"]).cases)


@pytest.fixture
def config() -> RunConfig:
    """Three epochs of two steps."""
    steps = {"training.epochs": 3, "training.slices_per_epoch": 8, "training.batch_size": 4}
    return override(preset_config("tiny", ("flair",)), GRID | steps)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Three healthy brains that a tumour can be put into."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_cohort(folder, CohortPlan(["flair"], 3, 0), spacing_mm=4.0, execution=QUIET)
    return list(find_cases(folder, modalities=["flair"]).cases)


@pytest.fixture(scope="session")
def watched(phantoms: list[Case], tmp_path_factory: pytest.TempPathFactory) -> WatchedRun:
    """Two epochs of twelve steps on the phantoms."""
    steps = {"training.epochs": 2, "training.slices_per_epoch": 48, "training.batch_size": 4}
    config = override(preset_config("tiny", ("flair",)), GRID | steps)
    path = tmp_path_factory.mktemp("watched") / "run"
    train_quietly(phantoms, config, path)
    folder = path / "tensorboard"
    assert [file.is_file() for file in folder.iterdir()] == [True]  # no run below the run
    sizes = {"tensors": 0, "images": 0}
    return WatchedRun(path, config, EventAccumulator(str(folder), size_guidance=sizes).Reload())
