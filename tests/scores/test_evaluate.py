"""Folders of maps to scores: a small cohort on disk whose numbers are known."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import former_records
import numpy as np
import pytest
from PIL import Image
from scored import (
    AFFINE,
    SHAPE,
    THRESHOLD,
    brain_box,
    label_cube,
    quiet_map,
    scores_of,
    summary_of,
    write_label,
    write_maps,
)

from pipeline.cases.case import Case, ImageFile
from pipeline.errors import InputError
from pipeline.files.images.nifti import write_volume
from pipeline.files.images.reading import read_labels, read_volume_or_zeros
from pipeline.files.images.volume import Volume
from pipeline.files.record.result import CaseResult, OutputFile, Threshold
from pipeline.files.writing import write_text
from pipeline.scores.tables import write_results


def test_a_perfect_map_scores_1_and_its_inverse_0(tmp_path):
    cases = [write_label(tmp_path, "tumour", label_cube()), write_label(tmp_path, "healthy")]
    perfect = (label_cube() > 0).astype(np.float32)
    write_maps(tmp_path / "a" / "tumour", perfect)
    write_maps(tmp_path / "a" / "healthy", 0 * perfect)
    write_maps(tmp_path / "b" / "tumour", 1 - perfect)
    write_maps(tmp_path / "b" / "healthy", 2 + 0 * perfect)
    good = summary_of(scores_of(tmp_path / "a", cases, threshold=THRESHOLD))["methods"]["anomap"]
    for key in ("auroc", "auprc", "dice_oracle", "dice_at_threshold", "sensitivity", "lesion_f1"):
        assert good[key] == {"mean": 1, "ci95": None}, key
    assert good["pooled"]["auroc"] == good["pooled"]["auprc"] == good["pooled"]["dice_oracle"] == 1
    assert good["image_auroc"] == good["slice_auroc"] == 1
    assert good["regions"]["enhancing"]["auroc"]["mean"] == 1
    assert good["tumour_fp_ml"]["mean"] == 0
    bad = summary_of(scores_of(tmp_path / "b", cases, threshold=THRESHOLD))["methods"]["anomap"]
    assert bad["auroc"]["mean"] == bad["pooled"]["auroc"] == bad["image_auroc"] == 0
    assert bad["dice_at_threshold"]["mean"] == 0
    assert bad["healthy_fp_ml"] == pytest.approx(brain_box().sum() * 0.125)
    assert bad["healthy_fp_rate"]["mean"] == 1


def test_the_background_has_no_influence(cohort):
    out, cases = cohort
    before = summary_of(scores_of(out, cases))
    for case in cases:
        loud = 100 * np.random.default_rng(9).random(SHAPE).astype(np.float32)
        old = read_volume_or_zeros(out / case.name / "anomaly.nii.gz").data
        write_maps(out / case.name, np.where(brain_box(), old, loud))
    assert summary_of(scores_of(out, cases)) == before


def test_a_missing_map_does_not_stop_the_others(cohort, tmp_path):
    out, cases = cohort
    (out / "case1" / "anomaly.nii.gz").unlink()
    write_text(out / "case2" / "result.json", "{")
    no_label = Case("unknown", "unknown", {})
    write_maps(out / "unknown", quiet_map(0))
    scores = scores_of(out, [*cases, no_label])
    assert [case.name for case in scores.cases] == ["case0", "case3", "case4"]
    assert "case1/anomaly.nii.gz: no such map" in scores.failures["case1"]
    assert "case2/result.json: not the result of a case" in scores.failures["case2"]
    assert "no lesion label" in scores.failures["unknown"]
    write_results(tmp_path, {"anomap": scores}, "toy")
    rows = list(csv.DictReader((tmp_path / "cases.csv").open()))
    assert [row["case"] for row in rows if row["error"]] == ["case1", "case2", "unknown"]
    assert json.loads((tmp_path / "summary.json").read_text())["n_cases"] == 3


def test_no_folder_at_all_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        scores_of(tmp_path / "nowhere", [])


def brain_of(mask: np.ndarray, affine: np.ndarray = AFFINE) -> Volume:
    return Volume(mask, affine, Path("image.nii.gz"))


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
    case = write_label(tmp_path, "case", label_cube())
    write_volume(tmp_path / "out/case/anomaly.nii.gz", np.ones(shape, np.float32).cumsum(0), affine)
    scores = scores_of(tmp_path / "out", [case], brain_mask_of=lambda case: brain_of(brain_box()))
    for part in ("case/anomaly.nii.gz", "case_seg.nii.gz", reason, "resample"):
        assert part in scores.failures["case"]


def test_rounded_affines_are_one_grid(tmp_path):
    case = write_label(tmp_path, "case", label_cube())
    write_maps(tmp_path / "out/case", quiet_map(0), brain=False)
    write_volume(tmp_path / "out/case/brain_mask.nii.gz", brain_box(), AFFINE + 1e-4)
    assert not scores_of(tmp_path / "out", [case]).failures


def test_foreign_maps_need_no_more_than_a_map(tmp_path):
    case = write_label(tmp_path, "case", label_cube())
    write_maps(tmp_path / "out/case", quiet_map(0) + 0.3 * (label_cube() > 0), brain=False)
    assert "brain mask" in scores_of(tmp_path / "out", [case]).failures["case"]
    wrong = scores_of(
        tmp_path / "out", [case], brain_mask_of=lambda case: brain_of(brain_box()[:-1])
    )
    assert "shape" in wrong.failures["case"]
    turned = np.diag([-1.0, 1, 1, 1]) @ AFFINE
    wrong = scores_of(
        tmp_path / "out", [case], brain_mask_of=lambda case: brain_of(brain_box(), turned)
    )
    assert "different grids (one shape" in wrong.failures["case"]
    empty = scores_of(
        tmp_path / "out", [case], brain_mask_of=lambda case: brain_of(0 * brain_box())
    )
    assert "empty" in empty.failures["case"]
    scores = scores_of(tmp_path / "out", [case], brain_mask_of=lambda case: brain_of(brain_box()))
    method = summary_of(scores)["methods"]["anomap"]
    assert method["auroc"]["mean"] > 0.8
    assert method["threshold"] == {"value": None, "rule": None}
    assert method["dice_at_threshold"] == {"mean": None, "ci95": None}
    assert method["lesion_sensitivity"] == {"mean": None, "ci95": None}
    assert method["evaluations_per_slice"] is None
    assert method["seconds_per_case"] is None


def test_a_map_of_zeros_is_a_result(tmp_path):
    case = write_label(tmp_path, "case", label_cube())
    write_maps(tmp_path / "out/case", np.zeros(SHAPE))
    scores = scores_of(tmp_path / "out", [case], threshold=THRESHOLD)
    assert scores.cases[0].values["auroc"] == 0.5
    assert scores.cases[0].values["dice_at_threshold"] == 0
    write_maps(tmp_path / "out/case", np.full(SHAPE, np.nan))
    assert "NaN" in scores_of(tmp_path / "out", [case]).failures["case"]


def test_the_methods_mask_stands_for_the_cut_map_at_its_own_threshold(tmp_path):
    case = write_label(tmp_path, "case", label_cube())
    folder = tmp_path / "out/case"
    write_maps(folder, np.ones(SHAPE).cumsum(0), threshold=THRESHOLD.to_json())
    write_volume(folder / "mask.nii.gz", label_cube() > 0, AFFINE)
    assert scores_of(tmp_path / "out", [case]).cases[0].values["dice_at_threshold"] == 1
    same = scores_of(tmp_path / "out", [case], threshold=THRESHOLD)
    assert same.cases[0].values["dice_at_threshold"] == 1
    other = scores_of(tmp_path / "out", [case], threshold=Threshold(value=99.0, rule="other"))
    assert other.cases[0].values["dice_at_threshold"] == 0
    assert other.threshold.value == 99
    (folder / "result.json").unlink()
    foreign = scores_of(tmp_path / "out", [case])
    assert foreign.cases[0].values["dice_at_threshold"] == 1
    assert foreign.threshold == Threshold(rule="mask.nii.gz")


def test_thresholds_that_differ_between_cases_are_not_averaged(cohort):
    out, cases = cohort
    write_text(out / "case0" / "result.json", '{"threshold": {"value": 0.1, "rule": "mine"}}')
    assert scores_of(out, cases).threshold == Threshold(rule="differs between cases")
    write_text(out / "case0" / "result.json", '{"threshold": 0.1}')
    assert "threshold" in scores_of(out, cases).failures["case0"]


def test_lesion_outside_the_brain_mask_is_reported(tmp_path):
    label = label_cube()
    label[0, 0, 0] = 2
    case = write_label(tmp_path, "case", label)
    write_maps(tmp_path / "out/case", (label_cube() > 0).astype(np.float32))
    scored = scores_of(tmp_path / "out", [case]).cases[0]
    assert scored.lesion_outside_ml == pytest.approx(0.125)
    assert scored.values["dice_oracle"] == 1


def test_a_resection_cavity_is_neither_lesion_nor_healthy(tmp_path):
    label = np.where(label_cube() == 4, 3, label_cube()).astype(np.int16)
    label[7:9, 7:9, 5] = 4
    case = dataclasses.replace(write_label(tmp_path, "case", label), label_scheme="brats2023")
    write_maps(tmp_path / "out/case", (label > 0).astype(np.float32))
    scored = scores_of(tmp_path / "out", [case], threshold=THRESHOLD).cases[0]
    assert scored.values["precision"] == scored.values["auroc"] == 1
    cavity = np.where(label == 4, label, 0).astype(np.int16)
    only = dataclasses.replace(write_label(tmp_path, "only", cavity), label_scheme="brats2023")
    write_maps(tmp_path / "out/only", quiet_map(0))
    assert "no tumour" in scores_of(tmp_path / "out", [only]).failures["only"]


def test_pictures_are_scored_as_single_slices(tmp_path):
    picture = np.zeros((20, 30), dtype=np.uint8)
    picture[5:9, 5:9], picture[5, 9] = 255, 90  # a blurred edge below the cut
    Image.fromarray(picture).save(tmp_path / "case.png")
    label = read_labels(tmp_path / "case.png")
    write_volume(tmp_path / "out/case/anomaly.nii.gz", label.data.astype(np.float32), label.affine)
    case = Case("case", "case", {}, label=ImageFile(tmp_path / "case.png"))
    scores = scores_of(
        tmp_path / "out",
        [case],
        brain_mask_of=lambda case: brain_of(np.ones(label.data.shape, bool), label.affine),
    )
    assert scores.cases[0].values["auroc"] == 1
    np.testing.assert_array_equal(scores.cases[0].slice_lesion, [True])


@pytest.mark.parametrize("name", ["anomaly.nii.gz", "mask.nii.gz", "brain_mask.nii.gz"])
def test_a_file_that_its_record_does_not_know_is_not_scored(cohort, name):
    out, cases = cohort
    folder = out / "case0"
    write_volume(folder / "mask.nii.gz", label_cube() > 0, AFFINE)
    result = CaseResult(files=tuple(OutputFile.of(p, name=p.name) for p in folder.glob("*.nii.gz")))
    result.write(folder / "result.json")
    assert not scores_of(out, cases).failures
    write_volume(folder / name, np.ones(SHAPE, np.float32).cumsum(0), AFFINE)
    assert f"case0/{name}: not the file that" in scores_of(out, cases).failures["case0"]


def test_results_of_the_first_version_are_read(cohort):
    out, cases = cohort
    write_text(out / "case0/result.json", json.dumps(former_records.result()))
    nans = {"seconds": math.nan, "evaluations_per_slice": math.nan, "p_value": None}
    write_text(out / "case1/result.json", json.dumps(former_records.result(**nans)))
    bare = former_records.result(threshold={"value": None, "rule": None}, p_value=None)
    write_text(out / "case2/result.json", json.dumps(bare))
    scores = scores_of(out, cases)
    assert not scores.failures
    first, second, third = scores.cases[:3]
    assert (first.p_value, first.evaluations_per_slice, first.seconds) == (0.25, 3, 2.5)
    assert math.isnan(second.seconds)
    assert math.isnan(second.evaluations_per_slice)
    assert math.isnan(second.p_value)
    assert first.values["dice_at_threshold"] > 0
    assert math.isnan(third.values["dice_at_threshold"])
