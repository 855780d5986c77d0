"""Cases to results on disk: what counts as done, and what one bad case does to the others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from brains import SmallBrain
from folders import all_names_in, names_in

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.grid import Grid
from pipeline.cases.loop import QUIET, Execution
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.detection.case_work import CaseWork
from pipeline.detection.detect import detect_cases, is_done
from pipeline.detection.detector import Detector, input_files, make_detector
from pipeline.detection.recipe import MapResult
from pipeline.errors import InputError, TooManyFailuresError
from pipeline.files.folder.lock import locked
from pipeline.files.names import ANOMALY_MAP, ANOMALY_MASK, BRAIN_MASK, LEDGER, RESULT
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

    def detect(
        with_detector: Detector = detector,
        execution: Execution = QUIET,
        cases: list[Case] = cases,
    ) -> dict[str, str]:
        name = with_detector.name
        folders = {name: tmp_path / "out"}
        return detect_cases(cases, {name: with_detector}, transforms, folders, execution=execution)

    return detect


def stamp(folder: Path) -> int:
    return (folder / ANOMALY_MAP).stat().st_mtime_ns


def write_copy(source: Path, path: Path) -> Path:
    """A copy with times and an inode of its own."""
    content = source.read_bytes()
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    return path


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
    assert is_done(folder, detector.provenance(input_files(cases[0]), transforms))
    threshold = detector.threshold.model_copy(update={"value": 0.7})
    other = replace(detector, seed=1, threshold=threshold)
    with pytest.raises(InputError, match=r"with other seed, threshold; give --overwrite") as caught:
        is_done(folder, other.provenance(input_files(cases[0]), transforms))
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


def test_a_scan_that_was_replaced_under_its_size_and_time_is_another_input(
    done: Callable[..., dict[str, str]], cases: list[Case]
) -> None:
    done()
    path = cases[0].images["flair"].path
    content, before = bytearray(path.read_bytes()), path.stat()
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert "with other inputs" in done()["p1"]


def test_a_cohort_that_was_moved_is_still_done(
    done: Callable[..., dict[str, str]], cases: list[Case], tmp_path: Path
) -> None:
    done()
    (file,) = cases[0].images.values()
    copied = write_copy(file.path, tmp_path / "elsewhere" / "scan.nii.gz")
    moved = replace(cases[0], images={"flair": ImageFile(copied)})
    before = stamp(tmp_path / "out" / "p1")
    assert done(cases=[moved]) == {}
    assert stamp(tmp_path / "out" / "p1") == before
    as_label = replace(cases[0], label=file)
    assert "with other inputs" in done(cases=[as_label])["p1"]


def test_an_input_is_read_once_as_long_as_nobody_touches_it(
    done: Callable[..., dict[str, str]], cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    done()

    def refuse(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr("pipeline.files.record.stored.content_hash", refuse)
    assert done() == {}


@pytest.mark.parametrize("name", [ANOMALY_MAP, ANOMALY_MASK, BRAIN_MASK])
@pytest.mark.parametrize("spoil", ["cut", "replaced", "same size and time"])
def test_a_file_that_is_not_what_was_written_is_made_again(
    done: Callable[..., dict[str, str]], tmp_path: Path, name: str, spoil: str
) -> None:
    done()
    path = tmp_path / "out" / "p1" / name
    good, before = path.read_bytes(), path.stat()
    content = {"cut": good[:99], "replaced": good + b"\0"}.get(spoil, good[:-9] + bytes(9))
    path.write_bytes(content)
    if spoil == "same size and time":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert done() == {}
    assert path.read_bytes() == good


@pytest.mark.parametrize("execution", [QUIET, AGAIN])
def test_a_mask_that_somebody_corrected_is_kept(
    done: Callable[..., dict[str, str]], execution: Execution, tmp_path: Path
) -> None:
    done()
    folder = tmp_path / "out" / "p1"
    corrected = (folder / BRAIN_MASK).read_bytes()
    made = (folder / ANOMALY_MASK).read_bytes()
    (folder / ANOMALY_MASK).write_bytes(corrected)
    (folder / ANOMALY_MAP).write_bytes(b"torn")
    assert done(execution=execution) == {}
    assert (folder / ANOMALY_MASK).read_bytes() == made
    assert names_in(folder / "edited-1") == {ANOMALY_MASK}
    assert (folder / "edited-1" / ANOMALY_MASK).read_bytes() == corrected


def test_results_that_were_copied_are_still_done(
    done: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    done()
    folder = tmp_path / "out" / "p1"
    for path in folder.iterdir():
        write_copy(path, path)
    before = stamp(folder)
    assert done() == {}
    assert stamp(folder) == before


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


def test_a_torn_file_of_a_result_of_the_first_version_is_made_again(
    done: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    done()
    folder = tmp_path / "out" / "p1"
    names = CaseResult.read(folder / RESULT).file_names
    rewrite(folder / RESULT, schema_version=None, files=list(names))
    path = folder / ANOMALY_MAP
    good = path.read_bytes()
    path.write_bytes(good[:99])
    assert done() == {}
    assert path.read_bytes() == good


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


# Whose files, and who is at work ------------------------------------------------------------------


def test_a_file_that_is_not_ours_fails_its_case_before_any_work(
    done: Callable[..., dict[str, str]], detector: Detector, tmp_path: Path
) -> None:
    mask = tmp_path / "out" / "p1" / ANOMALY_MASK
    mask.parent.mkdir(parents=True)
    mask.write_text("drawn by hand")
    computed: list[str] = []
    noted = replace(detector, check=lambda prepared: computed.append(prepared.case.name))
    for execution in (QUIET, AGAIN):
        assert done(noted, execution) == {
            "p1": f"{mask}: there is a file that anomap did not write; move it away or give "
            "another output folder"
        }
    assert mask.read_text() == "drawn by hand"
    assert all_names_in(mask.parent) == {ANOMALY_MASK}
    assert set(computed) == {"p2"}


def test_a_case_that_another_process_works_on_fails_and_the_others_go_on(
    done: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    with locked(tmp_path / "out" / "p1"):
        failed = done()
    assert set(failed) == {"p1"}
    assert failed["p1"].startswith(f"{tmp_path}/out/p1: in use by another anomap (process ")
    assert (tmp_path / "out" / "p2" / RESULT).is_file()
    assert done() == {}


def test_what_a_killed_detection_left_is_cleared_by_the_next(
    done: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    left = tmp_path / "out" / "p1" / ".part-0badcafe-anomaly.nii.gz"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    assert done() == {}
    assert not left.exists()


def test_a_result_of_a_former_version_is_replaced_by_overwrite(
    done: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    done()
    folder = tmp_path / "out" / "p1"
    (folder / LEDGER).unlink()
    before = stamp(folder)
    assert done(execution=AGAIN) == {}
    assert stamp(folder) != before


def test_too_little_room_is_told_before_any_case(
    done: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = SimpleNamespace(f_bavail=66, f_frsize=1000, f_blocks=1000)
    monkeypatch.setattr(os, "statvfs", lambda path: told)
    with pytest.raises(InputError, match=r"out: 66 kB are free there, and at least \d+ kB are"):
        done()
