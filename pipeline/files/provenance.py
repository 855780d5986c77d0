"""What software made a result."""

from __future__ import annotations

import functools
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline import __version__
from pipeline.errors import printable
from pipeline.files.names import COMMIT
from pipeline.files.record.result import Software

PACKAGE = Path(__file__).parents[1]
"""The folder of the package `pipeline`."""


def command_line() -> str:
    """The command that this process was started with, as a shell takes it."""
    name = Path(sys.argv[0]).name
    command = ["anomap" if name == "__main__.py" else name, *sys.argv[1:]]
    return printable(shlex.join(command))


@functools.cache
def software() -> Software:
    """Versions, and the commit where the source is a git checkout ("+" where it was changed)."""
    return Software(
        anomap=__version__,
        commit=_commit(),
        python=platform.python_version(),
        torch=_version("torch"),
        monai=_version("monai"),
        numpy=_version("numpy"),
        scipy=_version("scipy"),
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    beside = PACKAGE / COMMIT
    if beside.is_file():
        return beside.read_text(encoding="utf-8").strip() or None
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
