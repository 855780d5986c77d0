"""Cohorts on disk, and tumours in brains that are given."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from pipeline.cases.case import Case
from pipeline.cases.loop import QUIET
from pipeline.errors import InputError
from pipeline.files.folder.lock import locked
from pipeline.phantom.cohort import CohortPlan, write_cohort, write_inserted_cohort
from pipeline.phantom.subject import Phantom, make_phantom

ONE_OF_EACH = CohortPlan(["flair"], n_healthy=1, n_tumour=1)


def small_cohort(folder: Path, plan: CohortPlan = ONE_OF_EACH, spacing_mm: float = 4.0) -> Path:
    assert write_cohort(folder, plan, spacing_mm=spacing_mm, execution=QUIET) == {}
    return folder


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_cohort(tmp_path_factory.mktemp("cohort") / "out")


def test_a_cohort_is_laid_out_as_brats(cohort: Path) -> None:
    files = sorted(str(p.relative_to(cohort)) for p in cohort.rglob("*.nii.gz"))
    assert files == [
        "healthy/phantom_h000/phantom_h000_flair.nii.gz",
        "tumour/phantom_t000/phantom_t000_flair.nii.gz",
        "tumour/phantom_t000/phantom_t000_seg.nii.gz",
    ]
    seg = nib.load(cohort / files[2])
    assert seg.get_data_dtype() == np.uint8
    record = json.loads((cohort / "cohort.json").read_text())
    facts = record["cases"]["phantom_t000"]["tumour"]
    counted = (np.asarray(seg.dataobj) > 0).sum() * 0.064
    assert facts["volume_ml"] == pytest.approx(counted, abs=0.01)
    assert record["arguments"]["seed"] == 0


def test_the_file_holds_the_phantom(cohort: Path) -> None:
    image = nib.load(cohort / "tumour/phantom_t000/phantom_t000_flair.nii.gz")
    rng = np.random.default_rng([0, 1, 0])
    made = make_phantom(rng, ["flair"], tumour=True, spacing_mm=4.0)
    np.testing.assert_array_equal(np.asarray(image.dataobj), np.rint(made.images["flair"]))
    np.testing.assert_allclose(image.affine, made.affine)


def test_a_second_call_makes_only_what_is_missing(cohort: Path) -> None:
    kept = cohort / "healthy/phantom_h000/phantom_h000_flair.nii.gz"
    lost = cohort / "tumour/phantom_t000/phantom_t000_seg.nii.gz"
    before, content = kept.stat().st_mtime_ns, np.asarray(nib.load(lost).dataobj)
    lost.unlink()
    small_cohort(cohort)
    assert kept.stat().st_mtime_ns == before
    np.testing.assert_array_equal(np.asarray(nib.load(lost).dataobj), content)


@pytest.mark.parametrize("keep", [0, 999])
def test_a_torn_image_is_made_anew(cohort: Path, keep: int) -> None:
    torn = cohort / "tumour/phantom_t000/phantom_t000_flair.nii.gz"
    content = torn.read_bytes()
    torn.write_bytes(content[:keep] + (b"" if keep else b"no gzip"))
    small_cohort(cohort)
    assert torn.read_bytes() == content


def test_a_case_does_not_depend_on_how_many_others_are_made(cohort: Path, tmp_path: Path) -> None:
    larger = small_cohort(tmp_path / "larger", CohortPlan(["flair"], 0, 2))
    name = "tumour/phantom_t000/phantom_t000_flair.nii.gz"
    one, other = (np.asarray(nib.load(folder / name).dataobj) for folder in (cohort, larger))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("plan", "spacing_mm"),
    [
        (replace(ONE_OF_EACH, seed=1), 4.0),
        (ONE_OF_EACH, 5.0),
        (replace(ONE_OF_EACH, n_tumour=0), 4.0),
    ],
    ids=["seed", "spacing", "fewer"],
)
def test_a_different_cohort_in_the_folder_is_refused(
    cohort: Path, plan: CohortPlan, spacing_mm: float
) -> None:
    with pytest.raises(InputError, match="choose another folder"):
        small_cohort(cohort, plan, spacing_mm)


def test_a_cohort_of_a_former_version_is_gone_on_with(cohort: Path, tmp_path: Path) -> None:
    former = tmp_path / "former"
    shutil.copytree(cohort, former)
    content = json.loads((former / "cohort.json").read_text())
    assert content.pop("schema_version") == 2
    (former / "cohort.json").write_text(json.dumps(content))
    image = former / "healthy/phantom_h000/phantom_h000_flair.nii.gz"
    before = image.stat().st_mtime_ns
    small_cohort(former, replace(ONE_OF_EACH, n_healthy=2))
    assert image.stat().st_mtime_ns == before
    now = json.loads((former / "cohort.json").read_text())
    assert now["schema_version"] == 2
    del now["cases"]["phantom_h001"]
    assert now["cases"] == content["cases"]


def test_a_phantom_that_cannot_be_made_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(rng: np.random.Generator, *arguments: object, tumour: bool, **options: object) -> None:
        if tumour:
            raise InputError("no tumour today")
        return make_phantom(rng, *arguments, tumour=tumour, **options)

    monkeypatch.setattr("pipeline.phantom.cohort.make_phantom", make)
    failed = write_cohort(tmp_path, ONE_OF_EACH, spacing_mm=4.0, execution=QUIET)
    assert failed == {"phantom_t000": "no tumour today"}
    record = json.loads((tmp_path / "cohort.json").read_text())
    assert list(record["cases"]) == ["phantom_h000"]
    assert record["failed"] == failed


def test_tumours_go_into_real_brains_and_a_bad_case_does_not_stop_the_others(
    healthy: Phantom, tmp_path: Path
) -> None:
    cases = [Case(name, name, {}) for name in ("a", "b", "broken")]

    def load_brain(case: Case) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        if case.name == "broken":
            raise InputError("broken: the file is cut short")
        return {"flair": healthy.images["flair"] + 5}, healthy.brain_mask, healthy.affine

    plan = CohortPlan(["flair"], n_healthy=1)
    out = tmp_path
    failed = write_inserted_cohort(out, cases, plan, load_brain, execution=QUIET)
    record = json.loads((out / "cohort.json").read_text())
    assert sorted(record["cases"]) == ["a_healthy", "a_tumour", "b_tumour"]
    assert record["failed"] == {"broken_tumour": "broken: the file is cut short"}
    assert failed == record["failed"]
    copy = nib.load(out / "healthy/a_healthy/a_healthy_flair.nii.gz")
    data = np.asarray(copy.dataobj)
    assert (data[~healthy.brain_mask] == 0).all()
    np.testing.assert_array_equal(
        data[healthy.brain_mask], healthy.images["flair"][healthy.brain_mask] + 5
    )
    a, b = (
        np.asarray(nib.load(out / f"tumour/{n}_tumour/{n}_tumour_seg.nii.gz").dataobj) for n in "ab"
    )
    assert a.any()
    assert b.any()
    assert (a != b).any()


def test_no_usable_case_is_an_error(tmp_path: Path) -> None:
    def load_brain(case: Case) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        raise InputError(f"{case.name}: nothing there")

    with pytest.raises(InputError, match="x: nothing there"):
        write_inserted_cohort(
            tmp_path,
            [Case("x", "x", {})],
            CohortPlan(["t1"], n_healthy=1, n_tumour=0),
            load_brain,
            execution=QUIET,
        )


def test_a_file_that_is_not_ours_is_refused_before_any_phantom(tmp_path: Path) -> None:
    theirs = tmp_path / "tumour/phantom_t000/phantom_t000_seg.nii.gz"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("drawn by hand")
    with pytest.raises(InputError, match=r"phantom_t000_seg\.nii\.gz: there is a file that anomap"):
        write_cohort(tmp_path, ONE_OF_EACH, spacing_mm=4.0, execution=QUIET)
    assert theirs.read_text() == "drawn by hand"
    assert not (tmp_path / "healthy").exists()


def test_one_process_at_a_time_makes_a_cohort_and_clears_what_was_left(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(InputError, match="in use by another anomap"):
        write_cohort(tmp_path, ONE_OF_EACH, spacing_mm=4.0, execution=QUIET)
    left = tmp_path / "healthy/phantom_h000/.part-0badcafe-phantom_h000_flair.nii.gz"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    small_cohort(tmp_path)
    assert not left.exists()


def test_a_folder_that_takes_nothing_is_told_before_any_phantom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = SimpleNamespace(f_bavail=1000, f_frsize=1000, f_blocks=1000)
    monkeypatch.setattr(os, "statvfs", lambda path: told)
    with pytest.raises(InputError, match=r"1.0 MB are free there, and at least 2.1 MB are needed"):
        write_cohort(tmp_path / "out", ONE_OF_EACH, spacing_mm=1.0, execution=QUIET)
