"""Temporary folders go with the process, and those of a killed one with the next."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.files.scratch import remove_scratch, scratch_folder

CHILD = """
import sys, time
from pipeline.files.scratch import scratch_folder
print(scratch_folder(), flush=True)
if sys.argv[1] == "stay":
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def child(what: str) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, what], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_the_end_of_a_process_removes_them(temporary: Path) -> None:
    process, folder = child("end")
    assert process.wait() == 0
    assert folder.is_relative_to(temporary)
    assert not list(temporary.iterdir())


def test_those_of_a_killed_process_go_with_the_next_and_those_of_a_living_one_stay(
    temporary: Path,
) -> None:
    alive, of_alive = child("stay")
    killed, of_killed = child("stay")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert of_killed.is_dir()
    own = scratch_folder()
    assert not of_killed.exists()
    assert of_alive.is_dir()
    alive.kill()
    alive.wait()
    remove_scratch(own)
    assert not own.parent.exists()


def test_what_is_not_ours_is_left(temporary: Path) -> None:
    (temporary / "anomap-notes").mkdir()
    remove_scratch(scratch_folder())
    assert (temporary / "anomap-notes").is_dir()
