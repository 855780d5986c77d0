"""A small prepared case, and models with atlases of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_models import Zero, untrained

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.loop import QUIET
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.detection.normative import make_atlases
from pipeline.files.images.nifti import write_volume
from pipeline.run.model import Model
from pipeline.run.presets import preset_config
from pipeline.run.settings import override


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A striped ellipsoid with a bright ball."""
    x, y, z = np.meshgrid(*[np.arange(32) - 16.0] * 3, indexing="ij")
    inside = (x / 12) ** 2 + (y / 14) ** 2 + (z / 11) ** 2 < 1
    image = 100 + 30 * np.cos(x) + 100 * ((x - 4) ** 2 + y**2 + z**2 < 9)
    path = tmp_path_factory.mktemp("methods") / "a_flair.nii.gz"
    write_volume(path, np.where(inside, image, 0).astype("f4"), np.diag([5.0, 5.0, 5.0, 1.0]))
    grid = override(
        preset_config("tiny", ("flair",)),
        {"grid.size": 32, "grid.spacing_mm": 6.0, "grid.slice_spacing_mm": 12.0},
    ).grid
    return CaseTransforms(("flair",), grid)(Case("a", "a", {"flair": ImageFile(path)}))


@pytest.fixture(scope="session")
def models(prepared: Prepared) -> dict[str, Model]:
    """One for each noise, with atlases of the brain itself."""
    models = {}
    for noise in ("simplex", "gaussian", "coarse"):
        config = override(preset_config("tiny", ("flair",)), {"diffusion.noise": noise})
        model = untrained(config, Zero())
        atlases, _ = make_atlases(
            [prepared.case],
            model,
            prepared._transforms,
            residual=noise == "simplex",
            execution=QUIET,
        )
        models[noise] = replace(model, atlases=atlases)
    return models


@pytest.fixture(scope="session")
def model(models: dict[str, Model]) -> Model:
    """That of simplex noise."""
    return models["simplex"]
