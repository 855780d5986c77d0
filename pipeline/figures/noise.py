"""Noises beside each other, their spectra, and a slice on its way to noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from pipeline.diffusion.scheduler import SimplexDDPMScheduler
from pipeline.figures.perturbation import perturb, radial_spectrum
from pipeline.figures.style import (
    BLACK,
    BLUE,
    DOUBLE,
    GREY,
    ORDER_COLOURS,
    SKY,
    VERMILLION,
    hide_axes,
    styled,
    tight,
)
from pipeline.noise.noises import Coarse, Gaussian, Noise, Simplex

NOISE_RANGE = 2.5
"""Ends of the grey scale of fields, in standard deviations."""
STRIP = (0, 50, 100, 200, 300, 500, 800)
"""Timesteps of a strip, of 1000."""
N_SPECTRUM_FIELDS = 64
"""So many fields make a spectrum."""


Entries = list[tuple[str, Noise | None]]
"""Name and noise of each panel of a row; None is the picture."""


def gallery_noises() -> list[tuple[str, Entries]]:
    """Rows of the gallery: what differs in a row, and its panels."""
    default = Simplex()
    power = round(math.log2(default.base_frequency))

    def simplex(**changed: float) -> Noise:
        return Simplex(**{**vars(default), **changed})

    return [
        ("octaves", [(f"{n} octave{'s' * (n > 1)}", simplex(octaves=n)) for n in (1, 2, 4, 6)]),
        (
            "base frequency",
            [
                (f"base $2^{{{power + i}}}$", simplex(base_frequency=2.0 ** (power + i)))
                for i in (-2, -1, 0, 2)
            ],
        ),
        ("decay", [(f"decay {d:g}", simplex(decay=d)) for d in (0.2, 0.5, 0.8, 1.0)]),
    ]


@styled
def noise_gallery(picture: Tensor, seed: int = 0) -> Figure:
    """Fields of each noise and its radial spectrum, beside those of a picture.

    Args:
        picture: ``(H, H)``, in any unit; of the fields' size.
        seed: of the fields.
    """
    rows = [("kind", _kinds()), *gallery_noises()]
    n_columns = len(rows[0][1])
    figure = Figure(figsize=(DOUBLE, 6.3), layout=tight(0.02, 0.03))
    axes = figure.subplots(
        len(rows), n_columns + 1, width_ratios=[*[1] * n_columns, 1.75], squeeze=False
    )
    shown: Any = None
    for i, (row, (title, entries)) in enumerate(zip(axes, rows, strict=True)):
        colours = (BLACK, VERMILLION, SKY, BLUE) if i == 0 else _ordered(n_columns)
        for ax, (name, noise), colour in zip(row, entries, colours, strict=False):
            fields = _fields(noise, picture, seed)
            hide_axes(ax)
            shown = ax.imshow(fields[0], cmap="gray", vmin=-NOISE_RANGE, vmax=NOISE_RANGE)
            ax.set_title(name, color=colour, fontsize=7.5)
            row[-1].plot(*radial_spectrum(fields), color=colour)
        row[0].set_ylabel(title)
        _spectrum_axes(row[-1], last=i == len(rows) - 1)
    axes[0, -1].set_title("radial spectrum", fontsize=7.5)
    bar = figure.colorbar(
        shown, ax=axes[:, :n_columns], location="bottom", shrink=0.6, aspect=40, pad=0.01
    )
    bar.set_label("standard deviations from the mean of a field")
    return figure


def _kinds() -> Entries:
    """The first row: a picture, and a field of each noise."""
    default = Simplex()
    about = f"{default.octaves}, $2^{{{round(math.log2(default.base_frequency))}}}$, "
    return [
        ("brain", None),
        ("Gaussian", Gaussian()),
        (f"coarse, {Coarse().cells} cells", Coarse()),
        (f"simplex ({about}{default.decay:g})", default),
    ]


def _ordered(n: int) -> list[Any]:
    """Colours in order; the light end of the map would be lost on white."""
    return [matplotlib.colormaps[ORDER_COLOURS](x) for x in np.linspace(0.0, 0.72, n)]


def _fields(noise: Noise | None, picture: Tensor, seed: int) -> Tensor:
    """Unit-variance fields ``(N, H, W)``; without a noise, the picture as if it were one."""
    if noise is None:
        return ((picture - picture.mean()) / picture.std())[None]
    like = torch.zeros(N_SPECTRUM_FIELDS, 1, *picture.shape)
    return noise.seeded(like, [seed + i for i in range(N_SPECTRUM_FIELDS)])[:, 0]


def _spectrum_axes(ax: Axes, *, last: bool) -> None:
    ax.set(xscale="log", yscale="log", ylim=(3e-4, 3e3), ylabel="power", box_aspect=1 / 1.75)
    ax.axhline(1, color=GREY, linewidth=0.6, linestyle=":", zorder=0)
    ax.yaxis.set_major_locator(LogLocator(numticks=4))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_label_position("right")
    ax.yaxis.tick_right()
    ax.spines[["left", "right"]].set_visible([False, True])
    if last:
        ax.set_xlabel("cycles a pixel")
    else:
        ax.set_xticklabels([])


@styled
def forward_strip(
    picture: Tensor, *, schedule: str = "cosine", timesteps: Sequence[int] = STRIP, seed: int = 0
) -> Figure:
    """A picture on its way to noise: simplex above, Gaussian below, one schedule.

    Args:
        picture: ``(H, H)`` in [-1, 1].
        timesteps: of 1000.
    """
    noises: dict[str, Noise] = {"simplex": Simplex(), "Gaussian": Gaussian()}
    side = (DOUBLE - 0.3) / len(timesteps)
    figure = Figure(figsize=(DOUBLE, 2 * side + 1.0), layout=tight())
    axes = figure.subplots(2, len(timesteps), squeeze=False)
    alphas = SimplexDDPMScheduler(schedule=schedule).alphas_cumprod
    shown: Any = None
    for row, (name, noise) in zip(axes, noises.items(), strict=True):
        for ax, t in zip(row, timesteps, strict=True):
            hide_axes(ax)
            x_t = perturb(picture, noise, schedule, t, seed)
            shown = ax.imshow(x_t, cmap="gray", vmin=-1, vmax=1)
        row[0].set_ylabel(name)
    for ax, t in zip(axes[0], timesteps, strict=True):
        signal = f"$\\sqrt{{\\bar{{\\alpha}}_t}}$ = {float(alphas[t]) ** 0.5:.2f}"
        ax.set_title(f"$t$ = {t}\n{signal}", fontsize=7.5)
    bar = figure.colorbar(
        shown, ax=axes, location="bottom", shrink=0.35, aspect=35, pad=0.01, extend="both"
    )
    bar.set_label(f"normalised intensity ({schedule} schedule, $T$ = {len(alphas)})")
    return figure
