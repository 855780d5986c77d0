"""summary.json and curves.json: metrics are further keys, each of them described."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from records import FORMER, method_summary

from pipeline.errors import InputError
from pipeline.files.record.summary import Curves, Mean, MethodSummary, Summary


def test_every_further_key_is_a_mean() -> None:
    scores = method_summary(auprc=Mean(mean=0.5, ci95=(0.4, 0.6)))
    assert set(scores.means) == {"auroc", "dice_oracle", "auprc"}
    tree = scores.to_json()
    assert tree["auprc"] == {"mean": 0.5, "ci95": [0.4, 0.6]}
    assert MethodSummary.model_validate_json(json.dumps(tree)) == scores


def test_a_further_key_that_is_no_mean_is_refused() -> None:
    tree = dict(FORMER[Summary])
    tree["methods"] = {"anomap": tree["methods"]["anomap"] | {"aucroc": 0.9}}
    with pytest.raises(InputError, match=r"summary.json: .*\(methods.anomap.aucroc: "):
        Summary.parse(json.dumps(tree), Path("summary.json"))


def test_intervals_of_version_1_read() -> None:
    ours = Summary.parse(json.dumps(FORMER[Summary]), Path("summary.json")).methods["anomap"]
    assert ours.healthy_fp_ml_ci95 == (3.0, 4.0)
    assert ours.means["lesion_f1"] == Mean(mean=None, ci95=None)
    assert ours.regions["enhancing"].auroc.ci95 == (0.8, 1.0)


def test_curves_of_unequal_length_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    curve = {"fpr": [0.0, 1.0], "tpr": [0.0], "recall": [], "precision": []}
    path.write_text(json.dumps({"methods": {"anomap": curve}}))
    with pytest.raises(InputError, match="as many values of fpr as of tpr"):
        Curves.read(path)


def test_a_mean_that_a_file_lacks_is_undefined() -> None:
    assert method_summary().mean_of("auprc") == Mean(mean=None)
    assert method_summary().mean_of("auroc").mean == 0.9
