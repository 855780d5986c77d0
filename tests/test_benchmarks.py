"""The measuring scripts run; their figures are not checked here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.mark.slow
def test_the_noise_benchmark_compares_all_methods() -> None:
    pytest.importorskip("numba", reason="numba is not installed (extra `benchmark`)")
    script = [sys.executable, BENCHMARKS / "noise.py"]
    options = ["--sizes", "16", "--batches", "2", "--repeats", "1"]
    done = subprocess.run([*script, *options], capture_output=True, text=True, check=True)
    row = next(line for line in done.stdout.splitlines() if line.startswith("| 16 | 2 |"))
    assert len(row.split("|")) == 13
    assert "training step of `small`" in done.stdout
    worst = float(done.stdout.split("largest difference between the methods: ")[1].split()[0])
    assert 0 < worst < 2e-4


@pytest.mark.slow
def test_without_numba_the_noise_benchmark_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "noise.py"],
        env={"PYTHONPATH": f"{tmp_path}:{BENCHMARKS.parents[1]}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install -c constraints.txt numba" in done.stderr


def test_the_calibration_benchmark_says_seconds_before_and_now_and_memory() -> None:
    script = [sys.executable, BENCHMARKS / "calibration.py"]
    options = ["--cases", "20", "--voxels", "500", "--methods", "2"]
    done = subprocess.run([*script, *options], capture_output=True, text=True, check=True)
    assert "20 cases x 500 voxels x 2 methods" in done.stdout
    seconds = {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()[1:]}
    assert set(seconds) == {"before", "now"}
    assert 0 <= seconds["now"] < 60
    assert seconds["before"] >= 0
    assert "MB of values" in done.stdout
