"""The one style of all figures: widths, colours, fonts; how they are saved."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline.files.writing import write_atomically

SINGLE, DOUBLE = 3.5, 7.2
"""Width in inches of one column and of two in a journal."""
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE, GREY = (
    *("#000000", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7", "#8c8c8c"),
)
"""Okabe-Ito, told apart by colour-blind readers, and a grey."""
LABEL_COLOUR, MASK_COLOUR = SKY, ORANGE
MAP_COLOURS, ORDER_COLOURS = "inferno", "viridis"
"""Perceptually uniform, of maps and of lines that have an order."""
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.2,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # TrueType: journals refuse the Type 3 of the default
}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in `STYLE`, whatever matplotlib is set to."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def tight(pad: float = 0.01, space: float = 0.01) -> ConstrainedLayoutEngine:
    """Little room around the axes (inches) and between them (share of their size)."""
    return ConstrainedLayoutEngine(w_pad=pad, h_pad=pad, wspace=space, hspace=space)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure, by the suffix of its path; see `write_atomically`."""
    with matplotlib.rc_context(STYLE):
        write_atomically(path, lambda temporary: figure.savefig(temporary))
    return path


def hide_axes(ax: Axes) -> None:
    """Leave a black panel without ticks and frame."""
    ax.set(xticks=[], yticks=[], facecolor="black")
    for spine in ax.spines.values():
        spine.set_visible(False)
