"""The wheel as people install it: whole, and enough for the demo.

It builds and trains, so it runs only when asked for: ``make test-wheel`` (some minutes).
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import release
from commands import build_wheel, run

import pipeline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("ANOMAP_FULL"),
        reason="builds a wheel and runs the demo of it; ANOMAP_FULL=1 asks for it",
    ),
]
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bin`` of an environment with the wheel and, for speed, the packages of this one.

    A line in a ``.pth`` adds a folder without following the ``.pth`` files in it, so an editable
    anomap of this environment does not get in.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    run([*pip, "--ignore-installed", wheel], folder)
    site = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder)
    lines = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (Path(site.strip()) / "packages.pth").write_text("\n".join(lines) + "\n")
    return folder / "bin"


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    if subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip("no git checkout, so nobody knows which files belong to it")
    assert release.missing_from_wheel(wheel, ROOT) == []


def test_the_installed_package_is_that_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    run([installed / "python", "-c", release.CHECK], tmp_path)
    told = run([installed / "python", "-c", "import pipeline; print(pipeline.__file__)"], tmp_path)
    assert Path(told.strip()).is_relative_to(installed.parent)
    assert pipeline.__version__ in run([installed / "anomap", "--version"], tmp_path)


def test_the_installed_demo_works(installed: Path, tmp_path: Path) -> None:
    run([installed / "anomap", "demo", "--epochs", "1", "-o", "demo", "--quiet"], tmp_path)
    for name in ("report.html", "table.md", "cases.png", "run/calibration.json"):
        assert (tmp_path / "demo" / name).is_file(), name
