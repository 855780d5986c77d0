"""Cohorts as a datalist and as a text."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from cohorts import flat_tree, touch

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.find import find_cases
from pipeline.cases.listing import format_cohort, write_datalist
from pipeline.errors import InputError


def test_the_round_trip_keeps_every_field(tmp_path: Path) -> None:
    touch(tmp_path, "in/i.nii.gz", "in/l.nii.gz", "m.nii.gz")
    inside, label = ImageFile(tmp_path / "in/i.nii.gz", 2), ImageFile(tmp_path / "in/l.nii.gz")
    outside = ImageFile(tmp_path / "m.nii.gz")
    cases = [
        Case(f"n{i}", f"s{i % 2}", {"flair": inside, "asl": outside}, *masks, healthy, scheme)
        for i, (healthy, scheme, masks) in enumerate(
            itertools.product(
                (True, False, None), ("auto", "msd"), ((label, outside, inside), (None,) * 3)
            )
        )
    ]
    write_datalist(tmp_path / "in" / "list.json", {"training": cases})
    assert find_cases(tmp_path / "in" / "list.json").cases == tuple(
        sorted(cases, key=lambda c: c.name)
    )
    text = (tmp_path / "in" / "list.json").read_text()
    assert '"path": "i.nii.gz"' in text
    assert str(tmp_path / "m.nii.gz") in text
    with pytest.raises(InputError, match="'n0' occurs twice"):
        write_datalist(tmp_path / "x.json", {"a": cases, "b": cases[:1]})


def test_the_text_counts_what_is_there_and_groups_what_is_not(tmp_path: Path) -> None:
    flat_tree(tmp_path)
    touch(tmp_path, *(f"d{i}.dcm" for i in range(5)), "B_flair.nii.gz", "A_flair.nii")
    text = format_cohort(find_cases(tmp_path, healthy=True))
    lines = {" ".join(line.split()) for line in text.splitlines()}
    assert {"layout flat", "cases 2 of 2 subjects", "healthy 2 yes, 0 no, 0 not said"} <= lines
    assert {"labels 1 (auto 1)", "masks 1 brain, 0 exclude", "flair 2 2 1"} <= lines
    assert "left out: 7 files" in lines
    dicom = "5 DICOM: for detect or anomap convert (d0.dcm, d1.dcm, d2.dcm, ...)"
    assert dicom in lines
    assert any(line.startswith("2 duplicate flair (") for line in lines)
