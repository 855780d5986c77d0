"""A method with its run and threshold: what it is refused for, and what its results depend on."""

from __future__ import annotations

import pickle
from dataclasses import asdict, replace
from typing import Any
from unittest.mock import ANY

import pytest
import torch
from torch import Tensor, nn

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.detection.case_work import CaseWork
from pipeline.detection.detector import input_files, make_detector, make_network_detector
from pipeline.detection.methods.kinds import FINISH
from pipeline.detection.methods.table import BRAIN_DAMAGE, METHODS, OURS
from pipeline.errors import InputError
from pipeline.files.record.calibration import Calibration, MethodCalibration
from pipeline.run.model import Model
from pipeline.run.settings import override

NONE = Calibration(methods={}, cases=())
TABLE = MethodCalibration(thresholds={"0.1": 1.0, "0.01": 3.0, "0.001": 7.0}, left_out_rates={})
CALIBRATION = Calibration(methods=dict.fromkeys(METHODS, TABLE), cases=("a", "b"))


def of_rate(model: Model, rate: float) -> Model:
    config = override(model.config, {"detection.false_positive_rate": rate})
    return replace(model, config=config)


def test_a_run_of_another_noise_is_refused(models: dict[str, Model]) -> None:
    with pytest.raises(
        InputError, match=r"trained with gaussian noise; anomap needs a simplex run"
    ) as caught:
        make_network_detector(OURS, models["gaussian"], NONE)
    assert str(models["gaussian"].path) in str(caught.value)
    with pytest.raises(InputError, match="needs a run trained with `--noise coarse`"):
        make_detector("dae", {"simplex": models["simplex"]}, NONE)


def test_a_run_without_an_atlas_that_the_recipe_needs_is_refused(model: Model) -> None:
    bare = replace(model, atlases={})
    with pytest.raises(InputError, match=r"no atlas of the intensity and residual.*--resume"):
        make_network_detector(OURS, bare, NONE)
    with pytest.raises(InputError, match=r"no atlas of the intensity of"):
        make_detector("normative", {"simplex": bare}, NONE)
    make_detector("brain_damage", {"simplex": bare}, NONE)


def test_the_rate_is_the_asked_one_else_that_of_the_run_else_one_per_cent(model: Model) -> None:
    ours = of_rate(model, 0.001)
    assert make_network_detector(OURS, ours, CALIBRATION).threshold.value == pytest.approx(7.0)
    asked = make_network_detector(OURS, ours, CALIBRATION, false_positive_rate=0.1)
    assert asked.threshold.value == pytest.approx(1.0)
    for name in ("normative", "brain_damage", "intensity"):
        found = make_detector(name, {"simplex": ours}, CALIBRATION)
        assert found.threshold.value == pytest.approx(7.0)
    found = make_detector("intensity", {}, CALIBRATION)
    assert found.threshold.value == pytest.approx(3.0)
    assert "2 held-out cases" in str(found.threshold.rule)


def test_a_method_that_is_not_calibrated_has_no_threshold(model: Model) -> None:
    detector = make_network_detector(OURS, model, NONE)
    assert detector.threshold.value is None
    assert detector.threshold.rule == "not calibrated"
    assert detector.calibrated is None


def test_both_ways_make_the_same_detector(model: Model) -> None:
    one = make_network_detector(OURS, model, CALIBRATION, seed=3)
    other = make_detector(OURS, {"simplex": model}, CALIBRATION, seed=3)
    for name in ("name", "threshold", "seed", "calibrated"):
        assert getattr(one, name) == getattr(other, name)
    assert replace(one.ready, compute=other.ready.compute) == other.ready


def _brain_damage() -> dict[str, Any]:
    settings = {**asdict(BRAIN_DAMAGE), "timesteps": [200]}
    del settings["lesion_power"]  # said only of what asks that network
    return settings


def test_a_result_depends_on_weights_and_atlases_as_far_as_its_method_does(
    prepared: Prepared, model: Model
) -> None:
    known = {"simplex": replace(model, weights_sha256="abc", atlases_sha256="def")}
    transforms = CaseTransforms(("flair",), prepared.grid)
    steps = {key: getattr(model.config.detection, key) for key in FINISH}
    raw = dict.fromkeys(FINISH, 0)
    nothing = {"residual": ANY, "intensity_power": 0, "normative_power": 0, "asymmetry_power": 0}
    expected: dict[str, tuple[str | None, str | None, dict[str, Any]]] = {
        "intensity": (None, None, {**steps, **nothing, "intensity_power": 1}),
        "normative": ("abc", "def", {**steps, **nothing, "normative_power": 1}),
        "brain_damage": ("abc", None, {**_brain_damage(), **steps}),
        "intensity_raw": (None, None, {**raw, **nothing, "intensity_power": 1}),
    }
    for name, (weights, atlases, settings) in expected.items():
        record = make_detector(name, known, NONE).provenance(input_files(prepared.case), transforms)
        assert (record.weights_sha256, record.atlases_sha256) == (weights, atlases)
        assert record.settings == settings
        assert record.half_height == settings["half_height"]
        assert record.min_component_ml == settings["min_component_ml"]
    record = make_detector(OURS, known, NONE).provenance(input_files(prepared.case), transforms)
    recipe = model.config.detection
    assert (record.weights_sha256, record.atlases_sha256) == ("abc", "def")
    assert record.settings | {"lesion_power": 0.0} == {
        **asdict(recipe),
        "timesteps": list(recipe.timesteps),
    }
    assert record.half_height == recipe.half_height > 0
    assert record.min_component_ml == recipe.min_component_ml > 0
    assert record.modalities == ("flair",)
    assert [file.bytes for file in record.inputs] == [
        file.path.stat().st_size for file in prepared.case.files
    ]


def test_an_input_that_is_gone_has_no_size(prepared: Prepared, model: Model) -> None:
    case = Case("x", "x", {"flair": ImageFile(model.path / "x.nii.gz")})
    transforms = CaseTransforms(("flair",), prepared.grid)
    (file,) = make_detector("intensity", {}, NONE).provenance(input_files(case), transforms).inputs
    assert file.bytes is None
    assert file.modified_ns is None


def test_a_network_can_be_put_in_place_of_the_run_s(prepared: Prepared, model: Model) -> None:
    class Copies(nn.Module):
        def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
            return x

    detector = make_network_detector(OURS, model, NONE)
    work, cpu = CaseWork(prepared), torch.device("cpu")
    own = detector.compute(work)
    same = detector.compute_with(model.network, cpu, work)
    other = detector.compute_with(Copies(), cpu, work)
    assert torch.equal(own.anomaly_map, same.anomaly_map)
    assert not torch.equal(own.anomaly_map, other.anomaly_map)


@pytest.mark.parametrize(
    "name", ["intensity", "normative", "dae", "with_structure", "atlas_ssim", "intensity_raw", OURS]
)
def test_a_detector_can_be_handed_to_another_process(
    name: str, prepared: Prepared, models: dict[str, Model]
) -> None:
    detector = make_detector(name, models, CALIBRATION)
    copy = pickle.loads(pickle.dumps(detector))
    work = CaseWork(prepared)
    assert torch.equal(copy.compute(work).anomaly_map, detector.compute(work).anomaly_map)
