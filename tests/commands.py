"""Commands that tests run as a user would, in another process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def run(command: Sequence[object], cwd: Path, **environment: str) -> str:
    """Standard output of a command that must succeed."""
    base = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=base | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def build_wheel(checkout: Path, folder: Path) -> Path:
    """The wheel of a checkout, made of a copy, so that no earlier build gets into it."""
    source = folder / "source"
    for name in ("pipeline", "bundles"):
        shutil.copytree(checkout / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(checkout / name, source)
    wheel = ["-m", "pip", "wheel", "--quiet", "--no-deps", source, "-w", folder / "made"]
    run([sys.executable, *wheel], folder)
    (made,) = (folder / "made").iterdir()
    return made
