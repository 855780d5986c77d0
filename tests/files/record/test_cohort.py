"""``cohort.json``: its two kinds, and that of a former version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.files.record.cohort import InsertedFacts, PhantomFacts, SyntheticCohort

TUMOUR = {
    **{"volume_ml": 14.464, "necrosis_ml": 0.0, "oedema_ml": 8.128, "enhancing_ml": 6.336},
    **{"contrast": {"flair": "iso"}, "centre_mm": [-152.7, 159.2, 60.0], "push_mm": 2.1},
}
PHANTOMS = {
    "arguments": {
        **{"source": "phantom", "modalities": ["flair"], "seed": 3},
        **{"spacing_mm": 4.0, "contrast": "mixed"},
    },
    "cases": {
        "phantom_h000": {
            **{"spacing_mm": 4.0, "age": 0.651, "ventricles_mm": 4.84},
            "scale": [0.912, 0.9, 0.915],
        },
        "phantom_t000": {
            **{"spacing_mm": 4.0, "age": 0.336, "ventricles_mm": -0.23},
            **{"scale": [0.966, 0.937, 0.952], "tumour": TUMOUR},
        },
    },
    "failed": {},
}
INSERTED = {
    "arguments": {
        **{"source": "inserted", "on": ["a", "b"], "modalities": ["flair"]},
        **{"seed": 0, "contrast": "bright"},
    },
    "cases": {"a_healthy": {"subject": "a"}, "b_tumour": {"subject": "b", "tumour": TUMOUR}},
    "failed": {"a_tumour": "a: the file is cut short"},
}


@pytest.mark.parametrize("tree", [PHANTOMS, INSERTED], ids=["phantoms", "inserted"])
def test_a_record_of_version_1_keeps_its_content_and_order(tree: dict, tmp_path: Path) -> None:
    path = tmp_path / "cohort.json"
    path.write_text(json.dumps(tree))
    SyntheticCohort.read(path).write(path)
    expected = {"schema_version": 2, **tree}
    assert json.dumps(json.loads(path.read_text())) == json.dumps(expected)
    assert SyntheticCohort.of(tmp_path) == SyntheticCohort.parse(json.dumps(tree), path)


def test_what_a_case_is_follows_from_its_facts() -> None:
    for tree, kind in ((PHANTOMS, PhantomFacts), (INSERTED, InsertedFacts)):
        record = SyntheticCohort.parse(json.dumps(tree), Path("cohort.json"))
        assert all(isinstance(facts, kind) for facts in record.cases.values())


def test_a_record_that_is_something_else_is_refused(tmp_path: Path) -> None:
    for tree in ({"cases": {}}, {**PHANTOMS, "arguments": {"source": "elsewhere"}}, []):
        (tmp_path / "cohort.json").write_text(json.dumps(tree))
        with pytest.raises(InputError, match=r"cohort\.json: not the record of a synthetic cohort"):
            SyntheticCohort.of(tmp_path)
