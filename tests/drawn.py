"""What is seen of a figure, and scores to draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import former_records
import matplotlib
from former_records import mean, method
from matplotlib.figure import Figure

from pipeline.files.record.summary import Summary

SUMMARY_JSON: dict[str, Any] = former_records.summary(
    anomap=method(
        auprc=mean(0.6, 0.5, 0.7),
        dice_at_threshold=mean(0.4, 0.3, 0.5),
        dice_oracle=mean(0.55, 0.5, 0.6),
    ),
    step_two=method(
        auprc=mean(0.2, 0.1, 0.3),
        dice_at_threshold={"mean": None, "ci95": [None, None]},
        dice_oracle={"mean": 0.3, "ci95": [None, None]},
    ),
)
"""``summary.json`` of two methods, as the first version wrote it."""
SUMMARY = Summary.parse(json.dumps(SUMMARY_JSON), Path("summary.json"))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def is_within(figure: Figure) -> bool:
    """Whether nothing that is drawn sticks out of the figure."""
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return bool(min(box.x0, box.y0) > -0.03 and box.x1 < width + 0.03 and box.y1 < height + 0.03)
