"""Scores of methods as bars."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.detection.methods.table import OURS
from pipeline.errors import InputError
from pipeline.figures.style import BLACK, BLUE, DOUBLE, GREY, styled, tight
from pipeline.files.record.summary import Mean, MethodSummary, Summary
from pipeline.files.texts import count

TITLES = {
    "auprc": "AUPRC",
    "dice_at_threshold": "Dice at the threshold",
    "dice_oracle": "Dice at each case's best threshold",
    "image_auroc": "AUROC of whole images",
}


@styled
def score_bars(summary: Summary) -> Figure:
    """AUPRC and Dice of the methods of a ``summary.json``, with intervals over cases.

    Where cases without a lesion label were scored, the AUROC of whole images stands beside them, or
    alone. Methods, or the steps of an ablation, stand in the order of the file. A circle is the
    Dice at each case's own best threshold.

    Raises:
        InputError: the file holds nothing of that.
    """
    methods = summary.methods
    keys = _keys(summary)
    if not keys:
        raise InputError("the summary has no AUPRC and no Dice: no case has a label")
    figure = Figure(figsize=(DOUBLE, 0.24 * len(methods) + 0.85), layout=tight(0.04, 0.08))
    axes = figure.subplots(1, len(keys), sharey=True, squeeze=False)[0]
    for ax, key in zip(axes, keys, strict=True):
        _panel(ax, key, summary)
    if keys[0] != "image_auroc":
        n_ill = max(method.n_tumour - method.n_image_level for method in methods.values())
        title = f"mean of {count(n_ill, 'case')} with a tumour; 95 % interval"
        axes[0].set_title(title, loc="left", fontsize=7)
    axes[0].set(yticks=range(len(methods)), yticklabels=[n.replace("_", " ") for n in methods])
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    return figure


def _panel(ax: Axes, key: str, summary: Summary) -> None:
    """The bars of one score."""
    methods = summary.methods
    for place, (name, method) in enumerate(methods.items()):
        colour = BLUE if name == OURS or OURS not in methods else GREY
        _bar(ax, place, _interval(method, key), colour)
    ax.set(xlim=(0, 1), xlabel=TITLES[key])
    ax.tick_params(axis="y", length=0)
    if key == "dice_at_threshold":
        _circles(ax, [_interval(m, "dice_oracle")[0] for m in methods.values()])
    if key == "image_auroc":
        ax.set_title(_sides(summary), loc="right", fontsize=7)


def has_scores(summary: Summary) -> bool:
    """Whether there is anything to draw: healthy cases alone have neither AUPRC nor Dice."""
    return bool(_keys(summary))


def _keys(summary: Summary) -> list[str]:
    """What is drawn: AUPRC and Dice, at the threshold where there is one; and of whole images."""
    dice = "dice_at_threshold" if _is_defined(summary, "dice_at_threshold") else "dice_oracle"
    keys = ["auprc", dice] if _is_defined(summary, "auprc", dice) else []
    unlabelled = any(method.n_image_level for method in summary.methods.values())
    return [*keys, "image_auroc"] if unlabelled and _is_defined(summary, "image_auroc") else keys


def _sides(summary: Summary) -> str:
    """How many images stand against how many."""
    n_ill = max(method.n_tumour for method in summary.methods.values())
    n_healthy = max(method.n_healthy for method in summary.methods.values())
    return f"{count(n_ill, 'image')} not healthy, {n_healthy} healthy; 95 % interval"


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
    if key == "image_auroc":
        value = Mean(mean=method.image_auroc, ci95=method.image_auroc_ci95)
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
