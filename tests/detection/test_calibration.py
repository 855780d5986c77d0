"""Thresholds from healthy brains: hand-counted quantiles, equal weights, and the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from brains import SmallBrain, smooth_intensity
from small_models import map_of

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.grid import Grid
from pipeline.cases.loop import QUIET, Execution
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.detection import calibration as module
from pipeline.detection.calibration import (
    calibrate,
    made_for,
    threshold_rule,
)
from pipeline.detection.detector import make_detector, make_network_detector
from pipeline.detection.methods.table import METHODS
from pipeline.errors import InputError, TooManyFailuresError
from pipeline.files.images.nifti import write_volume
from pipeline.files.record.calibration import Calibration, MethodCalibration
from pipeline.run.finished import changed_files
from pipeline.run.locate import bundle_dir
from pipeline.run.model import Model, load_model
from pipeline.run.settings import override
from pipeline.run.words import FALSE_POSITIVE_RATES, SHIPPED
from pipeline.scores.case_metrics import top_mean

MakeBrain = Callable[..., SmallBrain]


def tabulate(*samples: np.ndarray) -> MethodCalibration:
    return module.tabulate([np.sort(sample) for sample in samples], [])


# Quantiles ----------------------------------------------------------------------------------------


def test_thresholds_of_a_thousand_numbers_counted_by_hand() -> None:
    """Of 1 ... 1000, a hundred exceed 900, ten exceed 990, one exceeds 999."""
    table = tabulate(np.arange(1.0, 1001.0))
    assert [float(key) for key in table.thresholds] == list(FALSE_POSITIVE_RATES)
    for rate in FALSE_POSITIVE_RATES:
        assert abs(table.threshold(rate) - (1000 - 1000 * rate)) <= 1


@pytest.mark.parametrize("rate", FALSE_POSITIVE_RATES)
def test_the_measured_rate_is_the_stated_one(rate: float) -> None:
    rng = np.random.default_rng(0)
    samples = [rng.gamma(2, scale, n) for scale, n in ((1, 4000), (2, 9000), (0.5, 2500))]
    threshold = tabulate(*samples).threshold(rate)
    measured = np.mean([(sample > threshold).mean() for sample in samples])
    assert measured == pytest.approx(rate, abs=1 / 2500)


def test_a_case_weighs_the_same_whatever_its_size() -> None:
    """Of a small brain all voxels are high: a tenth of two brains is a fifth of the small one."""
    small, large = 100.0 + np.arange(1, 101), np.arange(20_000) / 20_000
    threshold = tabulate(small, large).threshold(0.1)
    assert (small > threshold).mean() == pytest.approx(0.2, abs=0.011)
    again = tabulate(np.repeat(small, 50), large).threshold(0.1)
    assert threshold == pytest.approx(again, abs=1.01)


def test_a_rate_between_two_of_the_table_is_interpolated_in_its_logarithm() -> None:
    table = MethodCalibration(thresholds={"0.1": 1.0, "0.01": 3.0, "0.001": 7.0}, left_out_rates={})
    assert table.threshold(0.01) == pytest.approx(3.0)
    assert table.threshold(10**-1.5) == pytest.approx(2.0)
    assert table.threshold(10**-2.25) == pytest.approx(4.0)


def test_a_lower_rate_has_a_higher_threshold() -> None:
    table = tabulate(np.random.default_rng(1).exponential(size=5000))
    values = [table.threshold(rate) for rate in np.geomspace(0.1, 0.001, 30)]
    assert values == sorted(values)


@pytest.mark.parametrize("rate", [0.2, 0.0009, 0.0, -1.0, 1.0, float("nan")])
def test_a_rate_outside_the_table_is_refused_with_its_bounds(rate: float) -> None:
    with pytest.raises(InputError, match=r"between 0\.001 and 0\.1"):
        tabulate(np.arange(1000.0)).threshold(rate)


def test_each_case_is_measured_with_the_threshold_of_the_others() -> None:
    rng = np.random.default_rng(2)
    alike = [rng.normal(size=20_000) for _ in range(3)]
    bright = rng.normal(loc=1.0, size=20_000)
    table = tabulate(*alike, bright)
    assert set(table.left_out_rates) == set(table.thresholds)
    for rates in table.left_out_rates.values():
        assert len(rates) == 4
    rates = table.left_out_rates["0.1"]
    others = np.quantile(np.concatenate(alike), 0.9)
    assert rates[3] == pytest.approx((bright > others).mean(), abs=0.002)
    assert rates[3] > 0.3
    assert max(rates[:3]) < 0.1


def test_a_single_case_has_no_others() -> None:
    assert tabulate(np.arange(100.0)).left_out_rates == {}


# Cases --------------------------------------------------------------------------------------------


GRID = Grid(32, 6.5, 6.5)


def cases(make_brain: MakeBrain, n: int) -> list[Case]:
    result = []
    for i in range(n):
        brain = make_brain(
            np.diag([4.0, 4.0, 4.0 + i]),
            lambda w, i=i: smooth_intensity(w) + 30 * np.sin(w[..., 0] / (5.0 + i)),
            f"healthy{i}_flair.nii.gz",
        )
        result.append(Case(f"healthy{i}", f"healthy{i}", {"flair": ImageFile(brain.path)}))
    return result


def test_the_threshold_of_a_method_holds_on_the_brains_it_was_found_on(
    make_brain: MakeBrain,
) -> None:
    healthy = cases(make_brain, 3)
    transforms = CaseTransforms(("flair",), GRID)
    methods = ["intensity", "intensity_dark"]
    found, failed = calibrate(healthy, methods, {}, transforms, execution=QUIET)
    assert failed == {}
    assert found.cases == ("healthy0", "healthy1", "healthy2")
    assert set(found.methods) == set(methods)
    for name in methods:
        rates, tops = [], []
        for case in healthy:
            prepared = transforms(case)
            anomaly_map = prepared.to_source(map_of(name, prepared, {}).anomaly_map)
            above = anomaly_map[prepared.source_healthy] > found.methods[name].threshold(0.05)
            rates.append(above.mean())
            tops.append(top_mean(anomaly_map[prepared.source_brain]))
        assert np.mean(rates) == pytest.approx(0.05, abs=2e-3)
        assert all(len(r) == 3 for r in found.methods[name].left_out_rates.values())
        assert found.methods[name].scores == pytest.approx(tops)


def test_large_brains_are_sampled_and_the_sample_is_reproducible(
    make_brain: MakeBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = cases(make_brain, 2)
    transforms = CaseTransforms(("flair",), GRID)
    options = {"models": {}, "transforms": transforms, "execution": QUIET}
    whole, _ = calibrate(healthy, ["intensity"], **options)
    monkeypatch.setattr(module, "VOXELS_PER_CASE", 4000)
    first, _ = calibrate(healthy, ["intensity"], **options)
    again, _ = calibrate(healthy, ["intensity"], **options)
    other, _ = calibrate(healthy, ["intensity"], seed=1, **options)
    assert first == again
    assert first != other
    a, b = (c.methods["intensity"].threshold(0.1) for c in (whole, first))
    assert a == pytest.approx(b, rel=0.03)


def test_of_many_cases_fewer_voxels_are_kept_of_each(
    make_brain: MakeBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def noted(samples: list[np.ndarray], scores: list[float]) -> MethodCalibration:
        sizes.extend(len(sample) for sample in samples)
        return MethodCalibration(thresholds={}, left_out_rates={})

    monkeypatch.setattr(module, "VOXELS_IN_ALL", 1500)
    monkeypatch.setattr(module, "tabulate", noted)
    calibrate(
        cases(make_brain, 3), ["intensity"], {}, CaseTransforms(("flair",), GRID), execution=QUIET
    )
    assert sizes == [500, 500, 500]


def test_a_case_that_cannot_be_read_is_reported_and_the_others_count(
    make_brain: MakeBrain, tmp_path: Path
) -> None:
    good = cases(make_brain, 2)
    bad = Case("bad", "bad", {"flair": ImageFile(tmp_path / "none.nii.gz")})
    transforms = CaseTransforms(("flair",), GRID)
    found, failed = calibrate([bad, *good], ["intensity"], {}, transforms, execution=QUIET)
    assert found.cases == ("healthy0", "healthy1")
    assert list(failed) == ["bad"]
    assert "none.nii.gz" in failed["bad"]
    with pytest.raises(InputError, match=r"no healthy case.*none\.nii\.gz"):
        calibrate([bad], ["intensity"], {}, transforms, execution=QUIET)


def test_an_unexpected_error_in_one_healthy_case_does_not_kill_the_calibration(
    make_brain: MakeBrain,
) -> None:
    class Failing(CaseTransforms):
        def __call__(self, case: Case) -> Prepared:
            if case.name == "healthy1":
                raise RuntimeError("CUDA error: out of memory\nand more")
            return super().__call__(case)

    healthy = cases(make_brain, 3)
    found, failed = calibrate(
        healthy, ["intensity"], {}, Failing(("flair",), GRID), execution=QUIET
    )
    assert found.cases == ("healthy0", "healthy2")
    assert len(found.methods["intensity"].scores) == 2
    assert list(failed) == ["healthy1"]
    assert "out of memory" in failed["healthy1"]
    assert "\n" not in failed["healthy1"]
    others, _ = calibrate(
        [healthy[0], healthy[2]],
        ["intensity"],
        {},
        CaseTransforms(("flair",), GRID),
        execution=QUIET,
    )
    assert found == others
    with pytest.raises(TooManyFailuresError, match="healthy1"):
        calibrate(
            healthy,
            ["intensity"],
            {},
            Failing(("flair",), GRID),
            execution=Execution(progress=False, max_failures=0),
        )


def test_a_method_without_its_run_is_refused_before_any_case_is_read(tmp_path: Path) -> None:
    missing = Case("gone", "gone", {"flair": ImageFile(tmp_path / "gone.nii.gz")})
    with pytest.raises(InputError, match="needs a run trained with `--noise simplex`"):
        calibrate([missing], ["anomap"], {}, CaseTransforms(("flair",), GRID), execution=QUIET)


def test_a_calibrating_case_is_scored_as_detection_would_score_it(
    make_brain: MakeBrain, tmp_path: Path
) -> None:
    """What its mask excludes counts in its score, since nobody excludes it of a new case."""
    case, *others = cases(make_brain, 3)
    image = nib.load(case.images["flair"].path)
    data = np.asarray(image.dataobj)
    bright = data > np.quantile(data[data > 0], 0.97)
    write_volume(tmp_path / "lesions.nii.gz", bright, image.affine)
    masked = replace(case, exclude=ImageFile(tmp_path / "lesions.nii.gz"))
    transforms = CaseTransforms(("flair",), GRID)
    assert transforms(masked).source_healthy.sum() < transforms(case).source_healthy.sum()
    with_mask, without = (
        calibrate([one, *others], ["intensity"], {}, transforms, execution=QUIET)[0]
        for one in (masked, case)
    )
    table, plain = with_mask.methods["intensity"], without.methods["intensity"]
    assert table.scores == pytest.approx(plain.scores)
    assert table.thresholds["0.01"] < plain.thresholds["0.01"]


# The file -----------------------------------------------------------------------------------------


def calibration() -> Calibration:
    table = tabulate(np.arange(1000.0), np.arange(500.0) / 3)
    return Calibration(methods={"anomap": table, "intensity": table}, cases=("a", "b"))


def test_a_calibration_survives_the_way_to_a_file_and_back(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    calibration().write(path)
    assert Calibration.read(path) == calibration()
    # Plain JSON: no NaN.
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))


@pytest.mark.parametrize(
    "content",
    [
        b'{"methods": {"anomap": {"thr',
        b"",
        b"[]",
        b"{}",
        b'{"methods": {"anomap": {"wrong": 1}}, "cases": []}',
        b'{"methods": 3, "cases": []}',
        b"\xff\xfe\x00\x81",
    ],
)
def test_a_torn_file_is_refused_by_its_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a calibration") as caught:
        Calibration.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_without_calibration_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--resume"):
        Calibration.of(tmp_path)


@pytest.mark.parametrize(
    ("rate", "said"), [(0.01, "1"), (0.05, "5"), (0.002, "0.2"), (0.0025, "0.25")]
)
def test_the_rule_says_rate_and_number_of_subjects(rate: float, said: str) -> None:
    rule = threshold_rule(calibration(), "intensity", rate)
    share = rule.split("%")[0]
    assert float(share) == pytest.approx(float(said))
    assert "2 held-out cases" in rule


def test_the_rule_says_what_the_rate_was_on_cases_left_out() -> None:
    table = MethodCalibration(
        thresholds={"0.01": 1.0}, left_out_rates={"0.01": (0.0, 0.01, 0.01, 0.02)}
    )
    rule = threshold_rule(Calibration(methods={"x": table}, cases=("a", "b", "c", "d")), "x", 0.01)
    assert "0 % to 2 % of a case that is left out; mean 1 %, 95 % interval 0 to 2.3 %" in rule
    few = MethodCalibration(thresholds={"0.01": 1.0}, left_out_rates={"0.01": (0.0, 0.02)})
    assert "interval" not in threshold_rule(
        Calibration(methods={"x": few}, cases=("a", "b")), "x", 0.01
    )


def test_the_p_value_counts_healthy_cases_that_score_as_high() -> None:
    scores = tuple(float(n) for n in range(1, 21))
    table = MethodCalibration(thresholds={}, left_out_rates={}, scores=scores)
    assert table.p_value(21.0) == pytest.approx(1 / 21)  # never 0: another case might score so
    assert table.p_value(19.0) == pytest.approx(3 / 21)
    assert table.p_value(0.0) == 1
    assert table.p_value(float("nan")) is None
    assert MethodCalibration(thresholds={}, left_out_rates={}).p_value(1.0) is None


def test_the_p_value_of_healthy_cases_is_no_smaller_than_chance() -> None:
    rng = np.random.default_rng(0)
    small = 0
    for _ in range(2000):
        *others, new = rng.gamma(2.0, size=20)
        p_value = MethodCalibration(thresholds={}, left_out_rates={}, scores=tuple(others)).p_value(
            new
        )
        assert p_value is not None
        small += p_value <= 0.1
    assert small / 2000 == pytest.approx(0.1, abs=0.02)


# What it was made for -----------------------------------------------------------------------------


def bound(model: Model) -> Calibration:
    """Of two methods of a run."""
    models = {model.noise: model}
    table = MethodCalibration(thresholds={"0.1": 0.5, "0.001": 1.0}, left_out_rates={})
    methods = {
        name: table.model_copy(update={"made_for": made_for(METHODS[name].ready(models), models)})
        for name in ("anomap", "normative", "intensity")
    }
    return Calibration(methods=methods, cases=("a", "b"))


def test_a_calibration_says_what_it_was_made_for(make_brain: MakeBrain, model: Model) -> None:
    transforms = CaseTransforms(("flair",), model.config.grid)
    models = {model.noise: model}
    found, _ = calibrate(cases(make_brain, 1), ["intensity"], models, transforms, execution=QUIET)
    assert found.methods["intensity"].made_for == made_for(
        METHODS["intensity"].ready(models), models
    )


def test_it_holds_after_the_way_to_a_file_for_the_same_weights_and_recipe(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bound(model).write(tmp_path / "calibration.json")
    read = Calibration.read(tmp_path / "calibration.json")
    of_the_mask = {"detection.min_component_ml": 9, "detection.half_height": 0.1}
    other_mask = replace(model, config=override(model.config, of_the_mask))
    for same in (model, other_mask):
        for name in read.methods:
            detector = make_detector(name, {model.noise: same}, read, false_positive_rate=0.1)
            assert detector.threshold.value == 0.5
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("changed", "method", "said"),
    [
        ({"detection.residual": "absolute"}, "anomap", "residual (positive, now absolute)"),
        ({"detection.draws": 7}, "anomap", "draws ("),
        ({"diffusion.schedule": "linear"}, "anomap", "diffusion.schedule (cosine, now linear)"),
        ({"grid.size": 32}, "intensity", "grid.size (64, now 32)"),
    ],
)
def test_that_of_another_recipe_is_refused_by_the_setting(
    model: Model, changed: dict[str, object], method: str, said: str
) -> None:
    calibration = bound(model)
    other = replace(model, config=override(model.config, changed))
    with pytest.raises(InputError, match="or undo the change") as caught:
        make_detector(method, {model.noise: other}, calibration)
    assert said in str(caught.value)
    assert "calibration.json: its thresholds of" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["weights", "atlases"])
def test_that_of_other_weights_or_atlases_is_refused(model: Model, what: str) -> None:
    other = replace(model, **{f"{what}_sha256": "f" * 64})
    with pytest.raises(InputError, match=f"the {what}"):
        make_network_detector("anomap", other, bound(model))


def test_one_of_a_former_version_is_used_with_a_note_that_comes_once(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    module._note_unbound.cache_clear()
    for _ in range(2):
        make_network_detector("anomap", model, calibration())
    assert caplog.text.count("does not say for which weights and recipe it was made") == 1


@pytest.mark.parametrize("name", SHIPPED.values())
def test_those_that_come_with_anomap_fit_their_weights(name: str) -> None:
    run = bundle_dir(name) / "models"
    models = {"simplex": load_model(run, torch.device("cpu"))}
    stored = Calibration.of(run)
    for method, table in stored.methods.items():
        assert table.made_for is not None
        assert make_detector(method, models, stored).calibrated == table
    assert changed_files(run) == []
