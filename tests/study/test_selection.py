"""What is said of the cases that are not used, and what need not be said of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import draw_cohort

from pipeline.cases.several import Selection
from pipeline.errors import InputError
from pipeline.study.selection import MAX_ALIKE, say_unused, with_modality


def test_of_thousands_with_one_reason_a_few_are_named(caplog: pytest.LogCaptureFixture) -> None:
    reasons = [(f"c{i}", "not healthy") for i in range(4000)]
    say_unused([*reasons, ("other", "has t1; flair is missing")])
    assert len(caplog.messages) == MAX_ALIKE + 2
    assert caplog.messages[0] == "not used: c0: not healthy"
    assert f"and {4000 - MAX_ALIKE} more: not healthy" in caplog.messages[MAX_ALIKE]
    assert caplog.messages[-1] == "not used: other: has t1; flair is missing"


def test_pictures_of_which_no_name_says_a_modality_need_no_word(tmp_path: Path) -> None:
    data = draw_cohort(tmp_path, 2)
    assert with_modality(data, Selection(), "say which").modalities == ("image",)
    asked = Selection(modalities=("t1",))
    assert with_modality(data, asked, "say which") is asked
    (data / "healthy/h0.png").rename(data / "healthy/h0_t1.png")
    with pytest.raises(InputError, match="say which"):
        with_modality(data, Selection(), "say which")
