"""A run fitted to another scanner: atlas and thresholds anew, the network as it was."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from brains import centred_affine, inside_brain, smooth_intensity, world_of

import anomap
from pipeline.cases.loop import QUIET
from pipeline.cli.main import main
from pipeline.errors import InputError
from pipeline.files.record.calibration import Calibration
from pipeline.maps.atlas import Atlas, blended
from pipeline.run.finished import changed_files
from pipeline.run.model import load_model

AFFINE, SHAPE = centred_affine(np.diag([4.0, 4.0, 5.0]))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six brains of a scanner that shades the left side."""
    folder = tmp_path_factory.mktemp("people")
    world = world_of(SHAPE, AFFINE)
    for number in range(6):
        rng = np.random.default_rng(number)
        data = smooth_intensity(world) * (1 + 0.004 * world[..., 0]) + rng.normal(0, 20, SHAPE)
        image = np.where(inside_brain(world), np.maximum(data, 1), 0).astype(np.float32)
        nib.save(nib.Nifti1Image(image, AFFINE), folder / f"person{number}_flair.nii.gz")
    return folder


@pytest.fixture(scope="module")
def fitted(people: Path, made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fitted") / "run"
    words = ["calibrate", made_run, people, "--healthy", "-o", out, "--device", "cpu"]
    assert main([str(word) for word in words]) == 0
    return out


def test_a_fitted_run_is_a_run_with_the_same_network(fitted: Path, made_run: Path) -> None:
    before, after = load_model(made_run), load_model(fitted)
    assert after.weights_sha256 == before.weights_sha256
    assert after.config == before.config
    assert changed_files(fitted) == []
    old, new = before.atlases["intensity"], after.atlases["intensity"]
    assert new.n_cases == old.n_cases + 6
    assert not np.array_equal(new.mean, old.mean)
    calibration = Calibration.of(fitted)
    assert len(calibration.cases) == 6
    assert calibration.methods["anomap"].made_for is not None
    assert {"anomap", "intensity"} <= set(calibration.methods)


def test_thresholds_hold_for_people_that_are_not_behind_them(fitted: Path) -> None:
    rates = Calibration.of(fitted).methods["anomap"].left_out_rates
    assert 0.002 < np.mean(rates["0.01"]) < 0.05
    assert 0.02 < np.mean(rates["0.05"]) < 0.1


def test_the_command_says_before_and_after(
    people: Path, made_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["calibrate", made_run, people, "--healthy", "-o", tmp_path / "run", "--device", "cpu"]
    assert main([str(word) for word in words]) == 0
    shown = capsys.readouterr()
    assert "of 1 % stated," in shown.out
    assert "before: " in shown.out
    assert "of 6 people; from 10 on" in shown.out
    assert main([str(word) for word in words]) == 2
    assert "a run is already there" in capsys.readouterr().err


def test_a_scan_of_the_scanner_is_detected_with_it(fitted: Path, people: Path) -> None:
    image = nib.load(people / "person0_flair.nii.gz")
    options = anomap.DetectOptions(model=fitted)
    found = anomap.detect(image.get_fdata(), image.affine, modality="flair", options=options)
    assert found.result.healthy_cases == 6
    assert found.result.p_value is None


def test_few_people_are_refused_before_work(people: Path, made_run: Path, tmp_path: Path) -> None:
    for number in range(4):
        path = people / f"person{number}_flair.nii.gz"
        (tmp_path / path.name).write_bytes(path.read_bytes())
    selection = anomap.Selection(healthy=True)
    with pytest.raises(InputError, match="4 healthy cases; expected 5 at least"):
        anomap.calibrate_run(
            made_run, tmp_path, tmp_path / "run", selection=selection, execution=QUIET
        )
    assert not (tmp_path / "run").exists()


def test_a_blend_lies_between_its_atlases_and_spreads_where_they_differ() -> None:
    shape = (1, 2, 2, 2)
    prior = Atlas(np.zeros(shape, np.float32), np.full(shape, 0.1, np.float32), 80)
    own = Atlas(np.full(shape, 0.3, np.float32), np.full(shape, 0.1, np.float32), 10)
    made = blended(prior, own, 10.0)
    np.testing.assert_allclose(made.mean, 0.15)
    np.testing.assert_allclose(made.spread, np.sqrt(0.1**2 + 0.15**2), rtol=1e-5)
    same = blended(prior, prior, 10.0)
    np.testing.assert_allclose(same.spread, 0.1, rtol=1e-5)
    assert made.n_cases == 90
    with pytest.raises(ValueError, match="expected the same"):
        blended(prior, Atlas(np.zeros((2, 2, 2, 2)), np.ones((2, 2, 2, 2)), 1), 10.0)
