"""Signals end a command as Ctrl-C does, and nothing takes them for a case that failed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from folders import all_names_in

from pipeline.cases.loop import QUIET, each_case
from pipeline.cli import main as command
from pipeline.cli.main import main
from pipeline.cli.stopping import stopping_on_signals
from pipeline.files.writing import write_atomically


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of a terminal, whatever this process was started by, and afterwards those of before."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    usual = (signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL)
    before = [
        signal.signal(number, handler) for number, handler in zip(numbers, usual, strict=True)
    ]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def status_of(work: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """What ``anomap`` returns for a command that does some work."""

    class Parser:
        def parse_args(self, argv: object) -> Any:
            return command.argparse.Namespace(
                run=work, prints_all=False, quiet=True, debug=False, log_json=None, command="x"
            )

    monkeypatch.setattr(command, "parser", Parser)
    return main([])


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_within_a_case_ends_all_and_leaves_no_part(
    name: str,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    begun: list[str] = []

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(10)

    def work(case: str) -> None:
        begun.append(case)
        write_atomically(tmp_path / case, write)

    def run(arguments: object) -> int:
        each_case({"a": "a", "b": "b"}, work, description="x", execution=QUIET)
        return 0

    assert status_of(run, monkeypatch) == status
    assert begun == ["a"]
    assert all_names_in(tmp_path) == set()
    assert capsys.readouterr().err.startswith("anomap: stopped; what is finished stays")


def test_an_interruption_that_a_library_wraps_is_no_failed_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work(case: str) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except BaseException as error:
            raise RuntimeError("worker exited unexpectedly") from error

    def run(arguments: object) -> int:
        return len(each_case({"a": "a"}, work, description="x", execution=QUIET).failed)

    assert status_of(run, monkeypatch) == 143


def test_a_second_signal_does_not_disturb_the_clearing(monkeypatch: pytest.MonkeyPatch) -> None:
    cleared = []

    def run(arguments: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            cleared.append(True)

    assert status_of(run, monkeypatch) == 143
    assert cleared == [True]
    os.kill(os.getpid(), signal.SIGINT)  # nor the end of the interpreter


def test_a_signal_that_got_lost_can_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cli.stopping.GRACE_S", 0.0)

    def run(arguments: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):  # as in a callback of C
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

    assert status_of(run, monkeypatch) == 130


def test_a_signal_that_falls_into_a_callback_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    class Callback:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)

    def run(arguments: object) -> int:
        Callback()  # Python drops what is raised within
        time.sleep(10)
        return 0

    assert status_of(run, monkeypatch) == 143


def test_what_nohup_ignores_stays_ignored_and_all_is_put_back() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    before = signal.getsignal(signal.SIGTERM)
    with stopping_on_signals():
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_signals_are_left_alone() -> None:
    seen: list[bool] = []

    def run() -> None:
        before = signal.getsignal(signal.SIGTERM)
        with stopping_on_signals():
            seen.append(signal.getsignal(signal.SIGTERM) is before)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [True]


def test_a_training_that_is_stopped_ends_with_its_workers(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pipeline.cli import main as command\n"
        "from torch.utils.data import DataLoader\n"
        "class Slow:\n"
        "    def __len__(self): return 1000\n"
        "    def __getitem__(self, i): time.sleep(0.05); return i\n"
        "def run(arguments):\n"
        "    for batch in DataLoader(Slow(), num_workers=2): print('batch', flush=True)\n"
        "class Parser:\n"
        "    def parse_args(self, argv):\n"
        "        return command.argparse.Namespace(\n"
        "            run=run, prints_all=False, quiet=True, debug=False,\n"
        "            log_json=None, command=None)\n"
        "command.parser = Parser\nsys.exit(command.main([]))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "batch\n"
        os.killpg(process.pid, signal.SIGTERM)  # workers too, as systemd and timeout do
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.startswith("anomap: stopped")
    assert len(errors.splitlines()) == 1
