"""Folders of maps to tables: a small cohort on disk whose numbers are known."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.loop import QUIET
from pipeline.errors import InputError
from pipeline.files.nifti import write_text, write_volume
from pipeline.scores import evaluation
from pipeline.scores.metrics import METRICS, ScoredCase

SHAPE = (12, 14, 10)
AFFINE = np.diag([-5.0, 5.0, 5.0, 1.0])  # a voxel is 0.125 mL
THRESHOLD: evaluation.Threshold = {"value": 0.5, "rule": "1 % of healthy brain"}


def _brain() -> np.ndarray:
    brain = np.zeros(SHAPE, dtype=bool)
    brain[1:11, 1:13, 1:9] = True
    return brain


def _label(width: int = 3) -> np.ndarray:
    """Cube of oedema with a core of one necrotic and the other voxels enhancing."""
    label = np.zeros(SHAPE, dtype=np.int16)
    label[2 : 2 + width, 2 : 2 + width, 2 : 2 + width] = 2
    label[3, 3, 3:5] = 4
    label[3, 3, 3] = 1
    return label


def _noise(seed: int) -> np.ndarray:
    return (0.4 * np.random.default_rng(seed).random(SHAPE)).astype(np.float32)


def _case(root: Path, name: str, label: np.ndarray | None = None) -> Case:
    if label is None:
        return Case(name, name, {}, healthy=True)
    path = root / "labels" / f"{name}_seg.nii.gz"
    write_volume(path, label, AFFINE)
    return Case(name, name, {}, label=ImageFile(path))


def _write(folder: Path, anomaly_map: np.ndarray, *, brain: bool = True, **result: object) -> None:
    write_volume(folder / "anomaly.nii.gz", anomaly_map.astype(np.float32), AFFINE)
    if brain:
        write_volume(folder / "brain_mask.nii.gz", _brain(), AFFINE)
    if result:
        write_text(folder / "result.json", json.dumps(result))


@pytest.fixture
def cohort(tmp_path: Path) -> tuple[Path, list[Case]]:
    """Three tumours and two healthy brains with maps that find the tumours."""
    cases = []
    for index in range(5):
        label = _label(3 + index) if index < 3 else None
        case = _case(tmp_path, f"case{index}", label)
        lesion = np.zeros(SHAPE, dtype=bool) if label is None else label > 0
        anomaly_map = _noise(index) + 0.3 * lesion
        spent = {"evaluations_per_slice": 3.0, "seconds": 2.0 + index, "score": 1.0}
        _write(tmp_path / "out" / case.name, anomaly_map, threshold=THRESHOLD, **spent)
        cases.append(case)
    return tmp_path / "out", cases


def _evaluate(out: Path, cases: list[Case], **options: object) -> evaluation.MethodScores:
    return evaluation.evaluate_folder(out, cases, execution=QUIET, **options)


def _summary(scores: evaluation.MethodScores) -> dict:
    """The summary as a reader of the file gets it."""
    return json.loads(evaluation.summarise({"anomap": scores}, "toy").text())


def test_the_summary_keeps_its_contract(cohort):
    scores = _evaluate(*cohort)
    assert not scores.failures
    summary = _summary(scores)
    assert summary["cohort"] == "toy"
    assert summary["n_cases"] == 5
    method = summary["methods"]["anomap"]
    for key in ("auroc", "auprc", "dice_oracle", "dice_at_threshold", "healthy_fp_rate"):
        low, high = method[key]["ci95"]
        assert low <= method[key]["mean"] <= high
    assert method["threshold"] == THRESHOLD
    assert method["image_auroc"] == 1
    assert 0.5 < method["slice_auroc"] <= 1
    assert method["healthy_fp_ml"] == 0
    assert set(method["pooled"]) >= {"auroc", "auprc", "dice_oracle"}
    assert method["evaluations_per_slice"] == 3
    assert method["seconds_per_case"] == 4
    assert (method["n_healthy"], method["n_tumour"]) == (2, 3)


def test_means_are_over_the_tumour_cases_and_one_threshold_is_no_better(cohort):
    scores = _evaluate(*cohort)
    method = _summary(scores)["methods"]["anomap"]
    dices = [case.values["dice_oracle"] for case in scores.cases[:3]]
    assert method["dice_oracle"]["mean"] == pytest.approx(np.mean(dices))
    assert math.isnan(scores.cases[3].values["auroc"])
    assert scores.cases[3].healthy
    assert method["pooled"]["dice_oracle"] <= max(dices)
    assert method["dice_at_threshold"]["mean"] <= method["dice_oracle"]["mean"]


def test_a_perfect_map_scores_1_and_its_inverse_0(tmp_path):
    cases = [_case(tmp_path, "tumour", _label()), _case(tmp_path, "healthy")]
    perfect = (_label() > 0).astype(np.float32)
    _write(tmp_path / "a" / "tumour", perfect)
    _write(tmp_path / "a" / "healthy", 0 * perfect)
    _write(tmp_path / "b" / "tumour", 1 - perfect)
    _write(tmp_path / "b" / "healthy", 2 + 0 * perfect)
    good = _summary(_evaluate(tmp_path / "a", cases, threshold=THRESHOLD))["methods"]["anomap"]
    for key in ("auroc", "auprc", "dice_oracle", "dice_at_threshold", "sensitivity", "lesion_f1"):
        assert good[key] == {"mean": 1, "ci95": None}, key
    assert good["pooled"]["auroc"] == good["pooled"]["auprc"] == good["pooled"]["dice_oracle"] == 1
    assert good["image_auroc"] == good["slice_auroc"] == 1
    assert good["regions"]["enhancing"]["auroc"]["mean"] == 1
    assert good["tumour_fp_ml"]["mean"] == 0
    bad = _summary(_evaluate(tmp_path / "b", cases, threshold=THRESHOLD))["methods"]["anomap"]
    assert bad["auroc"]["mean"] == bad["pooled"]["auroc"] == bad["image_auroc"] == 0
    assert bad["dice_at_threshold"]["mean"] == 0
    assert bad["healthy_fp_ml"] == pytest.approx(_brain().sum() * 0.125)
    assert bad["healthy_fp_rate"]["mean"] == 1


def test_the_background_has_no_influence(cohort):
    out, cases = cohort
    before = _summary(_evaluate(out, cases))
    for case in cases:
        loud = 100 * np.random.default_rng(9).random(SHAPE).astype(np.float32)
        old = evaluation.read_volume_or_zeros(out / case.name / "anomaly.nii.gz").data
        _write(out / case.name, np.where(_brain(), old, loud))
    assert _summary(_evaluate(out, cases)) == before


def test_a_missing_map_does_not_stop_the_others(cohort, tmp_path):
    out, cases = cohort
    (out / "case1" / "anomaly.nii.gz").unlink()
    write_text(out / "case2" / "result.json", "{")
    no_label = Case("unknown", "unknown", {})
    _write(out / "unknown", _noise(0))
    scores = _evaluate(out, [*cases, no_label])
    assert [case.name for case in scores.cases] == ["case0", "case3", "case4"]
    assert "case1/anomaly.nii.gz: no such map" in scores.failures["case1"]
    assert "JSON" in scores.failures["case2"]
    assert "no lesion label" in scores.failures["unknown"]
    evaluation.write_results(tmp_path, {"anomap": scores}, "toy")
    rows = list(csv.DictReader((tmp_path / "cases.csv").open()))
    assert [row["case"] for row in rows if row["error"]] == ["case1", "case2", "unknown"]
    assert json.loads((tmp_path / "summary.json").read_text())["n_cases"] == 3


def test_no_folder_at_all_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        _evaluate(tmp_path / "nowhere", [])


def _shifted(shift_mm: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] = shift_mm
    return affine


@pytest.mark.parametrize(
    ("shape", "affine", "reason"),
    [
        ((12, 14, 9), AFFINE, "shape"),
        (SHAPE, _shifted(1), "1 mm apart"),
        (SHAPE, _shifted(-1), "1 mm apart"),
        (SHAPE, AFFINE * [1.1, 1, 1, 1], "5.5 mm apart"),
    ],
)
def test_another_grid_than_the_labels_is_refused_with_both_names(tmp_path, shape, affine, reason):
    case = _case(tmp_path, "case", _label())
    write_volume(tmp_path / "out/case/anomaly.nii.gz", np.ones(shape, np.float32).cumsum(0), affine)
    scores = _evaluate(tmp_path / "out", [case], brain_mask_of=lambda case: _brain())
    for part in ("case/anomaly.nii.gz", "case_seg.nii.gz", reason, "resample"):
        assert part in scores.failures["case"]


def test_rounded_affines_are_one_grid(tmp_path):
    case = _case(tmp_path, "case", _label())
    _write(tmp_path / "out/case", _noise(0), brain=False)
    write_volume(tmp_path / "out/case/brain_mask.nii.gz", _brain(), AFFINE + 1e-4)
    assert not _evaluate(tmp_path / "out", [case]).failures


def test_foreign_maps_need_no_more_than_a_map(tmp_path):
    case = _case(tmp_path, "case", _label())
    _write(tmp_path / "out/case", _noise(0) + 0.3 * (_label() > 0), brain=False)
    assert "brain mask" in _evaluate(tmp_path / "out", [case]).failures["case"]
    wrong = _evaluate(tmp_path / "out", [case], brain_mask_of=lambda case: _brain()[:-1])
    assert "shape" in wrong.failures["case"]
    empty = _evaluate(tmp_path / "out", [case], brain_mask_of=lambda case: 0 * _brain())
    assert "empty" in empty.failures["case"]
    scores = _evaluate(tmp_path / "out", [case], brain_mask_of=lambda case: _brain())
    method = _summary(scores)["methods"]["anomap"]
    assert method["auroc"]["mean"] > 0.8
    assert method["threshold"] == {"value": None, "rule": None}
    assert method["dice_at_threshold"] == {"mean": None, "ci95": None}
    assert method["lesion_sensitivity"] == {"mean": None, "ci95": None}
    assert method["evaluations_per_slice"] is None
    assert method["seconds_per_case"] is None


def test_a_map_of_zeros_is_a_result(tmp_path):
    case = _case(tmp_path, "case", _label())
    _write(tmp_path / "out/case", np.zeros(SHAPE))
    scores = _evaluate(tmp_path / "out", [case], threshold=THRESHOLD)
    assert scores.cases[0].values["auroc"] == 0.5
    assert scores.cases[0].values["dice_at_threshold"] == 0
    _write(tmp_path / "out/case", np.full(SHAPE, np.nan))
    assert "NaN" in _evaluate(tmp_path / "out", [case]).failures["case"]


def test_the_methods_mask_stands_for_the_cut_map_at_its_own_threshold(tmp_path):
    case = _case(tmp_path, "case", _label())
    folder = tmp_path / "out/case"
    _write(folder, np.ones(SHAPE).cumsum(0), threshold=THRESHOLD)
    write_volume(folder / "mask.nii.gz", _label() > 0, AFFINE)
    assert _evaluate(tmp_path / "out", [case]).cases[0].values["dice_at_threshold"] == 1
    same = _evaluate(tmp_path / "out", [case], threshold=THRESHOLD)
    assert same.cases[0].values["dice_at_threshold"] == 1
    other = _evaluate(tmp_path / "out", [case], threshold={"value": 99.0, "rule": "other"})
    assert other.cases[0].values["dice_at_threshold"] == 0
    assert other.threshold["value"] == 99
    (folder / "result.json").unlink()
    foreign = _evaluate(tmp_path / "out", [case])
    assert foreign.cases[0].values["dice_at_threshold"] == 1
    assert foreign.threshold == {"value": None, "rule": "mask.nii.gz"}


def test_thresholds_that_differ_between_cases_are_not_averaged(cohort):
    out, cases = cohort
    write_text(out / "case0" / "result.json", '{"threshold": {"value": 0.1, "rule": "mine"}}')
    assert _evaluate(out, cases).threshold == {"value": None, "rule": "differs between cases"}
    write_text(out / "case0" / "result.json", '{"threshold": 0.1}')
    assert "threshold" in _evaluate(out, cases).failures["case0"]


def test_a_healthy_cohort_has_false_positives_and_nothing_else(cohort):
    out, cases = cohort
    empty_label = _case(out.parent, "case4", np.zeros(SHAPE, dtype=np.int16))
    scores = _evaluate(out, [cases[3], empty_label], threshold={"value": 0.2, "rule": "low"})
    method = _summary(scores)["methods"]["anomap"]
    assert (method["n_healthy"], method["n_tumour"]) == (2, 0)
    assert 0.4 < method["healthy_fp_rate"]["mean"] < 0.6
    assert method["healthy_fp_ml_ci95"][0] <= method["healthy_fp_ml"]
    for key in ("auroc", "auprc", "dice_oracle", "dice_at_threshold", "lesion_sensitivity"):
        assert method[key] == {"mean": None, "ci95": None}
    assert method["image_auroc"] is method["slice_auroc"] is None
    assert set(method["pooled"].values()) == {None}


def test_a_tumour_cohort_has_no_healthy_figures(cohort):
    out, cases = cohort
    method = _summary(_evaluate(out, cases[:3]))["methods"]["anomap"]
    assert method["healthy_fp_ml"] is method["image_auroc"] is method["image_auroc_ci95"] is None
    assert method["slice_auroc"] is not None
    assert method["auroc"]["mean"] > 0.9


def test_no_case_at_all_is_all_null():
    summary = _summary(evaluation.MethodScores("anomap", ()))
    assert summary["n_cases"] == 0
    assert summary["methods"]["anomap"]["auroc"] == {"mean": None, "ci95": None}
    assert "| anomap | - |" in evaluation.format_table(summary)


def test_sizes_are_counted_apart(cohort):
    scores = _evaluate(*cohort)
    # Cubes of 3, 4 and 5 voxels a side, an eighth of a millilitre each.
    sizes_ml = [case.lesion_ml for case in scores.cases]
    assert sizes_ml == pytest.approx([27 / 8, 64 / 8, 125 / 8, 0, 0])
    by_size = _summary(scores)["methods"]["anomap"]["by_size"]
    assert [stratum["n"] for stratum in by_size.values()] == [2, 1, 0]
    assert by_size["10-50 mL"]["auprc"] == pytest.approx(scores.cases[2].values["auprc"])
    assert by_size[">50 mL"]["dice_oracle"] is None
    ends = [dataclasses.replace(scores.cases[0], lesion_ml=size) for size in (10.0, 50.0)]
    strata = _summary(evaluation.MethodScores("m", tuple(ends)))["methods"]["anomap"]["by_size"]
    assert [stratum["n"] for stratum in strata.values()] == [0, 1, 1]


def test_lesion_outside_the_brain_mask_is_reported(tmp_path):
    label = _label()
    label[0, 0, 0] = 2
    case = _case(tmp_path, "case", label)
    _write(tmp_path / "out/case", (_label() > 0).astype(np.float32))
    scored = _evaluate(tmp_path / "out", [case]).cases[0]
    assert scored.lesion_outside_ml == pytest.approx(0.125)
    assert scored.values["dice_oracle"] == 1


def test_a_resection_cavity_is_neither_lesion_nor_healthy(tmp_path):
    label = np.where(_label() == 4, 3, _label()).astype(np.int16)
    label[7:9, 7:9, 5] = 4
    case = dataclasses.replace(_case(tmp_path, "case", label), label_scheme="brats2023")
    _write(tmp_path / "out/case", (label > 0).astype(np.float32))
    scored = _evaluate(tmp_path / "out", [case], threshold=THRESHOLD).cases[0]
    assert scored.values["precision"] == scored.values["auroc"] == 1
    cavity = np.where(label == 4, label, 0).astype(np.int16)
    only = dataclasses.replace(_case(tmp_path, "only", cavity), label_scheme="brats2023")
    _write(tmp_path / "out/only", _noise(0))
    assert "no tumour" in _evaluate(tmp_path / "out", [only]).failures["only"]


def test_pictures_are_scored_as_single_slices(tmp_path):
    picture = np.zeros((20, 30), dtype=np.uint8)
    picture[5:9, 5:9], picture[5, 9] = 255, 90  # a blurred edge below the cut
    Image.fromarray(picture).save(tmp_path / "case.png")
    label = evaluation.read_labels(tmp_path / "case.png")
    write_volume(tmp_path / "out/case/anomaly.nii.gz", label.data.astype(np.float32), label.affine)
    case = Case("case", "case", {}, label=ImageFile(tmp_path / "case.png"))
    scores = _evaluate(
        tmp_path / "out", [case], brain_mask_of=lambda case: np.ones(label.data.shape, bool)
    )
    assert scores.cases[0].values["auroc"] == 1
    np.testing.assert_array_equal(scores.cases[0].slice_lesion, [True])


def test_a_new_metric_needs_one_entry(cohort, monkeypatch):
    def brain_voxels(case: ScoredCase) -> float:
        return float(case.scores.size)

    monkeypatch.setitem(METRICS, "brain_voxels", brain_voxels)
    method = _summary(_evaluate(*cohort))["methods"]["anomap"]
    assert method["brain_voxels"]["mean"] == _brain().sum()


def test_tables_show_every_method(cohort, tmp_path):
    scores = _evaluate(*cohort)
    methods = {"anomap": scores, "blur_residual": evaluation.MethodScores("blur_residual", ())}
    summary = evaluation.write_results(tmp_path / "results", methods, "toy")
    assert json.loads((tmp_path / "results/summary.json").read_text()) == summary
    table = evaluation.format_table(summary).splitlines()
    assert len(table) == 4
    assert len({line.count("|") for line in table}) == 1
    auroc = summary["methods"]["anomap"]["auroc"]
    low, high = auroc["ci95"]
    assert f"| {auroc['mean']:.3f} [{low:.3f}, {high:.3f}] |" in table[2]
    rows = list(csv.DictReader(evaluation.format_csv(summary).splitlines()))
    assert [row["Method"] for row in rows] == ["anomap", "blur_residual"]
    assert float(rows[0]["AUROC"]) == pytest.approx(auroc["mean"], abs=1e-5)
    assert rows[1]["AUROC"] == ""
    cells = list(csv.DictReader((tmp_path / "results/cases.csv").open()))
    assert [row["case"] for row in cells] == [f"case{index}" for index in range(5)]
    assert cells[3]["auroc"] == ""
    assert cells[3]["healthy"] == "True"
    assert [float(row["seconds"]) for row in cells] == [2, 3, 4, 5, 6]
