"""The public Python API: what `pipeline` offers, and what importing it costs."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
from pipeline import Selection, detect

HEAVY = ("torch", "monai", "numpy", "scipy", "nibabel", "matplotlib", "pydantic")


@pytest.mark.parametrize("name", pipeline.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(pipeline, name)
    assert name in dir(pipeline)
    if callable(value):
        assert inspect.getdoc(value)


def test_importing_it_imports_nothing_heavy() -> None:
    code = f"import sys, pipeline; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[]"


def test_no_public_name_is_hidden_by_a_room() -> None:
    """An imported sub-package becomes an attribute, and would stand before a function."""
    package = Path(pipeline.__file__).parent
    rooms = [path.parent.name for path in package.glob("*/__init__.py")]
    assert len(rooms) > 10
    for room in rooms:
        importlib.import_module(f"pipeline.{room}")
    assert not set(rooms) & set(pipeline.__all__)
    assert inspect.isfunction(pipeline.detect)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pipeline.nothing  # noqa: B018


def test_a_function_takes_one_path_and_refuses_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(pipeline.InputError, match="no such file or folder"):
        detect(
            tmp_path / "scan.nii.gz",
            tmp_path / "out",
            selection=Selection(modalities=("flair",)),
        )
