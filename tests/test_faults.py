"""A disk that fails, and kills at every moment: what has its final name is whole, work goes on."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from failing_disk import OPERATIONS, Trouble, failing, in_child

from pipeline.errors import InputError
from pipeline.files.writing import write_atomically

SCRIPT = Path(__file__).parent / "benchmarks" / "faults.py"
BEFORE, AFTER = np.arange(5000), np.arange(5000)[::-1]


def save(path: Path, values: np.ndarray) -> None:
    write_atomically(path, functools.partial(np.save, arr=values))


def points(tmp_path: Path) -> list[Trouble]:
    """Every change that replacing a file takes."""
    save(tmp_path / "counted.npy", BEFORE)
    with failing(tmp_path) as counted:
        save(tmp_path / "counted.npy", AFTER)
    assert counted["write"] > 1
    assert min(counted["rename"], counted["fsync"], counted["open"]) >= 1
    return [Trouble(name, n + 1) for name in OPERATIONS for n in range(counted[name])]


def test_a_file_is_the_old_one_or_the_new_one_whatever_fails(tmp_path: Path) -> None:
    path = tmp_path / "values.npy"
    for trouble in points(tmp_path):
        save(path, BEFORE)
        with (
            pytest.raises(InputError, match=r"values\.npy.*No space left"),
            failing(tmp_path, trouble),
        ):
            save(path, AFTER)
        held = np.load(path)
        assert np.array_equal(held, BEFORE) or np.array_equal(held, AFTER), trouble
        assert not list(tmp_path.glob(".part-*")), trouble


def test_a_file_is_the_old_one_or_the_new_one_whenever_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "values.npy"
    for trouble in points(tmp_path):
        save(path, BEFORE)
        killed = Trouble(trouble.operation, trouble.at, kill=True)

        def replace(killed: Trouble = killed) -> None:
            with failing(tmp_path, killed):
                save(path, AFTER)

        assert in_child(replace, tmp_path / "log") == -9, killed
        held = np.load(path)
        assert np.array_equal(held, BEFORE) or np.array_equal(held, AFTER), killed


def test_reading_is_not_disturbed_and_other_folders_are_not(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.mkdir()
    outer.mkdir()
    (inner / "a").write_text("read")
    with failing(inner, Trouble("open", 1)) as counted:
        assert (inner / "a").read_text() == "read"
        (outer / "b").write_text("written")
        (outer / "b").replace(outer / "c")
        assert not counted
        with pytest.raises(OSError, match="No space"):
            (inner / "a").write_text("other")
    assert (inner / "a").read_text() == "read"


@pytest.mark.slow
@pytest.mark.parametrize(("of", "every"), [("detection", 12), ("training", 320)])
def test_a_disturbed_command_ends_in_the_same_bits_when_it_is_repeated(
    of: str, every: int, tmp_path: Path
) -> None:
    """A sample; the script tries every point, see docs/robustness.md."""
    command = [sys.executable, SCRIPT, "--of", of, "--every", every, "--folder", tmp_path]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " 0 lost something" in done.stdout
