"""Cases to results on disk: what counts as done, and what one bad case does to the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brains import SmallBrain

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.grid import Grid
from pipeline.cases.loop import QUIET, Execution
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.detection.case_work import CaseWork
from pipeline.detection.detect import detect_cases, is_done
from pipeline.detection.detector import Detector, make_detector
from pipeline.detection.recipe import MapResult
from pipeline.errors import InputError, TooManyFailuresError
from pipeline.files.names import ANOMALY_MAP, ANOMALY_MASK, RESULT
from pipeline.files.record.calibration import Calibration, MethodCalibration
from pipeline.files.record.result import CaseResult, Provenance

AGAIN = Execution(progress=False, overwrite=True)


@pytest.fixture
def transforms() -> CaseTransforms:
    return CaseTransforms(("flair",), Grid(32, 6.5, 6.5))


@pytest.fixture
def detector() -> Detector:
    """Intensity, cut at a threshold of 0.5 or more."""
    table = MethodCalibration(thresholds={"0.1": 0.5, "0.01": 0.9}, left_out_rates={})
    calibration = Calibration(methods={"intensity": table}, cases=("a", "b"))
    return make_detector("intensity", {}, calibration, false_positive_rate=0.05)


@pytest.fixture
def cases(make_brain: Callable[..., SmallBrain]) -> list[Case]:
    linear = np.diag([5.0, 5.0, 5.0])
    brains = {name: make_brain(linear, name=f"{name}_flair.nii.gz") for name in ("p1", "p2")}
    return [Case(n, n, {"flair": ImageFile(brain.path)}) for n, brain in brains.items()]


@pytest.fixture
def done(
    cases: list[Case], detector: Detector, transforms: CaseTransforms, tmp_path: Path
) -> Callable[..., dict[str, str]]:
    """Detects in the cases, into ``tmp_path / "out"``; gives the failures."""

    def detect(with_detector: Detector = detector, execution: Execution = QUIET) -> dict[str, str]:
        name = with_detector.name
        folders = {name: tmp_path / "out"}
        return detect_cases(cases, {name: with_detector}, transforms, folders, execution=execution)

    return detect


def stamp(folder: Path) -> int:
    return (folder / ANOMALY_MAP).stat().st_mtime_ns


def rewrite(path: Path, **changes: Any) -> dict[str, Any]:
    """Change keys of a JSON file; None removes one."""
    record = json.loads(path.read_text(encoding="utf-8")) | changes
    record = {key: value for key, value in record.items() if value is not None}
    path.write_text(json.dumps(record), encoding="utf-8")
    return dict(record)


# Done or not --------------------------------------------------------------------------------------


def test_a_finished_case_is_done_and_not_done_again(
    done: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    assert done() == {}
    before = stamp(tmp_path / "out" / "p1")
    assert done() == {}
    assert stamp(tmp_path / "out" / "p1") == before
    assert done(execution=AGAIN) == {}
    assert stamp(tmp_path / "out" / "p1") != before


def test_a_result_of_other_settings_is_an_error_that_names_them(
    done: Callable[..., dict[str, str]],
    detector: Detector,
    cases: list[Case],
    transforms: CaseTransforms,
    tmp_path: Path,
) -> None:
    done()
    folder = tmp_path / "out" / "p1"
    assert is_done(folder, detector.provenance(cases[0], transforms))
    threshold = detector.threshold.model_copy(update={"value": 0.7})
    other = replace(detector, seed=1, threshold=threshold)
    with pytest.raises(InputError, match=r"with other seed, threshold; give --overwrite") as caught:
        is_done(folder, other.provenance(cases[0], transforms))
    assert str(folder) in str(caught.value)
    before = stamp(folder)
    failed = done(other)
    assert set(failed) == {"p1", "p2"}
    assert stamp(folder) == before
    assert done(other, AGAIN) == {}


def test_a_scan_that_was_changed_is_another_input(
    done: Callable[..., dict[str, str]], cases: list[Case]
) -> None:
    done()
    path = cases[0].images["flair"].path
    path.write_bytes(path.read_bytes() + b"\0")
    assert "with other inputs" in done()["p1"]


@pytest.mark.parametrize("content", ["", "{", '{"case": "p1", "meth', "[]", '{"score": "high"}'])
def test_a_torn_result_is_made_anew(
    done: Callable[..., dict[str, str]], tmp_path: Path, content: str
) -> None:
    done()
    path = tmp_path / "out" / "p1" / RESULT
    good = CaseResult.read(path)
    path.write_text(content, encoding="utf-8")
    assert done() == {}
    assert CaseResult.read(path).score == good.score


def test_a_result_of_the_first_version_still_counts_as_done(
    done: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    done()
    folder = tmp_path / "out" / "p1"
    assert "schema_version" not in rewrite(folder / RESULT, schema_version=None)
    before = stamp(folder)
    assert done() == {}
    assert stamp(folder) == before


def test_a_result_that_says_nothing_of_its_making_is_made_anew(
    done: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    done()
    folder = tmp_path / "out" / "p1"
    rewrite(folder / RESULT, provenance=None)
    before = stamp(folder)
    assert done() == {}
    assert stamp(folder) != before


def test_a_result_without_one_of_its_files_is_made_anew(
    done: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    done()
    mask = tmp_path / "out" / "p1" / ANOMALY_MASK
    mask.unlink()
    assert done() == {}
    assert mask.is_file()


# Failures -----------------------------------------------------------------------------------------


def failing(detector: Detector, error: Exception) -> Detector:
    """One that fails in the case ``p1``."""
    compute = detector.ready.compute

    def fail(work: CaseWork, seed: int) -> MapResult:
        if work.prepared.case.name == "p1":
            raise error
        return compute(work, seed)

    return replace(detector, ready=replace(detector.ready, compute=fail))


def test_an_unexpected_error_in_one_case_does_not_stop_the_others(
    done: Callable[..., dict[str, str]], detector: Detector, tmp_path: Path
) -> None:
    failed = done(failing(detector, RuntimeError("out of memory")))
    assert list(failed) == ["p1"]
    assert "out of memory" in failed["p1"]
    assert not (tmp_path / "out" / "p1" / RESULT).exists()
    assert (tmp_path / "out" / "p2" / RESULT).is_file()


def test_a_result_that_is_being_replaced_is_not_left_as_done(
    done: Callable[..., dict[str, str]], detector: Detector, tmp_path: Path
) -> None:
    done()
    assert list(done(failing(detector, RuntimeError("lost")), AGAIN)) == ["p1"]
    assert not (tmp_path / "out" / "p1" / RESULT).exists()


def test_an_interruption_goes_through_and_what_is_finished_stays(
    done: Callable[..., dict[str, str]], detector: Detector, tmp_path: Path
) -> None:
    def interrupted(prepared: Prepared) -> None:
        if prepared.case.name == "p2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        done(replace(detector, check=interrupted))
    assert (tmp_path / "out" / "p1" / RESULT).is_file()


def test_it_stops_once_more_cases_failed_than_are_allowed(
    done: Callable[..., dict[str, str]], detector: Detector
) -> None:
    with pytest.raises(TooManyFailuresError, match="p1: lost"):
        done(failing(detector, InputError("lost")), Execution(progress=False, max_failures=0))


def test_a_case_that_is_refused_leaves_nothing(
    done: Callable[..., dict[str, str]], detector: Detector, tmp_path: Path
) -> None:
    def refuse(prepared: Prepared) -> None:
        raise InputError(f"case {prepared.case.name}: upside down")

    failed = done(replace(detector, check=refuse))
    assert failed == {name: f"case {name}: upside down" for name in ("p1", "p2")}
    assert list((tmp_path / "out").iterdir()) == []


def test_several_methods_share_the_work_on_a_case(
    detector: Detector, cases: list[Case], transforms: CaseTransforms, tmp_path: Path
) -> None:
    seen: dict[str, list[int]] = {"one": [], "two": []}

    def watched(name: str) -> Detector:
        def compute(work: CaseWork, seed: int) -> MapResult:
            seen[name].append(id(work))
            kept.append(work)
            return detector.ready.compute(work, seed)

        return replace(detector, name=name, ready=replace(detector.ready, compute=compute))

    kept: list[CaseWork] = []
    detectors = {name: watched(name) for name in seen}
    folders = {name: tmp_path / name for name in seen}
    assert detect_cases(cases, detectors, transforms, folders, execution=QUIET) == {}
    assert seen["one"] == seen["two"]
    assert len(set(seen["one"])) == len(cases)


def test_a_result_of_a_later_version_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"schema_version": 99}')
    with pytest.raises(InputError, match="of version 99"):
        is_done(tmp_path, Provenance())
