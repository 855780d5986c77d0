"""Atlases of a run, and z-scores against them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import Zero, untrained

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.loop import QUIET
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.detection.case_work import CaseWork
from pipeline.detection.normative import (
    INTENSITY,
    RESIDUAL,
    as_quantities,
    make_atlases,
    smoothing_mm,
    z_scores,
)
from pipeline.errors import InputError
from pipeline.files.images.nifti import write_volume
from pipeline.maps.atlas import Atlas
from pipeline.maps.placement import Placement
from pipeline.maps.registration import register
from pipeline.run.model import Model
from pipeline.run.presets import preset_config
from pipeline.run.settings import override

SETTINGS = {
    "grid.size": 16,
    "grid.spacing_mm": 10.0,
    "grid.slice_spacing_mm": 10.0,
    "detection.timesteps": [100, 300],
    "detection.draws": 1,
}


@pytest.fixture(scope="module")
def model() -> Model:
    config = override(preset_config("tiny", ("flair",)), SETTINGS)
    return untrained(config, Zero())


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Four round brains, noisy about a ramp."""
    folder = tmp_path_factory.mktemp("normative")
    x, y, z = np.meshgrid(*[np.arange(28) - 14.0] * 3, indexing="ij")
    inside = (x / 11) ** 2 + (y / 13) ** 2 + (z / 10) ** 2 < 1
    result = []
    for i in range(4):
        image = 100 + 2 * y + np.random.default_rng(i).normal(0, 4, x.shape)
        path = folder / f"c{i}_flair.nii.gz"
        write_volume(path, np.where(inside, image, 0).astype("f4"), np.diag([6.0, 6, 6, 1]))
        result.append(Case(f"c{i}", f"c{i}", {"flair": ImageFile(path)}))
    return result


@pytest.fixture(scope="module")
def transforms(model: Model) -> CaseTransforms:
    return CaseTransforms(("flair",), model.config.grid)


def test_a_brain_of_the_atlas_is_usual_and_a_bright_spot_in_it_is_not(
    cases: list[Case], model: Model, transforms: CaseTransforms
) -> None:
    atlases, failed = make_atlases(cases, model, transforms, residual=False, execution=QUIET)
    assert not failed
    assert set(atlases) == {INTENSITY}
    assert atlases[INTENSITY].n_cases == 4
    known = replace(model, atlases=atlases)
    prepared = transforms(cases[0])
    work = CaseWork(prepared)
    z = z_scores(INTENSITY, prepared.slices, work, known)
    usual = z[prepared.brain]
    assert float(usual.abs().median()) < 1.5
    spot = prepared.slices.clone()
    middle = len(spot) // 2
    spot[middle, 0, 8, 8] += 1.0
    raised = z_scores(INTENSITY, spot, work, known) - z
    assert int((raised != 0).sum()) == 1
    assert float(raised[middle, 0, 8, 8]) > 2


def test_the_atlas_of_the_residual_has_a_quantity_for_each_timestep(
    cases: list[Case], model: Model, transforms: CaseTransforms
) -> None:
    atlases, _ = make_atlases(cases, model, transforms, residual=True, execution=QUIET)
    assert len(atlases[RESIDUAL].mean) == 2
    prepared = transforms(cases[1])
    work = CaseWork(prepared)
    differences = prepared.slices - work.restored(model, model.config.detection, 0).slices.mean(1)
    brain = prepared.brain[:, 0].numpy()
    for t in range(2):
        at_t = differences[t][prepared.brain].mean()
        # Fields differ between brains, so the mean over the brain is near, not equal.
        assert abs(float(atlases[RESIDUAL].mean[t].mean()) - float(at_t)) < 0.2
    z = z_scores(RESIDUAL, as_quantities(differences), work, replace(model, atlases=atlases))
    template = atlases[INTENSITY].template
    assert template is not None
    by_hand = atlases[RESIDUAL].z_scores(
        differences[:, :, 0].swapaxes(0, 1).numpy(), brain, work.placement(template)
    )
    np.testing.assert_allclose(z.numpy(), by_hand)


def test_a_case_is_registered_once_and_with_an_older_atlas_never(
    cases: list[Case],
    model: Model,
    transforms: CaseTransforms,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    atlases, _ = make_atlases(cases, model, transforms, residual=True, execution=QUIET)
    assert atlases[INTENSITY].template is not None
    calls = []

    def counted(*arguments: Any) -> Placement:
        calls.append(arguments)
        return register(*arguments)

    monkeypatch.setattr("pipeline.detection.case_work.register", counted)
    known, prepared = replace(model, atlases=atlases), transforms(cases[0])
    work = CaseWork(prepared)
    z_scores(INTENSITY, prepared.slices, work, known)
    z_scores(INTENSITY, prepared.slices, work, known)
    z_scores(RESIDUAL, prepared.slices.repeat(1, 2, 1, 1), work, known)
    assert len(calls) == 1
    older = Atlas(atlases[INTENSITY].mean, atlases[INTENSITY].spread, 4)
    fresh = transforms(cases[0])
    z = z_scores(
        INTENSITY, fresh.slices, CaseWork(fresh), replace(model, atlases={INTENSITY: older})
    )
    assert len(calls) == 1
    on_its_box = older.z_scores(fresh.slices.numpy(), fresh.brain[:, 0].numpy())
    np.testing.assert_array_equal(z.numpy(), on_its_box)


def test_stacking_puts_the_channels_of_a_timestep_side_by_side() -> None:
    differences = torch.arange(2 * 3 * 4).reshape(2, 3, 4, 1, 1).float()
    quantities = as_quantities(differences)
    assert quantities.shape == (3, 8, 1, 1)
    for t in range(2):
        for n in range(3):
            for c in range(4):
                assert quantities[n, 4 * t + c] == differences[t, n, c]
    assert torch.equal(quantities.unflatten(1, (2, 4)).transpose(0, 1), differences)


def test_a_case_that_cannot_be_read_is_left_out_and_named(
    cases: list[Case], model: Model, transforms: CaseTransforms, tmp_path: Path
) -> None:
    missing = Case("gone", "gone", {"flair": ImageFile(tmp_path / "gone.nii.gz")})
    atlases, failed = make_atlases(
        [missing, *cases], model, transforms, residual=False, execution=QUIET
    )
    assert list(failed) == ["gone"]
    assert atlases[INTENSITY].n_cases == 4
    with pytest.raises(InputError, match="no case for an atlas could be read"):
        make_atlases([missing], model, transforms, residual=False, execution=QUIET)


def test_an_unexpected_error_in_one_brain_does_not_stop_the_atlases(
    cases: list[Case], model: Model
) -> None:
    class Failing(CaseTransforms):
        def __call__(self, case: Case) -> Prepared:
            if case.name == "c2":
                raise RuntimeError("lost")
            return super().__call__(case)

    transforms = Failing(("flair",), model.config.grid)
    atlases, failed = make_atlases(cases, model, transforms, residual=False, execution=QUIET)
    assert list(failed) == ["c2"]
    assert atlases[INTENSITY].n_cases == 3


def test_a_run_without_the_atlas_says_what_makes_it(
    cases: list[Case], model: Model, transforms: CaseTransforms
) -> None:
    prepared = transforms(cases[0])
    with pytest.raises(InputError, match=r"no atlas of the intensity.*--resume"):
        z_scores(INTENSITY, prepared.slices, CaseWork(prepared), model)
    atlases, _ = make_atlases(cases, model, transforms, residual=True, execution=QUIET)
    other = replace(model, atlases=atlases)
    with pytest.raises(InputError, match="that of another recipe: 2"):
        z_scores(RESIDUAL, prepared.slices, CaseWork(prepared), other)


def test_few_brains_are_smoothed_more_than_many() -> None:
    widths = [smoothing_mm(n) for n in (1, 5, 12, 40, 80, 500)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == 12
    assert widths[-1] == 1
