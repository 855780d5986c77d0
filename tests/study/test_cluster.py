"""A cohort by several processes and by a Dask cluster: the bits of one process, whatever dies."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from small_cohorts import maps_in, write_scans

from pipeline.cli.main import main

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


in_full = pytest.mark.skipif(
    not os.environ.get("ANOMAP_FULL"), reason="make test-cluster runs it (ANOMAP_FULL=1)"
)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scans(tmp_path_factory.mktemp("scans"), 6)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As the workers have: sums over more threads round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def words_of(scans: Path, run: Path, out: Path) -> list[str]:
    words = ["detect", scans, "--modality", "flair", "--model", run, "--device", "cpu", "-o", out]
    return [*map(str, words), "--quiet"]


def detect(scans: Path, run: Path, out: Path, *options: str) -> int:
    return main([*words_of(scans, run, out), *options])


@dataclass
class Cluster:
    """A scheduler and workers, each a process of its own.

    Attributes:
        address: of the scheduler.
        scheduler, workers: their processes.
    """

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


@contextlib.contextmanager
def running_cluster(n_workers: int, folder: Path) -> Iterator[Cluster]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]]
        with (folder / "log.txt").open("ab") as log:
            return subprocess.Popen(command, env=ENVIRONMENT, stderr=log, stdout=log, cwd=folder)

    scheduler = start("dask_scheduler", "--port", str(port), "--no-dashboard")
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
    workers = [start("dask_worker", address, *options) for _ in range(n_workers)]
    try:
        yield Cluster(address, scheduler, workers)
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


def begin(scans: Path, run: Path, out: Path, cluster: Cluster) -> subprocess.Popen[bytes]:
    """A detection on the cluster, in a process of its own."""
    words = [*words_of(scans, run, out), "--cluster", cluster.address]
    command = [sys.executable, "-m", "pipeline", *words]
    return subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE)


def test_several_processes_give_the_same_bits_as_one(
    scans: Path, made_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, log = tmp_path / "one", tmp_path / "two", tmp_path / "log.jsonl"
    assert detect(scans, made_run, one) == 0
    alone = capsys.readouterr()
    assert detect(scans, made_run, two, "--workers", "2", "--log-json", str(log)) == 0
    together = capsys.readouterr()
    assert maps_in(two) == maps_in(one)
    assert len(maps_in(one)) == 24
    assert together.out == alone.out.replace(str(one), str(two))
    stages = {line for line in log.read_text().splitlines() if '"stage": "restore"' in line}
    assert len(stages) == 6
    evaluated = ["evaluate", str(two), "--labels", str(scans), "--healthy", "--quiet"]
    tables = []
    for options in ([], ["--workers", "2"]):
        assert main([*evaluated, *options]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_bits_though_a_worker_is_killed(
    scans: Path, made_run: Path, tmp_path: Path
) -> None:
    one, out = tmp_path / "one", tmp_path / "cluster"
    assert detect(scans, made_run, one) == 0
    with running_cluster(2, tmp_path) as cluster:
        command = begin(scans, made_run, out, cluster)
        _wait_for_a_case(out, command)
        cluster.workers[0].kill()
        assert command.wait(timeout=300) == 0, (tmp_path / "log.txt").read_text()[-2000:]
    assert maps_in(out) == maps_in(one)


@in_full
@pytest.mark.slow
def test_a_lost_scheduler_is_said_and_the_command_repeated_completes(
    scans: Path, made_run: Path, tmp_path: Path
) -> None:
    one, out = tmp_path / "one", tmp_path / "cluster"
    assert detect(scans, made_run, one) == 0
    with running_cluster(1, tmp_path) as cluster:
        command = begin(scans, made_run, out, cluster)
        _wait_for_a_case(out, command)
        cluster.scheduler.kill()
        said = command.communicate(timeout=120)[1].decode()
        assert command.returncode == 2, said
        assert "was lost" in said
    assert detect(scans, made_run, out) == 0
    assert maps_in(out) == maps_in(one)


def _wait_for_a_case(out: Path, command: subprocess.Popen[bytes]) -> None:
    """Until the first case is done, and not all are."""
    deadline = time.monotonic() + 200
    while not list(out.glob("*/result.json")):
        assert command.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
