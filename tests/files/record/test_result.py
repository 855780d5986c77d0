"""result.json: those of other methods, former ones, and what makes two results the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from records import EXAMPLES, FORMER_FUSED, FORMER_RESULT

from pipeline.errors import InputError
from pipeline.files.record.result import CaseResult, Provenance, Threshold

SOURCE = Path("out/p1/result.json")


def parsed(**content: Any) -> CaseResult:
    return CaseResult.parse(json.dumps(content), SOURCE)


def test_a_result_may_say_nothing() -> None:
    assert parsed() == CaseResult()


def test_a_result_of_another_method_may_say_more() -> None:
    read = parsed(
        method="nnunet",
        score=1,
        folds=[0, 1],
        threshold={"value": 0.5, "rule": "chosen", "metric": "dice"},
        software={"nnunet": "2.5", "cuda": 12.4, "torch": "2.13.0"},
        provenance={"method": "nnunet", "plans": {}, "inputs": [{"path": "a", "md5": "0"}]},
    )
    assert read.method == "nnunet"
    assert read.threshold == Threshold(value=0.5, rule="chosen")
    assert read.software is not None
    assert read.software.to_json()["nnunet"] == "2.5"
    assert read.provenance is not None
    assert read.provenance.inputs[0].path == "a"


@pytest.mark.parametrize("stated", [0.5, {"valu": 0.5}, {"rule": "chosen"}, {"value": "0.5"}, []])
def test_a_threshold_that_is_none_is_refused(stated: object) -> None:
    with pytest.raises(InputError, match=r"result.json: not the result of a case \(threshold"):
        parsed(threshold=stated)


def test_a_threshold_of_null_says_that_there_is_none() -> None:
    assert parsed(threshold={"value": None}).threshold == Threshold()
    assert parsed(threshold=None).threshold is None


INPUT = ("path", "channel", "bytes", "modified_ns")
"""What version 1 said of a file."""


def test_version_1_keeps_every_value() -> None:
    for former in (FORMER_RESULT, FORMER_FUSED):
        read = CaseResult.parse(json.dumps(former), SOURCE).to_json()
        assert [file["name"] for file in read["files"]] == former["files"]
        assert {key: read[key] for key in former if key not in ("provenance", "files")} == {
            key: former[key] for key in former if key not in ("provenance", "files")
        }
        made, now = former["provenance"], read["provenance"]
        assert [{key: file[key] for key in INPUT} for file in now["inputs"]] == made["inputs"]
        assert {key: now[key] for key in made if key not in ("fused", "inputs")} == {
            key: made[key] for key in made if key not in ("fused", "inputs")
        }
    assert [part["modalities"] for part in read["provenance"]["fused"]] == [["flair"], ["t1"]]


def test_the_provenance_of_a_file_equals_that_of_which_it_was_written(tmp_path: Path) -> None:
    result = EXAMPLES[CaseResult]
    assert isinstance(result, CaseResult)
    assert result.provenance is not None
    result.write(tmp_path / "result.json")
    read = CaseResult.read(tmp_path / "result.json").provenance
    assert read is not None
    assert read.changes(result.provenance) == []


def test_changes_are_named() -> None:
    before = Provenance(method="anomap", seed=0, settings={"draws": 3})
    now = before.model_copy(update={"seed": 1, "settings": {"draws": 1}})
    assert before.changes(now) == ["seed", "settings"]
    assert before.changes(before) == []


def test_the_mask_is_cut_where_the_record_says() -> None:
    assert CaseResult().mask_cut is None
    assert CaseResult(threshold=Threshold(value=2.0)).mask_cut == 2.0
    assert CaseResult(threshold=Threshold(value=2.0), cut=2.5).mask_cut == 2.5


@pytest.mark.parametrize("p_value", [-0.1, 1.1])
def test_a_p_value_lies_between_0_and_1(p_value: float) -> None:
    with pytest.raises(InputError, match="p_value"):
        parsed(p_value=p_value)
