"""What cannot be a case, and what a cohort says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cohorts import case_of

from pipeline.cases.case import Cohort, ImageFile
from pipeline.errors import InputError


def test_no_case_has_a_bad_name_a_bad_subject_or_a_path_that_is_no_text() -> None:
    good = case_of("a")
    for change in ({"name": ".."}, {"name": "x\udcfc"}, {"subject": "x\ny"}):
        with pytest.raises(InputError, match=r"the (name|subject) '"):
            replace(good, **change)
    with pytest.raises(InputError, match="not UTF-8; rename it"):
        ImageFile(Path("/data/M\udcfc/a.nii.gz"))


def test_what_a_cohort_says_prints_in_any_terminal() -> None:
    bad = "M\udcfc\n"
    cohort = Cohort(Path("/d"), (), {Path(f"/d/{bad}"): bad}, notes=(bad,), incomplete={bad: bad})
    said = [
        *cohort.left_out.values(),
        *cohort.notes,
        *cohort.incomplete,
        cohort.incomplete[r"M\udcfc\n"],
    ]
    assert said == [r"M\udcfc\n"] * 4
