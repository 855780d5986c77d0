"""Scans whose names say no modality: told by their voxels, or asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline import InputError, Selection
from pipeline.cases.loop import QUIET
from pipeline.cases.several import Paths, find_all
from pipeline.errors import NamelessError
from pipeline.study.contrast import told_contrast
from pipeline.study.phantoms import PhantomOptions, make_phantoms


@pytest.fixture(scope="module")
def nameless(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A synthetic brain in three contrasts, each in a file whose name says nothing."""
    folder = tmp_path_factory.mktemp("nameless")
    make_phantoms(
        folder / "made",
        options=PhantomOptions(n_healthy=1, n_tumour=0, spacing_mm=3.0, seed=3),
        selection=Selection(modalities=("flair", "t1", "t2")),
        execution=QUIET,
    )
    found = {}
    for name in ("flair", "t1", "t2"):
        (source,) = (folder / "made").rglob(f"*_{name}.nii.gz")
        found[name] = folder / f"in_{name}" / f"scan{len(found)}.nii.gz"
        found[name].parent.mkdir()
        shutil.copy(source, found[name])
    return found


def told(paths: Paths) -> str:
    with pytest.raises(NamelessError) as caught:
        find_all(paths)
    return told_contrast(caught.value, None)


@pytest.mark.parametrize("name", ["flair", "t2"])
def test_a_contrast_is_told_with_a_note(
    name: str, nameless: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    assert told(nameless[name]) == name
    assert f"recognised as {name}" in caplog.text


def test_what_is_not_certain_is_asked_for(nameless: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"scan1\.nii\.gz t1.* say it with --modality"):
        told(nameless["t1"])


def test_scans_of_several_contrasts_are_not_taken_as_one(nameless: dict[str, Path]) -> None:
    both = [nameless["flair"], nameless["t2"]]
    with pytest.raises(InputError, match=r"scan0\.nii\.gz flair.*scan2\.nii\.gz t2"):
        told(both)


def test_what_is_said_is_not_looked_at(nameless: dict[str, Path]) -> None:
    (case,) = find_all(nameless["flair"], Selection(modalities=("t1",))).cases
    assert list(case.images) == ["t1"]
