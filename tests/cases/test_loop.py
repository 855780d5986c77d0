"""The loop over cases: what one failure does to the others, and what is shown."""

from __future__ import annotations

import logging

import pytest

from pipeline.cases.loop import QUIET, Execution, Failures, Outcomes, each_case, say_notes
from pipeline.errors import FullDiskError, InputError, TooManyFailuresError


def halve(number: int) -> int:
    """Half of an even number; three kinds of failures for others."""
    if number == 0:
        raise InputError("nothing to halve")
    if number < 0:
        raise IndexError("a fault of ours\nwith a second line")
    if number % 2:
        try:
            raise InputError(f"{number} is odd")
        except InputError as error:
            raise RuntimeError("in a worker") from error
    return number // 2


def halved(items: dict[str, int], execution: Execution = QUIET) -> Outcomes[int]:
    return each_case(items, halve, description="halving", execution=execution)


# --- failures -----------------------------------------------------------------------------------


def test_what_is_done_is_kept_in_order() -> None:
    assert halved({"b": 4, "a": 2}) == Outcomes({"b": 2, "a": 1}, {})
    assert list(halved({"b": 4, "a": 2}).done) == ["b", "a"]
    assert halved({}) == Outcomes()


def test_an_error_is_a_line_under_its_case_and_the_others_go_on() -> None:
    outcomes = halved({"a": 2, "zero": 0, "fault": -1, "wrapped": 3, "b": 8})
    assert outcomes.done == {"a": 1, "b": 4}
    assert outcomes.failed == {
        "zero": "nothing to halve",
        "fault": "IndexError: a fault of ours",
        "wrapped": "3 is odd",
    }


def test_where_an_error_came_from_is_logged_for_those_who_ask(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, logger="pipeline.cases.loop"):
        halved({"fault": -1})
    assert "case fault" in caplog.text
    assert "in halve" in caplog.text


def test_an_interruption_goes_through_and_earlier_work_stays() -> None:
    finished: list[str] = []

    def work(name: str) -> None:
        if name == "stopped":
            raise KeyboardInterrupt
        finished.append(name)

    items = {name: name for name in ("a", "b", "stopped", "c")}
    with pytest.raises(KeyboardInterrupt):
        each_case(items, work, description="working", execution=QUIET)
    assert finished == ["a", "b"]


# --- how many failures are allowed --------------------------------------------------------------


def test_the_loop_stops_once_more_failed_than_allowed() -> None:
    tried: list[int] = []

    def work(number: int) -> int:
        tried.append(number)
        return halve(number)

    items = {"a": 2, "b": 0, "c": 4, "d": 5, "e": 6}
    execution = Execution(progress=False, max_failures=1)
    message = r"^stopped: 2 cases failed, more than --max-failures 1; the last: d: 5 is odd$"
    with pytest.raises(TooManyFailuresError, match=message):
        each_case(items, work, description="halving", execution=execution)
    assert tried == [2, 0, 4, 5]


@pytest.mark.parametrize("max_failures", [None, 2, 7])
def test_as_many_failures_as_are_allowed_do_not_stop_it(max_failures: int | None) -> None:
    execution = Execution(progress=False, max_failures=max_failures)
    outcomes = halved({"a": 0, "b": 0, "c": 2}, execution)
    assert outcomes == Outcomes({"c": 1}, {"a": "nothing to halve", "b": "nothing to halve"})


def test_none_allowed_stops_at_the_first() -> None:
    with pytest.raises(TooManyFailuresError, match="1 cases failed, more than --max-failures 0"):
        halved({"a": 0}, Execution(progress=False, max_failures=0))


def test_a_negative_number_of_failures_is_refused() -> None:
    with pytest.raises(InputError, match="--max-failures -1: expected 0 or more"):
        Execution(max_failures=-1)


def test_failures_of_several_steps_add_up() -> None:
    failures = Failures(max_failures=2)
    failures.add("missing", "has t1; flair is missing")
    with failures.catching("fault"):
        halve(-1)
    with failures.catching("fine"):
        halve(2)
    assert list(failures.reasons) == ["missing", "fault"]
    with pytest.raises(TooManyFailuresError, match="3 cases failed"), failures.catching("odd"):
        halve(3)
    assert failures.reasons["odd"] == "3 is odd"


# --- the progress bar ---------------------------------------------------------------------------


@pytest.mark.parametrize("progress", [True, False])
def test_the_bar_is_shown_only_where_it_is_asked_for(
    progress: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    halved({"a": 2, "b": 0}, Execution(progress=progress))
    out, err = capsys.readouterr()
    assert out == ""
    assert ("halving" in err) == progress
    assert ("2/2" in err) == progress
    assert bool(err) == progress


def test_all_that_failed_before_a_stop_is_named() -> None:
    failures = Failures(max_failures=1)
    failures.add("a", "first")
    with pytest.raises(TooManyFailuresError) as stopped:
        failures.add("b", "second")
    assert stopped.value.failed == {"a": "first", "b": "second"}


def test_notes_are_said_once_each_and_not_without_end(caplog: pytest.LogCaptureFixture) -> None:
    say_notes({"a": ["cut", "cut", "dark"], "b": []})
    assert caplog.messages == ["note: a: cut", "note: a: dark"]
    caplog.clear()
    say_notes({f"c{i}": ["cut"] for i in range(13)}, "result.json")
    assert len(caplog.messages) == 11
    assert caplog.messages[-1] == "note: and 3 more, see result.json"


def test_a_full_disk_is_no_fault_of_a_case() -> None:
    def work(_: int) -> None:
        raise FullDiskError("x: cannot be written (No space left on device)")

    with pytest.raises(FullDiskError):
        each_case({"a": 1, "b": 2}, work, description="writing", execution=QUIET)
