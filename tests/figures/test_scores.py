"""Bars of scores: the numbers of the summary."""

from __future__ import annotations

import json
from pathlib import Path

import former_records
import pytest
from drawn import SUMMARY, texts

from pipeline.errors import InputError
from pipeline.figures.scores import has_scores, score_bars
from pipeline.files.record.summary import Summary


def test_bars_are_the_means_and_lines_the_intervals() -> None:
    figure = score_bars(SUMMARY)
    auprc, dice = figure.axes
    assert [bar.get_width() for bar in auprc.patches] == [0.6, 0.2]
    assert [list(line.get_xdata()) for line in auprc.lines] == [[0.5, 0.7], [0.1, 0.3]]
    assert [bar.get_width() for bar in dice.patches] == [0.4]
    assert dice.collections[0].get_offsets()[:, 0].tolist() == [0.55, 0.3]
    shown = texts(figure)
    assert {"anomap", "step two", "not defined", "0.60"} <= set(shown)
    assert "mean of 5 cases with a tumour; 95 % interval" in shown
    assert auprc.yaxis_inverted()  # the first one stands at the top


def test_a_summary_of_healthy_cases_has_no_bars() -> None:
    nothing = {"mean": None, "ci95": [None, None]}
    keys = ("auprc", "dice_oracle", "dice_at_threshold")
    empty = former_records.method(**dict.fromkeys(keys, nothing))
    text = json.dumps(former_records.summary(anomap=empty))
    summary = Summary.parse(text, Path("summary.json"))
    assert not has_scores(summary)
    with pytest.raises(InputError, match="no case has a label"):
        score_bars(summary)
