"""What the files of one name make: modalities, what is left out, who is healthy."""

from __future__ import annotations

from pathlib import Path

import pytest
from cohorts import by_name, reasons, touch

from pipeline.cases.find import find_cases
from pipeline.errors import InputError


def test_names_without_modality_are_taken_only_as_the_one_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "one.nii.gz", "two.nii.gz", "two_seg.nii.gz")
    cohort = find_cases(tmp_path, modalities=["FLAIR"])
    assert [(case.name, list(case.images)) for case in cohort.cases] == [
        ("one", ["flair"]),
        ("two", ["flair"]),
    ]
    assert by_name(cohort)["two"].label is not None
    assert "taken as flair: 2 images whose name says no modality" in cohort.notes
    for asked in (None, ["flair", "t1"]):
        with pytest.raises(InputError, match=r"no modality in names like one\.nii.*--modality"):
            find_cases(tmp_path, modalities=asked)


def test_what_is_left_out_has_its_reason(tmp_path: Path) -> None:
    touch(tmp_path, "a_flair.nii.gz", "a_flair.nii", "a_t2.nii.gz", "a_bias.nii.gz", "b_seg.nii.gz")
    touch(tmp_path, "c_t2.nii.gz", "c_flair.nii.gz", "d.dcm", "e.par", "f.img", "f.hdr", "g.mnc")
    touch(tmp_path, "h.png", "._a_flair.nii.gz", ".cache/i_flair.nii.gz", "notes.txt")
    touch(tmp_path, "c_t1.nii.gz")
    cohort = find_cases(tmp_path, modalities=["flair", "t1"])
    assert [case.name for case in cohort.cases] == ["c"]
    left = reasons(cohort)
    assert left.pop("a_flair.nii.gz") == "duplicate flair: a_flair.nii is used"
    assert left.pop("a_flair.nii") == left.pop("a_t2.nii.gz") == "has flair, t2; t1 is missing"
    assert left.pop("a_bias.nii.gz").startswith("unknown suffix: expected flair")
    assert left.pop("b_seg.nii.gz") == "no image beside this label"
    assert left.pop("c_t2.nii.gz") == "wrong modality: t2 is not asked for"
    assert "anomap convert" in left.pop("d.dcm")
    assert "PAR/REC" in left.pop("e.par")
    assert "unknown suffix" in left.pop("f.hdr")  # with its f.img
    assert "MINC" in left.pop("g.mnc")
    assert left.pop("h.png").startswith("a picture in a folder of NIfTI")
    assert not left


@pytest.mark.parametrize(
    ("folder", "flag", "label", "expected"),
    [
        ("healthy", None, False, True),
        ("study/Controls/site", None, False, True),
        ("tumour", None, False, False),
        ("tumour", True, False, False),
        ("patients/normal", None, False, True),
        ("other", None, False, None),
        ("other", None, True, False),
        ("other", True, True, True),
        ("other", True, False, True),
        ("healthy", False, False, False),
        ("healthy", None, True, True),
    ],
)
def test_who_says_that_a_case_is_healthy(
    folder: str, flag: bool | None, label: bool, expected: bool | None, tmp_path: Path
) -> None:
    touch(tmp_path, f"{folder}/a_t1.nii.gz", *([f"{folder}/a_seg.nii.gz"] if label else []))
    (case,) = find_cases(tmp_path, healthy=flag).cases
    assert case.healthy is expected
