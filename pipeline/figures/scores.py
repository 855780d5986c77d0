"""Scores of methods as bars."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.detection.methods import OURS
from pipeline.errors import InputError
from pipeline.figures.style import BLACK, BLUE, DOUBLE, GREY, styled, tight
from pipeline.files.record.summary import Mean, MethodSummary, Summary


@styled
def score_bars(summary: Summary) -> Figure:
    """AUPRC and Dice of the methods of a ``summary.json``, with bootstrap intervals.

    Methods, or the steps of an ablation, stand in the order of the file. A circle is the Dice at
    each case's own best threshold.

    Raises:
        InputError: the file holds no AUPRC and no Dice.
    """
    methods = summary.methods
    dice = _dice_key(summary)
    if not has_scores(summary):
        raise InputError("the summary has no AUPRC and no Dice: no case has a label")
    figure = Figure(figsize=(DOUBLE, 0.24 * len(methods) + 0.85), layout=tight(0.04, 0.08))
    axes = figure.subplots(1, 2, sharey=True)
    titles = {"auprc": "AUPRC", "dice_at_threshold": "Dice at the threshold"}
    for ax, key in zip(axes, ("auprc", dice), strict=True):
        for place, (name, method) in enumerate(methods.items()):
            colour = BLUE if name == OURS or OURS not in methods else GREY
            _bar(ax, place, _interval(method, key), colour)
        ax.set(xlim=(0, 1), xlabel=titles.get(key, "Dice at each case's best threshold"))
        ax.tick_params(axis="y", length=0)
    if dice == "dice_at_threshold":
        _circles(axes[1], [_interval(m, "dice_oracle")[0] for m in methods.values()])
    n_ill = max(method.n_tumour for method in methods.values())
    axes[0].set_title(f"mean of {n_ill} cases with a tumour; 95 % interval", loc="left", fontsize=7)
    axes[0].set(yticks=range(len(methods)), yticklabels=[n.replace("_", " ") for n in methods])
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    return figure


def has_scores(summary: Summary) -> bool:
    """Whether there is anything to draw: healthy cases alone have neither AUPRC nor Dice."""
    return _is_defined(summary, "auprc", _dice_key(summary))


def _dice_key(summary: Summary) -> str:
    """The Dice that is shown: at the threshold, where there is one."""
    return "dice_at_threshold" if _is_defined(summary, "dice_at_threshold") else "dice_oracle"


def _is_defined(summary: Summary, *keys: str) -> bool:
    values = (_interval(m, key)[0] for m in summary.methods.values() for key in keys)
    return any(math.isfinite(value) for value in values)


def _circles(ax: Axes, values: list[float]) -> None:
    circles: Any = {"s": 14, "facecolor": "white", "edgecolor": BLACK, "zorder": 4}
    ax.scatter(values, range(len(values)), label="at each case's best threshold", **circles)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.03, 0.98), handletextpad=0.1)


def _interval(method: MethodSummary, key: str) -> tuple[float, float, float]:
    """Mean and ends, NaN where undefined."""
    value = method.means.get(key, Mean(mean=None))
    ends = value.ci95 or (None, None)
    mean, low, high = (math.nan if v is None else v for v in (value.mean, *ends))
    return mean, low, high


def _bar(ax: Axes, place: int, interval: tuple[float, float, float], colour: str) -> None:
    mean, low, high = interval
    if not math.isfinite(mean):
        ax.text(0.01, place, "not defined", va="center", fontsize=6.5, color=GREY)
        return
    ax.barh(place, mean, height=0.66, color=colour, alpha=0.75)
    if math.isfinite(low) and math.isfinite(high):
        ax.plot([low, high], [place, place], color=BLACK, linewidth=1.0, zorder=3)
    ax.text(1.02, place, f"{mean:.2f}", va="center", fontsize=6.5, clip_on=False)
