"""One cohort in several processes: each does its part, and together they do what one does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm import running_slurm
from small_cohorts import maps_in, write_scans

from pipeline.cases.loop import Execution, of_part
from pipeline.cli.main import main
from pipeline.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scans(tmp_path_factory.mktemp("scans"), 5)


def test_parts_are_all_cases_each_once() -> None:
    cases = list("abcdefg")
    found = [of_part(cases, Execution(part=(k, 3))) for k in range(3)]
    assert sorted(name for part in found for name in part) == cases
    assert found[0] == ["a", "d", "g"]
    assert of_part(cases, Execution()) == cases
    with pytest.raises(InputError, match="part 3 of 3"):
        Execution(part=(3, 3))


def test_a_slurm_array_gives_the_same_bits_as_one_process(
    scans: Path, made_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three tasks at once, one of them killed; the command without parts completes it."""
    words = ["detect", scans, "--modality", "flair", "--model", made_run, "--device", "cpu"]
    words = [str(word) for word in words]
    assert main([*words, "-o", str(tmp_path / "one")]) == 0
    out = str(tmp_path / "parts")
    command = [sys.executable, "-m", "pipeline", *words, "--num-parts", "-o", out]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= {"SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "1"}
    tasks = [
        subprocess.Popen(
            command, env={**environment, "SLURM_ARRAY_TASK_ID": str(task)}, stderr=subprocess.PIPE
        )
        for task in (1, 2, 3)
    ]
    tasks[2].kill()
    status = [task.wait() for task in tasks]
    assert status[:2] == [0, 0], [task.communicate()[1] for task in tasks]
    done = {path.parent.name for path in (tmp_path / "parts").glob("*/result.json")}
    assert done >= {"p0", "p1", "p3", "p4"}
    assert main([*words, "-o", out]) == 0
    assert maps_in(tmp_path / "parts") == maps_in(tmp_path / "one")
    assert len(maps_in(tmp_path / "one")) == 20
    table = (tmp_path / "parts" / "results.csv").read_text().splitlines()
    assert len(table) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--num-parts"], "or a Slurm array"),
        (["--num-parts", "3"], "or a Slurm array"),
        (["--part-id", "3", "--num-parts", "3"], "expected 0 to 2, of 3 parts"),
        (["--part-id", "-1", "--num-parts", "3"], "expected 0 to 2, of 3 parts"),
        (["--part-id", "1"], "expected 0 to 0, of 1 parts"),
    ],
)
def test_a_part_that_is_none_is_said_at_once(
    options: list[str], said: str, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for key in ("COUNT", "ID", "MIN", "STEP"):
        monkeypatch.delenv(f"SLURM_ARRAY_TASK_{key}", raising=False)
    assert main(["detect", str(scans), "-o", str(tmp_path / "out"), *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_array_of_a_real_slurm_with_a_task_that_is_killed(
    scans: Path, made_run: Path, tmp_path: Path
) -> None:
    """Four tasks; one is cancelled with SIGKILL, and put into the queue again, as Slurm does."""
    words = ["detect", scans, "--modality", "flair", "--model", made_run, "--device", "cpu"]
    words = [str(word) for word in words]
    assert main([*words, "-o", str(tmp_path / "one")]) == 0
    out = tmp_path / "parts"
    environment = ["/usr/bin/env", f"PYTHONPATH={ROOT}", "OMP_NUM_THREADS=1"]
    command = [*environment, sys.executable, "-m", "pipeline", *words, "--num-parts", "-o", out]
    with running_slurm(tmp_path / "slurm") as slurm:
        job = slurm.array("1-4", [str(word) for word in command], tmp_path)
        for _ in range(300):
            running = slurm.run("squeue", "--noheader", "--states=R", "--format=%K", "--job", job)
            if running.split():
                break
            time.sleep(0.1)
        killed = running.split()[0]
        slurm.run("scancel", "--signal=KILL", "--batch", f"{job}_{killed}")
        slurm.wait(job)
        parts = ["4", "--part-id", str(int(killed) - 1)]  # a later array has other numbers
        command = [*command[:-2], *parts, *command[-2:]]
        again = slurm.array(killed, [str(word) for word in command], tmp_path)
        slurm.wait(again)
    texts = "".join(path.read_text() for path in tmp_path.glob("*.txt"))
    assert maps_in(out) == maps_in(tmp_path / "one"), texts
