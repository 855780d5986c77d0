"""Late fusion: rules that keep the stated rate, and what users get wrong."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pipeline.cases.loop import QUIET, Execution
from pipeline.cli.main import main
from pipeline.detection import fusion
from pipeline.detection.fusion import FusionOptions, fuse
from pipeline.files.record.result import CaseResult, OutputFile
from pipeline.maps.rarity import RULES, surprise
from pipeline.run.words import FALSE_POSITIVE_RATES
from pipeline.scores.case_metrics import top_mean

SHAPE = (30, 30, 30)
EXPONENTIAL = {f"{rate:g}": -math.log(rate) for rate in FALSE_POSITIVE_RATES}
"""Healthy thresholds of a map that is exponentially distributed, of mean 1."""


def brain_mask() -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2:-2, 2:-2, 2:-2] = True
    return mask


def write_case(folder: Path, values: np.ndarray, **changes: Any) -> Path:
    """A result of one case as detect leaves it; ``changes`` go into its result.json."""
    affine = changes.pop("affine", np.diag([2.0, 2.0, 2.0, 1.0]))
    modality = changes.pop("modality", "flair")
    brain = changes.pop("brain", brain_mask())
    settings = {"half_height": 0.0, "min_component_ml": 0.0} | changes.pop("settings", {})
    folder.mkdir(parents=True)
    for name, volume in (
        ("anomaly", values * brain),
        ("brain_mask", brain),
        ("pseudo_healthy", np.full(values.shape, 7.0 if modality == "flair" else 3.0)),
    ):
        nib.save(nib.Nifti1Image(volume.astype(np.float32), affine), folder / f"{name}.nii.gz")
    record = {
        "case": folder.name,
        "method": "anomap",
        "p_value": 0.04,
        "healthy_cases": 20,
        "healthy_thresholds": EXPONENTIAL,
        "evaluations_per_slice": 9,
        "seconds": 2.0,
        "slices": 30,
        "notes": [],
        "inputs": {modality: f"/data/{folder.name}_{modality}.nii.gz"},
        "provenance": {
            "inputs": [{"path": f"/data/{folder.name}_{modality}.nii.gz", "channel": None}],
            "modalities": [modality],
            **settings,
        },
    }
    (folder / "result.json").write_text(json.dumps(record | changes), encoding="utf-8")
    return folder


def exponential(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).exponential(1.0, SHAPE)


def read(folder: Path, name: str) -> np.ndarray:
    return np.asarray(nib.load(folder / name).dataobj)  # type: ignore[attr-defined]


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize("kind", ["independent", "same", "opposed"])
@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_healthy_voxels_are_called_no_more_often_than_stated(
    tmp_path: Path, rule: str, kind: str, rate: float
) -> None:
    first = exponential(0)
    second = {
        "independent": exponential(1),
        "same": first,
        "opposed": -np.log1p(-np.exp(-np.maximum(first, 1e-6))),
    }[kind]
    write_case(tmp_path / "a" / "p1", first)
    write_case(tmp_path / "b" / "p1", second, modality="t1")
    found = fuse(
        [tmp_path / "a", tmp_path / "b"],
        tmp_path / "out",
        options=FusionOptions(rule, rate),
        execution=QUIET,
    )
    assert (found.done, found.failed) == (("p1",), {})
    called = read(tmp_path / "out" / "p1", "mask.nii.gz")[brain_mask()].mean()
    assert called <= 1.2 * rate
    if (rule, kind) in {("any", "independent"), ("any", "opposed")}:
        assert called >= 0.7 * rate


def test_a_lesion_in_one_scan_alone_is_found_by_any(tmp_path: Path) -> None:
    seen = exponential(0)
    seen[10:16, 10:16, 10:16] = 12.0
    write_case(tmp_path / "a" / "p1", seen)
    write_case(tmp_path / "b" / "p1", exponential(1), modality="t1")
    fuse([tmp_path / "a", tmp_path / "b"], tmp_path / "out", execution=QUIET)
    assert read(tmp_path / "out" / "p1", "mask.nii.gz")[10:16, 10:16, 10:16].all()


def test_what_a_fused_case_holds(tmp_path: Path) -> None:
    write_case(tmp_path / "a" / "p1", exponential(0))
    write_case(tmp_path / "b" / "p1", exponential(1), modality="t1", p_value=0.2, healthy_cases=3)
    fuse([tmp_path / "a", tmp_path / "b"], tmp_path / "out", execution=QUIET)
    folder = tmp_path / "out" / "p1"
    record = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    expected = np.maximum(*(surprise(exponential(s), EXPONENTIAL) for s in (0, 1))) * brain_mask()
    np.testing.assert_allclose(read(folder, "anomaly.nii.gz"), expected, rtol=1e-4, atol=1e-5)
    assert record["p_value"] == pytest.approx(0.08)
    assert record["threshold"]["value"] == pytest.approx(2 + math.log10(2))
    assert record["evaluations_per_slice"] == 18
    assert record["healthy_cases"] == 3
    assert record["healthy_thresholds"] is None
    assert record["score"] == pytest.approx(float(top_mean(expected[brain_mask()])), rel=1e-4)
    assert list(record["inputs"]) == ["flair", "t1"]
    assert (read(folder, "pseudo_healthy_flair.nii.gz") == 7).all()
    assert (read(folder, "pseudo_healthy_t1.nii.gz") == 3).all()


def test_the_mean_of_p_values_is_geometric(tmp_path: Path) -> None:
    write_case(tmp_path / "a" / "p1", exponential(0), p_value=0.01)
    write_case(tmp_path / "b" / "p1", exponential(1), modality="t1", p_value=0.04)
    fuse(
        [tmp_path / "a", tmp_path / "b"],
        tmp_path / "out",
        options=FusionOptions("mean"),
        execution=QUIET,
    )
    record = json.loads((tmp_path / "out" / "p1" / "result.json").read_text(encoding="utf-8"))
    assert record["p_value"] == pytest.approx(math.e * 0.02)


def result(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return record


@pytest.mark.parametrize(("first", "second", "fused"), [(0.9, 0.8, 1.0), (0.04, None, None)])
def test_a_p_value_is_at_most_one_and_needs_all_runs(
    tmp_path: Path, first: float, second: float | None, fused: float | None
) -> None:
    write_case(tmp_path / "a" / "p1", exponential(0), p_value=first)
    write_case(tmp_path / "b" / "p1", exponential(1), modality="t1", p_value=second)
    fuse([tmp_path / "a", tmp_path / "b"], tmp_path / "out", execution=QUIET)
    assert result(tmp_path / "out" / "p1")["p_value"] == fused


def test_the_pseudo_healthy_image_is_that_of_the_first_run_with_the_modality(
    tmp_path: Path,
) -> None:
    write_case(tmp_path / "a" / "p1", exponential(0))
    other = write_case(tmp_path / "b" / "p1", exponential(1))
    image = nib.Nifti1Image(np.ones(SHAPE, np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    nib.save(image, other / "pseudo_healthy.nii.gz")
    fuse([tmp_path / "a", tmp_path / "b"], tmp_path / "out", execution=QUIET)
    assert (read(tmp_path / "out" / "p1", "pseudo_healthy.nii.gz") == 7).all()


def test_without_the_pseudo_healthy_image_of_a_modality_there_is_none(tmp_path: Path) -> None:
    write_case(tmp_path / "a" / "p1", exponential(0))
    other = write_case(tmp_path / "b" / "p1", exponential(1), modality="t1")
    (other / "pseudo_healthy.nii.gz").unlink()
    found = fuse([tmp_path / "a", tmp_path / "b"], tmp_path / "out", execution=QUIET)
    assert found.done == ("p1",)
    assert not list((tmp_path / "out" / "p1").glob("pseudo_healthy*"))


def test_what_lies_outside_a_run_s_own_brain_is_not_its_to_say(tmp_path: Path) -> None:
    smaller = brain_mask()
    smaller[:10] = False
    write_case(tmp_path / "a" / "p1", exponential(0))
    other = write_case(tmp_path / "b" / "p1", exponential(1), modality="t1", brain=smaller)
    stray = nib.Nifti1Image(np.full(SHAPE, 12.0, np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    nib.save(stray, other / "anomaly.nii.gz")
    fuse([tmp_path / "a", tmp_path / "b"], tmp_path / "out", execution=QUIET)
    only_first = brain_mask() & ~smaller
    expected = surprise(exponential(0), EXPONENTIAL)
    merged = read(tmp_path / "out" / "p1", "anomaly.nii.gz")
    np.testing.assert_allclose(merged[only_first], expected[only_first], rtol=1e-4, atol=1e-5)
    assert not merged[~brain_mask()].any()


def test_a_result_that_is_being_replaced_does_not_count_as_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    write_case(folders[0] / "p1", exponential(0))
    write_case(folders[1] / "p1", exponential(1), modality="t1")
    fuse(folders, tmp_path / "out", execution=QUIET)

    def fail(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(fusion, "write_result", fail)
    found = fuse(folders, tmp_path / "out", execution=Execution(progress=False, overwrite=True))
    assert not found.done
    assert "no space left" in found.failed["p1"]
    assert not (tmp_path / "out" / "p1" / "result.json").exists()


def test_a_voxel_outside_one_brain_counts_by_the_other(tmp_path: Path) -> None:
    smaller = brain_mask()
    smaller[:10] = False
    seen = exponential(0)
    seen[4:8, 10:16, 10:16] = 12.0
    write_case(tmp_path / "a" / "p1", seen)
    write_case(tmp_path / "b" / "p1", exponential(1), modality="t1", brain=smaller)
    fuse([tmp_path / "a", tmp_path / "b"], tmp_path / "out", execution=QUIET)
    folder = tmp_path / "out" / "p1"
    assert (read(folder, "brain_mask.nii.gz") > 0).sum() == brain_mask().sum()
    assert read(folder, "mask.nii.gz")[4:8, 10:16, 10:16].all()


@pytest.mark.parametrize("other", [{}, {"half_height": 0.0}, {"min_component_ml": 0.0}])
def test_masks_end_at_half_height_if_all_inputs_do_and_drop_small_parts_if_one_does(
    tmp_path: Path, other: dict[str, float]
) -> None:
    seen = np.zeros(SHAPE)
    seen[8:18, 8:18, 8:18] = 40.0
    seen[20:24, 8:18, 8:18] = 10.0  # above the threshold, below half the height
    seen[4, 4, 4] = 40.0
    settings = {"half_height": 0.5, "min_component_ml": 0.5}
    write_case(tmp_path / "a" / "p1", seen, settings=settings)
    write_case(tmp_path / "b" / "p1", seen, modality="t1", settings={**settings, **other})
    fuse([tmp_path / "a", tmp_path / "b"], tmp_path / "out", execution=QUIET)
    expected = np.zeros(SHAPE, dtype=bool)
    expected[8:18, 8:18, 8:18] = True
    expected[20:24, 8:18, 8:18] = "half_height" in other
    np.testing.assert_array_equal(read(tmp_path / "out" / "p1", "mask.nii.gz") > 0, expected)


def test_a_finished_case_is_kept_and_another_rule_asks(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    write_case(folders[0] / "p1", exponential(0))
    write_case(folders[1] / "p1", exponential(1), modality="t1")
    fuse(folders, tmp_path / "out", execution=QUIET)
    before = (tmp_path / "out" / "p1" / "anomaly.nii.gz").stat().st_mtime_ns
    assert fuse(folders, tmp_path / "out", execution=QUIET).done == ("p1",)
    assert (tmp_path / "out" / "p1" / "anomaly.nii.gz").stat().st_mtime_ns == before
    found = fuse(folders, tmp_path / "out", options=FusionOptions("mean"), execution=QUIET)
    assert "other settings" in found.failed["p1"]
    fuse(
        folders,
        tmp_path / "out",
        options=FusionOptions("mean"),
        execution=Execution(progress=False, overwrite=True),
    )
    assert (tmp_path / "out" / "p1" / "anomaly.nii.gz").stat().st_mtime_ns != before


def test_a_bad_case_does_not_stop_the_others(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for i, name in enumerate(
        ("good", "fused", "grid", "mask", "old", "scan", "torn", "void", "weak")
    ):
        write_case(folders[0] / name, exponential(i))
        if name != "torn":
            changes: dict[str, Any] = {
                "fused": {"method": "fused", "healthy_thresholds": None},
                "grid": {"affine": np.diag([2.0, 2.0, 3.0, 1.0])},
                "old": {"healthy_thresholds": None},
                "scan": {"modality": "flair", "inputs": {"flair": "/data/other.nii.gz"}},
                "void": {"brain": np.zeros(SHAPE, dtype=bool)},
                "weak": {"healthy_thresholds": {"0.1": 2.0, "0.01": 1.0}},
            }.get(name, {})
            write_case(folders[1] / name, exponential(9 + i), **{"modality": "t1", **changes})
    write_case(folders[1] / "alone", exponential(5))
    image = nib.Nifti1Image(np.ones((9, 9, 9), np.float32), np.eye(4))
    nib.save(image, folders[1] / "mask" / "brain_mask.nii.gz")
    (folders[1] / "torn").mkdir()
    (folders[1] / "torn" / "result.json").write_text("{", encoding="utf-8")
    found = fuse(folders, tmp_path / "out", execution=QUIET)
    assert found.done == ("good",)
    for name, words in {
        "fused": "fused already",
        "grid": "different grids",
        "mask": "not on the grid of",
        "old": "no healthy thresholds",
        "scan": "same scans",
        "torn": "not the result of a case (",
        "void": "empty",
        "weak": "not below that of 0.1",
        "alone": "no result in",
    }.items():
        assert words in found.failed[name]


def test_results_of_one_image_under_two_names_are_fused_and_of_two_under_one_are_not(
    tmp_path: Path,
) -> None:
    """The second folder says what its image held, under another path, or under the same."""
    for place, name in enumerate("ab"):
        for case, path, content in (
            ("moved", f"/{name}/x_flair.nii.gz", "0" * 64),
            ("replaced", "/a/x_flair.nii.gz", f"{place}" * 64),
        ):
            file = {"path": path, "role": "flair", "sha256": content}
            provenance = {"inputs": [file], "modalities": ["flair"], "weights_sha256": name * 64}
            changes = {"inputs": {"flair": path}, "provenance": provenance}
            write_case(tmp_path / name / case, exponential(place), **changes)
    found = fuse([tmp_path / "a", tmp_path / "b"], tmp_path / "out", execution=QUIET)
    assert found.done == ("moved",)
    assert "they differ; fuse results of the same scans" in found.failed["replaced"]
    result = CaseResult.read(tmp_path / "out" / "moved" / "result.json")
    assert result.provenance is not None
    assert len(result.provenance.inputs) == 1


def test_a_copy_of_a_result_and_a_map_of_another_are_refused(tmp_path: Path) -> None:
    file = {"path": "/x_flair.nii.gz", "role": "flair", "sha256": "0" * 64}
    for place, name in enumerate("ab"):
        for case, seed in (("copied", 0), ("replaced", place)):
            provenance = {"inputs": [file], "modalities": ["flair"], "seed": seed}
            folder = write_case(tmp_path / name / case, exponential(0), provenance=provenance)
            record = json.loads((folder / "result.json").read_text())
            record["files"] = [
                OutputFile.of(path, name=path.name).to_json() for path in folder.glob("*.nii.gz")
            ]
            (folder / "result.json").write_text(json.dumps(record), encoding="utf-8")
    other = tmp_path / "a" / "copied" / "pseudo_healthy.nii.gz"
    shutil.copyfile(other, tmp_path / "b" / "replaced" / "anomaly.nii.gz")
    found = fuse([tmp_path / "a", tmp_path / "b"], tmp_path / "out", execution=QUIET)
    assert "one result twice" in found.failed["copied"]
    assert "anomaly.nii.gz: not the file that result.json" in found.failed["replaced"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a"], "two or more"),
        (["a", "a"], "twice"),
        (["a", "nothere"], "no such folder"),
        (["a", "empty"], "no results in it"),
        (["a", "other"], "no case is in all of"),
        (["a", "b", "--rule", "vote"], "no rule 'vote'; choose from any, mean"),
        (["a", "b", "--false-positive-rate", "0.5"], "is calibrated; got 0.5"),
        (["a", "b", "-o", "b"], "is one of the results"),
    ],
)
def test_mistakes_are_told_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    write_case(tmp_path / "a" / "p1", exponential(0))
    write_case(tmp_path / "b" / "p1", exponential(1))
    write_case(tmp_path / "other" / "p2", exponential(1))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["fuse", "-o", "out", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_fuses_maps_of_a_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_case(tmp_path / "bench" / "maps" / "anomap" / "p1", exponential(0))
    write_case(tmp_path / "b" / "p1", exponential(1), modality="t1")
    monkeypatch.chdir(tmp_path)
    assert main(["fuse", "bench", "b", "-o", "out"]) == 0
    assert "1 case in out" in capsys.readouterr().out
    assert main(["report", "out"]) == 0
