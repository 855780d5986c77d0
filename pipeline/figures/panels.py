"""Figures for papers and pages, in one style; the only module that draws with matplotlib."""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import nibabel as nib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from pipeline.cases.case import Case
from pipeline.detection.methods import OURS
from pipeline.diffusion.scheduler import SimplexDDPMScheduler
from pipeline.errors import InputError
from pipeline.figures.perturbation import perturb, radial_spectrum
from pipeline.files.names import (
    ANOMALY_MAP,
    ANOMALY_MASK,
    BRAIN_MASK,
    CASE_PICTURES,
    LOSS_CHART,
    LOSSES,
    MAPS,
    PSEUDO_HEALTHY,
    pseudo_healthy,
)
from pipeline.files.nifti import read_volume_or_zeros, write_atomically
from pipeline.files.record.summary import Mean, MethodSummary, Summary
from pipeline.noise.noises import Coarse, Gaussian, Noise, Simplex

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
MAX_CASES = 6
"""Rows that fit on a page."""
MAX_HEIGHT = 9.0
"""Of a page, in inches."""
SCALE_BAR_MM = 50.0
NOISE_RANGE = 2.5
STRIP = (0, 50, 100, 200, 300, 500, 800)
N_SPECTRUM_FIELDS = 64

P = ParamSpec("P")


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in `STYLE`, whatever matplotlib is set to."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return styled


def _tight(pad: float = 0.01, space: float = 0.01) -> ConstrainedLayoutEngine:
    """Little room around the axes (inches) and between them (share of their size)."""
    return ConstrainedLayoutEngine(w_pad=pad, h_pad=pad, wspace=space, hspace=space)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure, by the suffix of its path; see `write_atomically`."""
    with matplotlib.rc_context(STYLE):
        write_atomically(path, lambda temporary: figure.savefig(temporary))
    return path


# --- cases ---------------------------------------------------------------------------------------


def benchmark_figures(out_dir: Path, cases: Sequence[Case], method: str = OURS) -> Path:
    """One page of cases of a benchmark, PNG and PDF; see `case_page`.

    Returns:
        The PNG.
    """
    folder = out_dir / MAPS / method
    if not folder.is_dir():
        folder = next(path for path in sorted((out_dir / MAPS).iterdir()) if path.is_dir())
    done = [case for case in cases if (folder / case.name / ANOMALY_MAP).is_file()]
    ill = [case for case in done if case.label is not None]
    well = [case for case in done if case.label is None]
    n_well = min(len(well), 2 if ill else MAX_CASES)
    chosen = [*ill[: MAX_CASES - n_well], *well[:n_well]]
    figure = case_page([load_panels(folder / case.name, case) for case in chosen])
    save(figure, (out_dir / CASE_PICTURES).with_suffix(".pdf"))
    return save(figure, out_dir / CASE_PICTURES)


@dataclass(frozen=True)
class Panels:
    """2-D axial views of one case at one slice, ``(rows, columns)``, and their pixel size in mm.

    Rows run from posterior to anterior, columns from left to right. What was not made is None.
    """

    name: str
    spacing_mm: tuple[float, float]
    image: np.ndarray
    map: np.ndarray
    restored: np.ndarray | None
    mask: np.ndarray | None
    label: np.ndarray | None

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width."""
        return (
            self.image.shape[0] * self.spacing_mm[0],
            self.image.shape[1] * self.spacing_mm[1],
        )


def load_panels(folder: Path, case: Case) -> Panels:
    """The slice of a case with the largest lesion, or with the highest map where there is none.

    Args:
        folder: of one case, as `detection.write_result` leaves it; only the map must be there.
        case: its images and label.

    Raises:
        InputError: a file cannot be read, or image and map are not of one shape.
    """
    modality, image_file = next(iter(case.images.items()))
    image, zooms = _canonical(image_file.path, image_file.channel)
    anomaly_map = _canonical(folder / ANOMALY_MAP)[0]
    if image.shape != anomaly_map.shape:
        raise InputError(
            f"{image_file.path}: shape {image.shape}, its map has {anomaly_map.shape}; they lie on "
            "different grids"
        )
    brain = _optional(folder / BRAIN_MASK)
    brain = image > 0 if brain is None else brain > 0
    label = None
    if case.label is not None:
        label = _canonical(case.label.path, case.label.channel)[0] > 0
    where = label if label is not None and label.any() else anomaly_map
    z = int(np.argmax(where.sum((0, 1))))
    rows, columns = (np.flatnonzero(brain[:, :, z].any(axis)) for axis in (0, 1))
    box = np.s_[:, :] if not rows.size else np.s_[_from_to(rows), _from_to(columns)]

    def view(volume: np.ndarray | None) -> np.ndarray | None:
        return None if volume is None else volume[:, :, z].T[box]

    restored = _optional(folder / PSEUDO_HEALTHY)
    if restored is None:
        restored = _optional(folder / pseudo_healthy(modality, len(case.images)))
    return Panels(
        case.name,
        (zooms[1], zooms[0]),
        np.where(brain, np.clip(image, 0, None), 0)[:, :, z].T[box],
        anomaly_map[:, :, z].T[box],
        view(restored),
        view(_optional(folder / ANOMALY_MASK)),
        view(label),
    )


def _from_to(indices: np.ndarray, rim: int = 2) -> slice:
    return slice(max(int(indices[0]) - rim, 0), int(indices[-1]) + rim + 1)


def _optional(path: Path) -> np.ndarray | None:
    """The volume of a file, None where there is none."""
    return _canonical(path)[0] if path.is_file() else None


def _canonical(path: Path, channel: int | None = None) -> tuple[np.ndarray, tuple[float, ...]]:
    volume = read_volume_or_zeros(path, channel)
    turned = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    return np.asarray(turned.dataobj), tuple(float(mm) for mm in turned.header.get_zooms()[:3])


@_styled
def case_page(panels: Sequence[Panels]) -> Figure:
    """Rows of cases: input, pseudo-healthy, anomaly map, mask over input, label over input.

    A column that no case has is left out. All maps share one colour scale, so that a healthy brain
    looks healthy, and all panels one scale of length.

    Raises:
        ValueError: there is no case.
    """
    if not panels:
        raise ValueError("a page needs a case")
    columns = {"input": "image", "pseudo-healthy": "restored", "anomaly map": "map"}
    columns |= {"mask at threshold": "mask", "label": "label"}
    columns = {t: key for t, key in columns.items() if any(_has(p, key) for p in panels)}
    norm = _map_norm([p.map for p in panels])
    high_mm, wide_mm = (max(p.size_mm[i] for p in panels) for i in (0, 1))
    shape = high_mm / wide_mm
    panel = min((DOUBLE - 0.35) / max(len(columns), 4), (MAX_HEIGHT - 0.75) / shape / len(panels))
    size = (panel * len(columns) + 0.35, panel * shape * len(panels) + 0.75)
    figure = Figure(figsize=size, layout=_tight())
    axes = figure.subplots(len(panels), len(columns), squeeze=False)
    shown: Any = None
    for row, case in zip(axes, panels, strict=True):
        for ax, key in zip(row, columns.values(), strict=True):
            _empty(ax)
            ax.set(xlim=(-wide_mm / 2, wide_mm / 2), ylim=(-high_mm / 2, high_mm / 2))
            drawn = _draw_panel(ax, case, key, norm)
            shown = drawn if key == "map" else shown
        row[0].set_ylabel(_short(case.name), fontsize=6)
    for ax, title in zip(axes[0], columns, strict=True):
        ax.set_title(title)
    _scale_bar(axes[-1, 0], wide_mm, high_mm)
    bar = figure.colorbar(shown, ax=axes, location="bottom", shrink=0.35, aspect=35, pad=0.01)
    root = ", square root" if norm.gamma < 1 else ""
    bar.set_label(f"anomaly map, arbitrary units (one scale for all rows{root})")
    return figure


def _map_norm(maps: Sequence[np.ndarray]) -> PowerNorm:
    """One scale for all maps; by the square root where one map would hide the others."""
    tops = [float(np.quantile(values, 0.999)) for values in maps]
    top = max(tops) or 1.0
    return PowerNorm(0.5 if top > 4 * np.median(tops) else 1.0, vmin=0, vmax=top)


def _has(case: Panels, key: str) -> bool:
    return getattr(case, key) is not None


def _draw_panel(ax: Axes, case: Panels, key: str, norm: PowerNorm) -> Any:
    height, width = case.size_mm
    extent = (-width / 2, width / 2, -height / 2, height / 2)
    options: dict[str, Any] = {"origin": "lower", "extent": extent}
    if not _has(case, key):
        ax.text(0, 0, "none", color="white", fontsize=6, ha="center", va="center")
        return None
    if key == "map":
        return ax.imshow(case.map, cmap=MAP_COLOURS, norm=norm, **options)
    grey = case.image if case.restored is None or key != "restored" else case.restored
    high = float(np.quantile(case.image[case.image > 0], 0.995)) if case.image.any() else 1.0
    drawn = ax.imshow(grey, cmap="gray", vmin=0, vmax=high, **options)
    outline = getattr(case, key)
    if key in ("mask", "label") and outline.any():
        colour = MASK_COLOUR if key == "mask" else LABEL_COLOUR
        ax.contour(outline.astype(float), [0.5], colors=colour, linewidths=0.9, **options)
    return drawn


def _empty(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[], facecolor="black")
    for spine in ax.spines.values():
        spine.set_visible(False)


def _scale_bar(ax: Axes, wide_mm: float, high_mm: float) -> None:
    x, y = -0.46 * wide_mm, -0.46 * high_mm
    ax.plot([x, x + SCALE_BAR_MM], [y, y], color="white", linewidth=1.5, solid_capstyle="butt")
    ax.text(x, y + 0.02 * high_mm, f"{SCALE_BAR_MM / 10:g} cm", color="white", fontsize=6)


def _short(name: str, limit: int = 26) -> str:
    return name if len(name) <= limit else f"{name[: limit - 9]}…{name[-8:]}"


# --- noise ---------------------------------------------------------------------------------------


def gallery_noises() -> list[tuple[str, list[tuple[str, Noise]]]]:
    """Rows of the gallery: what differs in a row, and a name and a noise for each panel."""
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


@_styled
def noise_gallery(picture: Tensor, seed: int = 0) -> Figure:
    """Fields of each noise and its radial spectrum, beside those of a picture.

    Args:
        picture: ``(H, H)``; of the fields' size.
        seed: of the fields.
    """
    default = Simplex()
    about = f"{default.octaves}, $2^{{{round(math.log2(default.base_frequency))}}}$, "
    kinds: list[tuple[str, Noise | None]] = [
        ("brain", None),
        ("Gaussian", Gaussian()),
        (f"coarse, {Coarse().cells} cells", Coarse()),
        (f"simplex ({about}{default.decay:g})", default),
    ]
    rows: list[tuple[str, Sequence[tuple[str, Noise | None]]]] = [("kind", kinds)]
    rows += gallery_noises()
    n_columns = len(kinds)
    figure = Figure(figsize=(DOUBLE, 6.3), layout=_tight(0.02, 0.03))
    axes = figure.subplots(
        len(rows), n_columns + 1, width_ratios=[*[1] * n_columns, 1.75], squeeze=False
    )
    shown: Any = None
    for i, (row, (title, entries)) in enumerate(zip(axes, rows, strict=True)):
        colours = (BLACK, VERMILLION, SKY, BLUE) if i == 0 else _ordered(n_columns)
        for ax, (name, noise), colour in zip(row, entries, colours, strict=False):
            fields = _fields(noise, picture, seed)
            _empty(ax)
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


@_styled
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
    figure = Figure(figsize=(DOUBLE, 2 * side + 1.0), layout=_tight())
    axes = figure.subplots(2, len(timesteps), squeeze=False)
    alphas = SimplexDDPMScheduler(schedule=schedule).alphas_cumprod
    shown: Any = None
    for row, (name, noise) in zip(axes, noises.items(), strict=True):
        for ax, t in zip(row, timesteps, strict=True):
            _empty(ax)
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


# --- scores --------------------------------------------------------------------------------------


@_styled
def score_bars(summary: Summary) -> Figure:
    """AUPRC and Dice of the methods of a ``summary.json``, with bootstrap intervals.

    Methods, or the steps of an ablation, stand in the order of the file. A circle is the Dice at
    each case's own best threshold.

    Raises:
        InputError: the file holds no AUPRC and no Dice.
    """
    methods = summary.methods
    dice = "dice_at_threshold"
    if not any(math.isfinite(_interval(m, dice)[0]) for m in methods.values()):
        dice = "dice_oracle"
    found = [_interval(m, key)[0] for m in methods.values() for key in ("auprc", dice)]
    if not any(math.isfinite(value) for value in found):
        raise InputError("the summary has no AUPRC and no Dice: no case has a label")
    figure = Figure(figsize=(DOUBLE, 0.24 * len(methods) + 0.85), layout=_tight(0.04, 0.08))
    axes = figure.subplots(1, 2, sharey=True)
    names = list(methods)
    titles = {"auprc": "AUPRC", "dice_at_threshold": "Dice at the threshold"}
    for ax, key in zip(axes, ("auprc", dice), strict=True):
        for place, name in enumerate(names):
            colour = BLUE if name == OURS or OURS not in methods else GREY
            _bar(ax, place, _interval(methods[name], key), colour)
        ax.set(xlim=(0, 1), xlabel=titles.get(key, "Dice at each case's best threshold"))
        ax.tick_params(axis="y", length=0)
    if dice == "dice_at_threshold":
        best = [_interval(methods[name], "dice_oracle")[0] for name in names]
        circles: Any = {"s": 14, "facecolor": "white", "edgecolor": BLACK, "zorder": 4}
        axes[1].scatter(best, range(len(names)), label="at each case's best threshold", **circles)
        axes[1].legend(loc="lower left", bbox_to_anchor=(-0.03, 0.98), handletextpad=0.1)
    n_ill = max(method.n_tumour for method in methods.values())
    axes[0].set_title(f"mean of {n_ill} cases with a tumour; 95 % interval", loc="left", fontsize=7)
    axes[0].set(yticks=range(len(names)), yticklabels=[n.replace("_", " ") for n in names])
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


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


def training_figure(run_dir: Path) -> Path:
    """Training and validation loss over the epochs, from ``loss.csv``; PNG.

    Returns:
        The picture.
    """
    return save(_loss_curves(run_dir / LOSSES), run_dir / LOSS_CHART)


@_styled
def _loss_curves(path: Path) -> Figure:
    with path.open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    epochs = [int(row["epoch"]) for row in rows]
    figure = Figure(figsize=(SINGLE, 2.4), layout=_tight(0.04))
    ax = figure.subplots()
    for column, colour, name in (
        ("train_loss", ORANGE, "training"),
        ("val_loss", BLUE, "validation (EMA weights)"),
    ):
        ax.plot(epochs, [float(row[column]) for row in rows], color=colour, label=name, marker=".")
    ax.set(xlabel="epoch", ylabel="loss", yscale="log")
    ax.legend()
    return figure
