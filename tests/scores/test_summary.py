"""Scores to a summary: means, strata and what is undefined."""

import dataclasses
import math

import numpy as np
import pytest
from scored import SHAPE, THRESHOLD, brain_box, scores_of, summary_of, write_label

from pipeline.files.record.result import Threshold
from pipeline.scores.case_metrics import METRICS, ScoredCase
from pipeline.scores.evaluate import MethodScores


def test_the_summary_keeps_its_contract(cohort):
    scores = scores_of(*cohort)
    assert not scores.failures
    summary = summary_of(scores)
    assert summary["cohort"] == "toy"
    assert summary["n_cases"] == 5
    method = summary["methods"]["anomap"]
    for key in ("auroc", "auprc", "dice_oracle", "dice_at_threshold", "healthy_fp_rate"):
        low, high = method[key]["ci95"]
        assert low <= method[key]["mean"] <= high
    assert method["threshold"] == THRESHOLD.to_json()
    assert method["image_auroc"] == 1
    assert 0.5 < method["slice_auroc"] <= 1
    assert method["healthy_fp_ml"] == 0
    assert set(method["pooled"]) >= {"auroc", "auprc", "dice_oracle"}
    assert method["evaluations_per_slice"] == 3
    assert method["seconds_per_case"] == 4
    assert (method["n_healthy"], method["n_tumour"]) == (2, 3)


def test_means_are_over_the_tumour_cases_and_one_threshold_is_no_better(cohort):
    scores = scores_of(*cohort)
    method = summary_of(scores)["methods"]["anomap"]
    dices = [case.values["dice_oracle"] for case in scores.cases[:3]]
    assert method["dice_oracle"]["mean"] == pytest.approx(np.mean(dices))
    assert math.isnan(scores.cases[3].values["auroc"])
    assert scores.cases[3].healthy
    assert method["pooled"]["dice_oracle"] <= max(dices)
    assert method["dice_at_threshold"]["mean"] <= method["dice_oracle"]["mean"]


def test_a_healthy_cohort_has_false_positives_and_nothing_else(cohort):
    out, cases = cohort
    empty_label = write_label(out.parent, "case4", np.zeros(SHAPE, dtype=np.int16))
    scores = scores_of(out, [cases[3], empty_label], threshold=Threshold(value=0.2, rule="low"))
    method = summary_of(scores)["methods"]["anomap"]
    assert (method["n_healthy"], method["n_tumour"]) == (2, 0)
    assert 0.4 < method["healthy_fp_rate"]["mean"] < 0.6
    assert method["healthy_fp_ml_ci95"][0] <= method["healthy_fp_ml"]
    for key in ("auroc", "auprc", "dice_oracle", "dice_at_threshold", "lesion_sensitivity"):
        assert method[key] == {"mean": None, "ci95": None}
    assert method["image_auroc"] is method["slice_auroc"] is None
    assert set(method["pooled"].values()) == {None}


def test_a_tumour_cohort_has_no_healthy_figures(cohort):
    out, cases = cohort
    method = summary_of(scores_of(out, cases[:3]))["methods"]["anomap"]
    assert method["healthy_fp_ml"] is method["image_auroc"] is method["image_auroc_ci95"] is None
    assert method["slice_auroc"] is not None
    assert method["auroc"]["mean"] > 0.9


def test_sizes_are_counted_apart(cohort):
    scores = scores_of(*cohort)
    # Cubes of 3, 4 and 5 voxels a side, an eighth of a millilitre each.
    sizes_ml = [case.lesion_ml for case in scores.cases]
    assert sizes_ml == pytest.approx([27 / 8, 64 / 8, 125 / 8, 0, 0])
    by_size = summary_of(scores)["methods"]["anomap"]["by_size"]
    assert [stratum["n"] for stratum in by_size.values()] == [2, 1, 0]
    assert by_size["10-50 mL"]["auprc"] == pytest.approx(scores.cases[2].values["auprc"])
    assert by_size[">50 mL"]["dice_oracle"] is None
    ends = [dataclasses.replace(scores.cases[0], lesion_ml=size) for size in (10.0, 50.0)]
    strata = summary_of(MethodScores("m", tuple(ends)))["methods"]["anomap"]["by_size"]
    assert [stratum["n"] for stratum in strata.values()] == [0, 1, 1]


def test_a_new_metric_needs_one_entry(cohort, monkeypatch):
    def brain_voxels(case: ScoredCase) -> float:
        return float(case.scores.size)

    monkeypatch.setitem(METRICS, "brain_voxels", brain_voxels)
    method = summary_of(scores_of(*cohort))["methods"]["anomap"]
    assert method["brain_voxels"]["mean"] == brain_box().sum()
