"""Work in several processes and on a Dask cluster: what comes back, and what a killed one costs."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cases.loop import Apart, Execution, Outcomes, each_case
from pipeline.errors import FullDiskError, InputError, TooManyFailuresError
from pipeline.stages import stage, timed
from pipeline.workers.cluster import LOCAL
from pipeline.workers.crew import Crew

ROOT = Path(__file__).parents[1]
CREWS = [Crew(2), Crew(2, LOCAL)]
IDS = ["processes", "cluster"]


def done_by(
    crew: Crew, work: Callable[[int], object], n: int = 5, *, max_failures: int | None = None
) -> Outcomes[object]:
    execution = Execution(progress=False, crew=crew, max_failures=max_failures)
    items = {f"c{k}": k for k in range(n)}
    return each_case(items, Apart(work), description="working", execution=execution)


@pytest.mark.parametrize("crew", CREWS, ids=IDS)
def test_values_failures_messages_and_seconds_come_back(
    crew: Crew, caplog: pytest.LogCaptureFixture
) -> None:
    offset = 10  # of this closure: a function travels by value

    def work(number: int) -> tuple[int, int]:
        with stage("thinking"):
            time.sleep(0.05)
        if number == 3:
            raise InputError("three is none")
        if number == 4:
            raise IndexError("a fault")
        logging.getLogger("pipeline.somewhere").warning("at %d", number)
        return number + offset, os.getpid()

    with timed() as clock, caplog.at_level(logging.WARNING, logger="pipeline"):
        outcomes = done_by(crew, work)
    values = {name: value[0] for name, value in outcomes.done.items()}  # type: ignore[index]
    assert values == {"c0": 10, "c1": 11, "c2": 12}
    assert list(values) == ["c0", "c1", "c2"]
    assert outcomes.failed == {"c3": "three is none", "c4": "IndexError: a fault"}
    assert os.getpid() not in {value[1] for value in outcomes.done.values()}  # type: ignore[index]
    assert sorted(record.getMessage() for record in caplog.records) == ["at 0", "at 1", "at 2"]
    assert {record.name for record in caplog.records} == {"pipeline.somewhere"}
    assert 5 * 0.05 <= clock.seconds["thinking"] < 5


@pytest.mark.parametrize("crew", CREWS, ids=IDS)
def test_a_killed_worker_costs_its_own_case_alone(crew: Crew, tmp_path: Path) -> None:
    """One case kills its worker always, one the first time only."""

    def work(number: int) -> int:
        first = tmp_path / f"been{number}"
        if number == 1 or (number == 2 and not first.exists()):
            first.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    outcomes = done_by(crew, work)
    assert outcomes.done == {"c0": 0, "c2": 2, "c3": 3, "c4": 4}
    assert list(outcomes.failed) == ["c1"]
    assert "was killed" in outcomes.failed["c1"]


def test_a_full_disk_and_too_many_failures_stop_all() -> None:
    def fill(number: int) -> None:
        raise FullDiskError("/out: no space left on device")

    with pytest.raises(FullDiskError, match="no space left"):
        done_by(Crew(2), fill)

    def fail(number: int) -> None:
        raise InputError("no")

    with pytest.raises(TooManyFailuresError, match="2 cases failed"):
        done_by(Crew(2), fail, max_failures=1)


def test_what_is_not_apart_stays_in_this_process() -> None:
    seen: list[int] = []
    execution = Execution(progress=False, crew=Crew(2))
    each_case({"a": 1, "b": 2}, seen.append, description="here", execution=execution)
    assert seen == [1, 2]


@pytest.mark.parametrize("crew", [Crew(), Crew(2)])
def test_what_follows_a_case_is_done_here_and_says_what_is_kept(crew: Crew) -> None:
    kept: dict[str, int] = {}

    def keep(name: str, value: int) -> int:
        kept[name] = value
        return -value

    execution = Execution(progress=False, crew=crew)
    items = {"a": -1, "b": -2}
    outcomes = each_case(items, Apart(abs, then=keep), description="both", execution=execution)
    assert kept == {"a": 1, "b": 2}
    assert outcomes.done == {"a": -1, "b": -2}


def test_a_crew_of_nobody_and_a_cluster_that_is_none_are_refused() -> None:
    with pytest.raises(InputError, match="expected 1 or more"):
        Crew(0)
    with pytest.raises(InputError, match="expected an address as tcp://HOST:8786"):
        done_by(Crew(cluster="nonsense"), abs)


def test_without_dask_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'anomap\[cluster\]'"):
        done_by(Crew(cluster=LOCAL), abs)


SLEEPERS = """
import os, sys, time
from pathlib import Path
from pipeline.cases.loop import Apart, Execution, each_case
from pipeline.workers.crew import Crew

def work(path):
    path.write_text(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    paths = {str(k): Path(sys.argv[1]) / str(k) for k in range(2)}
    each_case(paths, Apart(work), description="x", execution=Execution(crew=Crew(2)))
"""


def test_a_module_of_the_current_folder_is_found_by_workers_and_a_lost_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_own_work.py").write_text("def twice(number):\n    return 2 * number\n")
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as here:
        here.syspath_prepend(str(tmp_path))
        module = importlib.import_module("my_own_work")
    assert done_by(Crew(2), module.twice, 3).done == {"c0": 0, "c1": 2, "c2": 4}
    (tmp_path / "my_own_work.py").unlink()
    failed = done_by(Crew(2), module.twice, 2).failed
    assert set(failed) == {"c0", "c1"}
    assert all("a worker could not begin" in reason for reason in failed.values())
    assert all("my_own_work" in reason for reason in failed.values())


def test_a_script_without_a_guard_is_not_run_again_by_each_worker(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from pipeline.cases.loop import Apart, Execution, each_case\n"
        "from pipeline.workers.crew import Crew\n"
        "added = 5\n"
        "def work(number):\n"
        "    return number + added\n"
        "crew = Execution(progress=False, crew=Crew(2))\n"
        "print(each_case({'a': 1, 'b': 2}, Apart(work), description='x', execution=crew).done)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "{'a': 6, 'b': 7}\n", done.stderr


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_they_work_for(number: int, tmp_path: Path) -> None:
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)], env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        pids = [int(p.read_text() or 0) for k in range(2) if (p := tmp_path / str(k)).is_file()]
        if len(pids) == 2 and all(pids):
            break
        time.sleep(0.1)
    assert all(map(_is_there, pids))
    parent.send_signal(number)
    parent.wait(timeout=60)
    while any(map(_is_there, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(_is_there, pids))
