"""Memory that is free, by files of /proc and of control groups, and what is said without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.files import memory
from pipeline.files.memory import available_bytes, enough_memory


@pytest.fixture(autouse=True)
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 3 MB."""
    monkeypatch.setattr(memory, "PROC", tmp_path)
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    (tmp_path / "meminfo").write_text(
        "MemTotal: 9000 kB\nMemAvailable: 2000 kB\nSwapFree: 1000 kB\n"
    )
    return tmp_path


def test_the_least_of_what_is_left_counts(system: Path) -> None:
    assert available_bytes() == 3000 * 1024
    group = system / "cgroup" / "memory"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("5000\n")
    (group / "memory.usage_in_bytes").write_text("4000\n")
    (group / "memory.stat").write_text("cache 7\ntotal_inactive_file 500\n")
    assert available_bytes() == 1500
    own = system / "cgroup" / "user"
    own.mkdir()
    (system / "self").mkdir()
    (system / "self" / "cgroup").write_text("0::/user\n")
    (own / "memory.max").write_text("900\n")
    (own / "memory.current").write_text("200\n")
    assert available_bytes() == 700
    (own / "memory.max").write_text("max\n")
    assert available_bytes() == 1500


def test_nothing_is_known_elsewhere(system: Path) -> None:
    (system / "meminfo").unlink()
    assert available_bytes() is None
    with enough_memory("a scan", 10**18):
        pass


def test_too_little_is_said_before_the_work() -> None:
    with (
        pytest.raises(
            InputError, match=r"^not enough memory for 5x6x7 \(needs about 5.0 GB, 0.0 GB"
        ),
        enough_memory("5x6x7", 5 * 10**9),
    ):
        raise AssertionError


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")],
)
def test_memory_that_runs_out_in_the_work_is_said_too(error: Exception) -> None:
    with (
        pytest.raises(InputError, match="not enough memory for 5x6x7"),
        enough_memory("5x6x7", 1000),
    ):
        raise RuntimeError("applying transform <object at 0x7f>") from error
    with pytest.raises(ValueError, match="other"), enough_memory("5x6x7", 1000):
        raise ValueError("other")
