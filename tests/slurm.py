"""A real Slurm of one node, started by the test that needs it (Debian's slurm-wlm and munge)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
CONFIGURATION = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """Where it is configured."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *words: str) -> str:
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def array(self, tasks: str, command: Sequence[str], log: Path) -> str:
        """Submit an array; its number."""
        script = self.folder / "job.sh"
        words = " ".join(f"'{word}'" for word in command)
        script.write_text(f"#!/bin/bash\nexec {words}\n")
        options = [f"--array={tasks}", "--cpus-per-task=1", f"--output={log}/%a.txt", "--parsable"]
        return self.run("sbatch", *options, str(script)).strip().partition(";")[0]

    def wait(self, job: str, seconds: float = 300) -> None:
        """Until nothing of a job is queued or runs."""
        end = time.monotonic() + seconds
        while self.run("squeue", "--noheader", "--job", job).strip():
            assert time.monotonic() < end, self.run("squeue")
            time.sleep(0.3)


def _free_ports(n: int) -> list[int]:
    probes = [socket.socket() for _ in range(n)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or os.getuid() != 0:
        pytest.skip("Slurm is not installed (Debian's slurm-wlm and munge), or this is not root")
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    host = socket.gethostname().partition(".")[0]
    text = CONFIGURATION.format(host=host, folder=folder, ports=_free_ports(2), cpus=os.cpu_count())
    (folder / "slurm.conf").write_text(text)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    slurm = Slurm(folder)
    munge = ["--force", f"--socket={folder}/munge.socket", f"--key-file={key}"]
    munge += [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log"]
    daemons = [
        ["munged", "--foreground", f"--seed-file={folder}/munged.seed", *munge],
        ["slurmctld", "-D"],
        ["slurmd", "-D"],
    ]
    processes = []
    try:
        with (folder / "daemons.log").open("w") as log:
            for words in daemons:
                process = subprocess.Popen(words, env=slurm.environment, stdout=log, stderr=log)
                processes.append(process)
                time.sleep(1)
            _wait_until_idle(slurm, processes)
            yield slurm
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def _wait_until_idle(slurm: Slurm, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for _ in range(100):
        said = (slurm.folder / "daemons.log").read_text()
        assert all(process.poll() is None for process in processes), said
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"],
            env=slurm.environment,
            capture_output=True,
            text=True,
        )
        if done.stdout.strip() == "idle":
            return
        time.sleep(0.2)
    pytest.fail("Slurm's node did not become idle")
