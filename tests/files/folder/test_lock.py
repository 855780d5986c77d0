"""One process in a folder: the second is refused, a dead one holds nothing and leaves nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import all_names_in

from pipeline.errors import InputError
from pipeline.files.folder import lock
from pipeline.files.folder.lock import locked
from pipeline.files.writing import write_text

HOLD = """
import os, sys, time
from pathlib import Path
from pipeline.files.folder.lock import Lock
held = Lock(Path(sys.argv[1]))
if os.fork() == 0:
    time.sleep(60)
print("held", flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def holder(folder: Path) -> Iterator[int]:
    """The id of a process that holds a folder, with a worker that it forked."""
    words = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_second_process_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    with holder(tmp_path / "run") as process:
        with pytest.raises(InputError) as caught, locked(tmp_path / "run"):
            pass
        message = str(caught.value)
        assert re.fullmatch(
            rf"{tmp_path}/run: in use by another anomap \(process {process} on \S+ since "
            r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S+\); wait for it, or stop it",
            message,
        )
        # Its worker lives on for a while and must not keep the folder.
        os.kill(process, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while True:
            try:
                with locked(tmp_path / "run"):
                    break
            except InputError:
                assert time.monotonic() < deadline
                time.sleep(0.01)


def test_what_a_killed_process_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for path in (tmp_path / ".part-1234-last.pt", cache / ".part-1-a.npy", tmp_path / ".writable"):
        path.touch()
    kept = (tmp_path / "last.pt", cache / "a.npy", tmp_path / "deep" / ".part-x")
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("kept")
    with locked(tmp_path, within=[cache]):
        left = {path for path in tmp_path.rglob("*") if path.is_file()}
        assert left >= set(kept)
        assert not {path for path in left - set(kept) if not path.name.startswith(".anomap")}
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(kept)


def test_a_folder_in_which_nothing_was_written_is_as_before(tmp_path: Path) -> None:
    with locked(tmp_path / "new"):
        assert (tmp_path / "new").is_dir()
    assert all_names_in(tmp_path) == set()
    (tmp_path / "old").mkdir()
    with locked(tmp_path / "old"):
        pass
    assert all_names_in(tmp_path / "old") == set()
    with locked(tmp_path / "new"):
        write_text(tmp_path / "new" / "a", "text")
    assert all_names_in(tmp_path / "new") == {".anomap", "a"}


def test_a_file_system_without_locks_is_noted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(handle: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unknown)
    lock._say_no_locks.cache_clear()
    for name in ("a", "b"):
        with locked(tmp_path / name):
            write_text(tmp_path / name / "x", "text")
    assert [record.message for record in caplog.records] == [
        "note: this file system knows no locks: see yourself that no two commands write to one "
        "folder"
    ]
