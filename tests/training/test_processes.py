"""Two processes of torchrun: the gradients of one, and an end when one of them dies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.cases.case import Case

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


in_full = pytest.mark.skipif(
    not os.environ.get("ANOMAP_FULL"), reason="make test-cluster runs it (ANOMAP_FULL=1)"
)


def run(n_processes: int, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable]
    if n_processes > 1:
        command += [
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={n_processes}",
        ]
    command += [str(HERE / "processes.py"), *map(str, words)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)


def test_two_processes_have_the_gradients_of_one_on_the_same_batch(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(6, 1, 32, 32, generator=generator)
    weight = torch.ones(6, 1, 32, 32)
    weight[1::2, :, 4:28] = 0  # what must not be looked at lies in the second one's images alone
    target = torch.cat([torch.randn(6, 1, 32, 32, generator=generator), weight], 1)
    timesteps = torch.randint(0, 1000, (6,), generator=generator)
    torch.save((images, timesteps, target), tmp_path / "batch.pt")
    found = []
    for n in (1, 2):
        done = run(n, "gradients", tmp_path / "batch.pt", tmp_path / f"of{n}.pt")
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(torch.load(tmp_path / f"of{n}.pt", weights_only=True))
    one, two = found
    assert one.keys() == two.keys()
    assert max(float(g.abs().max()) for g in one.values()) > 0.01
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


@in_full
@pytest.mark.slow
def test_a_process_that_dies_ends_the_training_and_it_goes_on_from_the_last_epoch(
    controls: list[Case], tmp_path: Path
) -> None:
    data = controls[0].images["flair"].path.parent
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    assert run(2, "train", data, unbroken, 0).returncode == 0
    died = run(2, "train", data, broken, 5)  # in the third epoch of two steps
    assert died.returncode != 0
    assert not (broken / "model.pt").exists()
    assert (broken / "last.pt").is_file()
    again = run(2, "train", data, broken, 0)
    assert again.returncode == 0, again.stderr[-2000:]
    weights = [torch.load(p / "model.pt", weights_only=True) for p in (unbroken, broken)]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
