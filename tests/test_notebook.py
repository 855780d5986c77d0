"""The notebook of the docs runs from top to bottom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "python.ipynb"


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    options = ["-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", tmp_path, "-q"]
    command = [sys.executable, "-m", "pytest", "--nbmake", NOTEBOOK, *options, "-c", "/dev/null"]
    done = subprocess.run(
        [str(word) for word in command], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "1 passed" in done.stdout
    assert '"outputs": []' in NOTEBOOK.read_text()  # committed without its pictures
