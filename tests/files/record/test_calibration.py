"""calibration.json: as release 0.1.0 shipped it, and what its table says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.files.record.calibration import LEAST_FOR_P, Calibration, MethodCalibration

BUNDLES = sorted((Path(__file__).parents[3] / "bundles").glob("*/models/calibration.json"))


def test_there_are_bundles_to_look_at() -> None:
    assert len(BUNDLES) == 5


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.parts[-3])
def test_the_calibration_of_a_bundle_reads(path: Path) -> None:
    calibration = Calibration.read(path)
    ours = calibration.methods["anomap"]
    assert len(ours.scores) == len(calibration.cases) > 1
    thresholds = [ours.threshold(rate) for rate in (0.1, 0.05, 0.01, 0.001)]
    assert thresholds == sorted(thresholds)


def test_between_two_rates_a_threshold_is_log_linear() -> None:
    table = MethodCalibration(thresholds={"0.1": 1.0, "0.001": 3.0}, left_out_rates={})
    assert table.threshold(0.01) == pytest.approx(2.0)
    assert table.threshold(0.1) == 1.0


@pytest.mark.parametrize("rate", [0.2, 0.0001])
def test_a_rate_outside_the_table_is_refused(rate: float) -> None:
    table = MethodCalibration(thresholds={"0.1": 1.0, "0.001": 3.0}, left_out_rates={})
    with pytest.raises(InputError, match=r"between 0.001 and 0.1 is calibrated; got"):
        table.threshold(rate)


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(InputError, match="of no value is calibrated"):
        MethodCalibration(thresholds={}, left_out_rates={}).threshold(0.01)


def test_p_values_of_nineteen_healthy_scores_by_hand() -> None:
    scores = tuple(float(n) for n in range(1, LEAST_FOR_P + 1))
    table = MethodCalibration(thresholds={}, left_out_rates={}, scores=scores)
    assert [table.p_value(s) for s in (0.0, 2.0, 16.5, 99.0)] == [1.0, 0.95, 0.2, 0.05]
    assert table.p_value(float("nan")) is None


def test_few_people_give_no_p_value() -> None:
    """Three could say 0.25 at the least, beside any tumour."""
    scores = tuple(float(n) for n in range(1, LEAST_FOR_P))
    table = MethodCalibration(thresholds={}, left_out_rates={}, scores=scores)
    assert table.p_value(99.0) is None
    assert 1 / (1 + LEAST_FOR_P) <= 0.05 < 1 / LEAST_FOR_P
    assert MethodCalibration(thresholds={}, left_out_rates={}).p_value(1.0) is None


def test_a_run_without_a_calibration_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"calibration.json: not there; .* finish it with --resume"
    ):
        Calibration.of(tmp_path)


@pytest.mark.parametrize("rates", [{"abc": 1.0}, {"0": 1.0}, {"1": 1.0}, {"nan": 1.0}])
def test_a_key_that_is_no_rate_is_refused_by_file(rates: dict[str, float], tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    table = {"thresholds": {"0.01": 2.0, **rates}, "left_out_rates": {}}
    path.write_text(json.dumps({"methods": {"anomap": table}, "cases": []}))
    with pytest.raises(InputError, match=r"calibration\.json: not a calibration") as refused:
        Calibration.read(path)
    assert "\n" not in str(refused.value)


def test_a_rate_may_be_written_with_more_digits() -> None:
    table = MethodCalibration(thresholds={"0.010": 2.0, "0.1": 1.0}, left_out_rates={})
    assert table.thresholds == {"0.01": 2.0, "0.1": 1.0}
    assert table.threshold(0.01) == 2.0


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("thresholds", '{"0.1": NaN, "0.01": 2.0}', "valid number"),
        ("thresholds", '{"0.1": 1e999, "0.01": 2.0}', "too large"),
        ("thresholds", '{"0.1": 1.0, "0.01": -1e999}', "too large"),
        ("thresholds", '{"0.1": 2.0, "0.01": 1.0}', "not below that of 0.1"),
        ("scores", "[NaN]", "valid number"),
        ("scores", "[1e999]", "too large"),
        ("left_out_rates", '{"0.1": [NaN]}', "valid number"),
        ("left_out_rates", '{"0.1": [1.5]}', "between 0 and 1"),
    ],
)
def test_values_that_no_calibration_has_are_refused(
    key: str, value: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "calibration.json"
    table = {"thresholds": '{"0.1": 1.0}', "left_out_rates": "{}", "scores": "[]", key: value}
    inside = ", ".join(f'"{name}": {text}' for name, text in table.items())
    path.write_text(f'{{"methods": {{"anomap": {{{inside}}}}}, "cases": ["a"]}}')
    with pytest.raises(InputError, match=rf"calibration\.json: not a calibration \(.*{reason}"):
        Calibration.read(path)
