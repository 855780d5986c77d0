"""Cases as rows of slices: input, pseudo-healthy image, anomaly map, mask, label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.cases.case import Case
from pipeline.cases.loop import QUIET, each_case
from pipeline.detection.methods.table import OURS
from pipeline.errors import InputError
from pipeline.figures.style import (
    DOUBLE,
    LABEL_COLOUR,
    MAP_COLOURS,
    MASK_COLOUR,
    hide_axes,
    save,
    styled,
    tight,
)
from pipeline.files.case_name import case_folder
from pipeline.files.images.formats import is_picture
from pipeline.files.images.reading import read_volume_or_zeros
from pipeline.files.names import (
    ANOMALY_MAP,
    ANOMALY_MASK,
    BRAIN_MASK,
    CASE_PICTURES,
    MAPS,
    PSEUDO_HEALTHY,
    pseudo_healthy,
)

MAX_CASES = 6
"""Rows that fit on a page."""
MAX_HEIGHT = 9.0
"""Of a page, in inches."""
SCALE_BAR_MM = 50.0


def benchmark_figures(
    out_dir: Path, cases: Sequence[Case], method: str = OURS
) -> tuple[Path | None, dict[str, str]]:
    """One page of cases of a benchmark, PNG and PDF; see `case_page`.

    Returns:
        The PNG, None where no case could be drawn, and case -> reason of those that could not.

    Raises:
        InputError: the folder holds no maps of any method.
    """
    folder = _maps_of(out_dir, method)
    done = [c for c in cases if (case_folder(folder, c.name) / ANOMALY_MAP).is_file()]
    chosen = _chosen(done)
    loaded = each_case(
        {case.name: case for case in chosen},
        lambda case: load_slice(case_folder(folder, case.name), case),
        description="pictures",
        execution=QUIET,
    )
    if not loaded.done:
        return None, loaded.failed
    figure = case_page(list(loaded.done.values()))
    save(figure, (out_dir / CASE_PICTURES).with_suffix(".pdf"))
    return save(figure, out_dir / CASE_PICTURES), loaded.failed


def _chosen(cases: Sequence[Case]) -> list[Case]:
    """Cases for one page: those that are ill, and two that are not."""
    ill = [case for case in cases if case.label is not None or case.healthy is False]
    well = [case for case in cases if case not in ill]
    n_well = min(len(well), 2 if ill else MAX_CASES)
    return [*ill[: MAX_CASES - n_well], *well[:n_well]]


def _maps_of(out_dir: Path, method: str) -> Path:
    """The maps of a method, or of the first where there are none of it."""
    folder = case_folder(out_dir / MAPS, method)
    if folder.is_dir():
        return folder
    others = sorted((out_dir / MAPS).glob("*/"))
    if not others:
        raise InputError(f"{out_dir / MAPS}: no maps in it; expected <method>/<case>/")
    return others[0]


@dataclass(frozen=True)
class CaseSlice:
    """One axial slice of a case: 2-D views ``(rows, columns)`` of one shape.

    Rows run from posterior to anterior, columns from the patient's right to the left, as
    radiologists look at slices; of a picture as it is. What was not made is None.

    Attributes:
        spacing_mm: height and width of a pixel.
        image: >= 0, in scanner units, 0 outside the brain; ``restored`` likewise, not masked.
        map: higher = more anomalous.
        mask, label: above 0 where the method, or the label, says lesion.
        has_size: whether its millimetres are known; those of a picture are not.
    """

    name: str
    spacing_mm: tuple[float, float]
    image: np.ndarray
    map: np.ndarray
    restored: np.ndarray | None
    mask: np.ndarray | None
    label: np.ndarray | None
    has_size: bool = True

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width in millimetres."""
        return (
            self.image.shape[0] * self.spacing_mm[0],
            self.image.shape[1] * self.spacing_mm[1],
        )


def load_slice(folder: Path, case: Case) -> CaseSlice:
    """The slice of a case with the largest lesion, or with the highest map where there is none.

    Args:
        folder: of one case, as `source_maps.write_result` leaves it; only the map must be there.
        case: its images and label.

    Raises:
        InputError: a file cannot be read, or image and map are not of one shape.
    """
    modality, image_file = next(iter(case.images.items()))
    image, zooms_mm = _canonical(image_file.path, image_file.channel)
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
    is_flat = is_picture(image_file.path)
    section = _Section.around(brain, int(np.argmax(where.sum((0, 1)))), turned=not is_flat)
    restored = _optional(folder / PSEUDO_HEALTHY)
    if restored is None:
        restored = _optional(folder / pseudo_healthy(modality, len(case.images)))
    mask = _optional(folder / ANOMALY_MASK)
    return CaseSlice(
        case.name,
        (zooms_mm[1], zooms_mm[0]),
        section.of(np.where(brain, np.clip(image, 0, None), 0)),
        section.of(anomaly_map),
        None if restored is None else section.of(restored),
        None if mask is None else section.of(mask),
        None if label is None else section.of(label),
        has_size=not is_flat,
    )


@dataclass(frozen=True)
class _Section:
    """An axial slice at ``z``, cropped to ``rows`` and ``columns`` of what is shown.

    ``turned``: the right of the person first.
    """

    z: int
    rows: slice
    columns: slice
    turned: bool

    @classmethod
    def around(cls, brain: np.ndarray, z: int, *, turned: bool) -> _Section:
        """Around the brain ``(X, Y, Z)``, the whole slice where that is empty."""
        rows, columns = (np.flatnonzero(brain[:, :, z].any(axis)) for axis in (0, 1))
        if not rows.size:
            return cls(z, slice(None), slice(None), turned)
        return cls(z, _from_to(rows), _from_to(columns), turned)

    def of(self, volume: np.ndarray) -> np.ndarray:
        """The view ``(rows, columns)`` of a volume ``(X, Y, Z)``."""
        view = volume[:, :, self.z].T[self.rows, self.columns]
        return view[:, ::-1] if self.turned else view


def _from_to(indices: np.ndarray, rim: int = 2) -> slice:
    return slice(max(int(indices[0]) - rim, 0), int(indices[-1]) + rim + 1)


def _optional(path: Path) -> np.ndarray | None:
    """The volume of a file, None where there is none."""
    return _canonical(path)[0] if path.is_file() else None


def _canonical(path: Path, channel: int | None = None) -> tuple[np.ndarray, tuple[float, ...]]:
    volume = read_volume_or_zeros(path, channel)
    turned = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    return np.asarray(turned.dataobj), tuple(float(mm) for mm in turned.header.get_zooms()[:3])


COLUMNS = {
    "input": "image",
    "pseudo-healthy": "restored",
    "anomaly map": "map",
    "mask at threshold": "mask",
    "label": "label",
}
"""Title of a column of the page to the view of `CaseSlice`."""


@styled
def case_page(slices: Sequence[CaseSlice]) -> Figure:
    """Rows of cases: input, pseudo-healthy, anomaly map, mask over input, label over input.

    A column that no case has is left out. All maps share one colour scale, so that a healthy brain
    looks healthy, and all views one scale of length.

    Raises:
        ValueError: there is no case.
    """
    if not slices:
        raise ValueError("a page needs a case")
    columns = _columns(slices)
    norm = _map_norm([case.map for case in slices])
    high_mm, wide_mm = (max(case.size_mm[i] for case in slices) for i in (0, 1))
    figure = Figure(
        figsize=_page_size(len(slices), len(columns), high_mm / wide_mm), layout=tight()
    )
    axes = figure.subplots(len(slices), len(columns), squeeze=False)
    for row, case in zip(axes, slices, strict=True):
        for ax, key in zip(row, columns.values(), strict=True):
            hide_axes(ax)
            ax.set(xlim=(-wide_mm / 2, wide_mm / 2), ylim=(-high_mm / 2, high_mm / 2))
            _draw_view(ax, case, key, norm)
        row[0].set_ylabel(_short(case.name), fontsize=6)
        if case.has_size:
            _name_sides(row[0])
    for ax, title in zip(axes[0], columns, strict=True):
        ax.set_title(title)
    _scale_bar(axes[-1, 0], slices, wide_mm, high_mm)
    _scale(figure, axes, axes[-1, list(columns.values()).index("map")].images[0], slices)
    return figure


def _scale(figure: Figure, axes: Any, shown: Any, slices: Sequence[CaseSlice]) -> None:
    """The colours of all maps, with an arrow where one of them goes beyond."""
    norm = shown.norm
    is_cut = max(float(case.map.max()) for case in slices) > 1.001 * (norm.vmax or 0)
    bar = figure.colorbar(
        shown,
        ax=axes,
        location="bottom",
        shrink=0.35,
        aspect=35,
        pad=0.01,
        extend="max" if is_cut else "neither",
        ticks=MaxNLocator(5),
    )
    root = ", square root" if norm.gamma < 1 else ""
    bar.set_label(f"anomaly map, arbitrary units (one scale for all rows{root})")


MOST_MEDIANS = 10.0
"""Of what the map in the middle reaches, at which the scale of all maps ends."""
SIDES = {"R": (0.02, 0.5), "L": (0.98, 0.5), "A": (0.5, 0.97), "P": (0.5, 0.03)}
"""Letters of the patient's sides to where they stand in a view."""


def _name_sides(ax: Axes) -> None:
    for letter, (x, y) in SIDES.items():
        ax.text(
            x, y, letter, transform=ax.transAxes, ha="center", va="center", color="0.55", fontsize=5
        )


def _columns(slices: Sequence[CaseSlice]) -> dict[str, str]:
    """Those of `COLUMNS` that any case has."""
    return {t: key for t, key in COLUMNS.items() if any(_has(case, key) for case in slices)}


def _page_size(n_rows: int, n_columns: int, shape: float) -> tuple[float, float]:
    """Width and height in inches of a page of views whose height is ``shape`` times the width."""
    view = min((DOUBLE - 0.35) / max(n_columns, 4), (MAX_HEIGHT - 0.75) / shape / n_rows)
    return view * n_columns + 0.35, view * shape * n_rows + 0.75


def _map_norm(maps: Sequence[np.ndarray]) -> PowerNorm:
    """One scale for all maps, which no single one spoils.

    By the square root where one map would hide the others, and then to `MOST_MEDIANS` times what
    the map in the middle reaches: all above has the brightest colour.
    """
    tops = [float(np.quantile(values, 0.999)) for values in maps]
    top, middle = max(tops) or 1.0, float(np.median(tops))
    if top <= 4 * middle:
        return PowerNorm(1.0, vmin=0, vmax=top)
    return PowerNorm(0.5, vmin=0, vmax=min(top, MOST_MEDIANS * middle) or top)


def _has(case: CaseSlice, key: str) -> bool:
    return getattr(case, key) is not None


def _draw_view(ax: Axes, case: CaseSlice, key: str, norm: PowerNorm) -> None:
    height, width = case.size_mm
    options: Any = {
        "origin": "lower",
        "extent": (-width / 2, width / 2, -height / 2, height / 2),
    }
    if not _has(case, key):
        ax.text(0, 0, "none", color="white", fontsize=6, ha="center", va="center")
        return
    if key == "map":
        ax.imshow(case.map, cmap=MAP_COLOURS, norm=norm, **options)
        return
    grey = case.image if case.restored is None or key != "restored" else case.restored
    high = float(np.quantile(case.image[case.image > 0], 0.995)) if case.image.any() else 1.0
    ax.imshow(grey, cmap="gray", vmin=0, vmax=high, **options)
    outline = getattr(case, key)
    if key in ("mask", "label") and outline.any():
        colour = MASK_COLOUR if key == "mask" else LABEL_COLOUR
        ax.contour(outline.astype(float), [0.5], colors=colour, linewidths=0.9, **options)


def _scale_bar(ax: Axes, slices: Sequence[CaseSlice], wide_mm: float, high_mm: float) -> None:
    """A bar of length, where the size of all slices is known."""
    if not all(case.has_size for case in slices):
        return
    x, y = -0.46 * wide_mm, -0.46 * high_mm
    ax.plot([x, x + SCALE_BAR_MM], [y, y], color="white", linewidth=1.5, solid_capstyle="butt")
    ax.text(x, y + 0.02 * high_mm, f"{SCALE_BAR_MM / 10:g} cm", color="white", fontsize=6)


def _short(name: str, limit: int = 26) -> str:
    return name if len(name) <= limit else f"{name[: limit - 9]}…{name[-8:]}"
