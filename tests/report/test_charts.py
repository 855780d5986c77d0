"""Charts: values at the right pixel, and a text that says the same."""

from __future__ import annotations

import math

import pytest

from pipeline.files.record.summary import Mean
from pipeline.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    CaseValue,
    Scale,
    SizeMean,
    curve_chart,
    row_chart,
    size_chart,
)


def test_scales_map_ends_to_ends_and_clip() -> None:
    linear = Scale(0, 10, 100, 200)
    assert [linear(v) for v in (0, 5, 10, 99)] == [100, 150, 200, 200]
    log = Scale(1, 100, 0, 200, log=True)
    assert [log(v) for v in (1, 10, 100, 0)] == [0, 100, 200, 0]


@pytest.mark.parametrize(
    ("scale", "texts"),
    [
        (Scale(0, 1, 0, 1), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Scale(0, 71, 0, 1), ["0", "20", "40", "60"]),
        (Scale(0.5, 150, 0, 1, log=True), ["1", "10", "100"]),
    ],
)
def test_ticks_are_round_numbers(scale: Scale, texts: list[str]) -> None:
    assert [text for _, text in scale.ticks()] == texts


def test_a_curve_runs_from_corner_to_corner() -> None:
    chart = curve_chart(
        "ROC", {"a": ([0, 1], [0, 1]), "b": ([], [])}, {"a": 0.5}, x_title="x", y_title="y"
    )
    assert chart is not None
    left, right, low, high = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    points = [[float(v) for v in point.split(",")] for point in chart.lines[0].points.split()]
    assert points == [[left, low], [right, high]]
    assert chart.legend == [(0, "a", "0.500")]
    assert "a 0.500" in chart.description
    assert curve_chart("ROC", {"b": ([], [])}, {}, x_title="x", y_title="y") is None


def test_dice_stands_at_its_volume() -> None:
    dices = [
        CaseValue("small", 0.0, 0),
        CaseValue("large", 1.0),
        CaseValue("healthy", math.nan, 1),
    ]
    volumes_ml = {"small": 1.0, "large": 100.0, "healthy": 0.0}
    strata = [SizeMean(0.0, 10.0, 0.25, 1), SizeMean(50.0, math.inf, None, 0)]
    chart = size_chart(dices, volumes_ml, strata, y_title="Dice")
    assert chart is not None
    assert [(dot.x, dot.y, dot.case) for dot in chart.dots] == [
        (LEFT, HEIGHT - BOTTOM, 0),
        (WIDTH - RIGHT, TOP, None),
    ]
    assert [bar.text for bar in chart.bars] == ["0.25 (n = 1)"]
    assert size_chart(dices[2:], volumes_ml, [], y_title="Dice") is None


def test_rows_hold_mean_interval_and_cases() -> None:
    ours_values = [CaseValue("a", 0.0, 0), CaseValue("b", 1.0, 1)]
    values = {"ours": ours_values, "other": [CaseValue("a", math.nan)]}
    means = {"ours": Mean(mean=0.5, ci95=(0.25, 0.75)), "other": Mean(mean=None)}
    chart = row_chart("Dice", values, means, x_title="Dice", x_high=1.0)
    assert chart is not None
    ours, other = chart.rows
    assert ours.text == "0.5 [0.25, 0.75]"
    assert ours.interval is not None
    assert ours.mean == pytest.approx((ours.interval[0] + ours.interval[1]) / 2)
    assert [dot.x for dot in ours.dots] == [chart.left, chart.right]
    assert (other.mean, other.interval, other.dots, other.text) == (None, None, (), "-")
    assert row_chart("Dice", {"ours": []}, {}, x_title="Dice") is None
