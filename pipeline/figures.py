"""Pictures; the only module that draws with matplotlib."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.cases import Case
from pipeline.nifti import read_volume_or_zeros, write_atomically

MAP_COLOURS = "inferno"
LABEL_COLOUR, MASK_COLOUR = "#56b4e9", "#e69f00"  # Okabe-Ito, told apart by colour-blind readers
MAX_CASES = 8


def benchmark_figures(out_dir: Path, cases: Sequence[Case], method: str = "anomap") -> Path:
    """One page of cases of a benchmark, PNG and PDF; see `case_page`.

    Returns:
        The PNG.
    """
    folder = out_dir / "maps" / method
    if not folder.is_dir():
        folder = next(path for path in sorted((out_dir / "maps").iterdir()) if path.is_dir())
    done = [case for case in cases if (folder / case.name / "anomaly.nii.gz").is_file()]
    ill = [case for case in done if case.label is not None]
    well = [case for case in done if case.label is None]
    n_well = min(len(well), 2 if ill else MAX_CASES)
    chosen = [*ill[: MAX_CASES - n_well], *well[:n_well]]
    figure = case_page(folder, chosen)
    save(figure, out_dir / "cases.pdf")
    return save(figure, out_dir / "cases.png")


def case_page(folder: Path, cases: Sequence[Case]) -> Figure:
    """Rows of cases: input, pseudo-healthy, anomaly map, mask over input, label over input.

    Each shows the axial slice with the largest lesion, or with the highest map in a healthy brain.
    All maps share one colour scale, so that a healthy brain looks healthy.
    """
    panels = [_load_panels(folder / case.name, case) for case in cases]
    top = max((float(np.quantile(p["map"], 0.999)) for p in panels if p["map"].any()), default=1.0)
    figure = Figure(figsize=(11, 2.25 * max(len(cases), 1) + 0.5), layout="constrained")
    axes = figure.subplots(max(len(cases), 1), 5, squeeze=False)
    titles = ("input", "pseudo-healthy", "anomaly map", "mask at threshold", "label")
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=10)
    shown = None
    for row, case, panel in zip(axes, cases, panels, strict=False):
        high = float(np.quantile(panel["image"][panel["image"] > 0], 0.995))
        for ax, key in zip(row[[0, 1, 3, 4]], ("image", "restored", "image", "image"), strict=True):
            if panel[key] is not None:
                ax.imshow(panel[key], cmap="gray", vmin=0, vmax=high, origin="lower")
        shown = row[2].imshow(panel["map"], cmap=MAP_COLOURS, vmin=0, vmax=top, origin="lower")
        _outline(row[3], panel["mask"], MASK_COLOUR)
        _outline(row[4], panel["label"], LABEL_COLOUR)
        row[0].set_ylabel(case.name, fontsize=7)
        for ax in row:
            ax.set(xticks=[], yticks=[])
            ax.set_facecolor("black")
    if shown is not None:
        bar = figure.colorbar(shown, ax=axes, location="bottom", shrink=0.3, aspect=40, pad=0.01)
        bar.set_label("anomaly map (one scale for all cases)", fontsize=8)
    return figure


def _outline(ax: Axes, mask: np.ndarray | None, colour: str) -> None:
    if mask is not None and mask.any():
        ax.contour(mask.astype(float), levels=[0.5], colors=colour, linewidths=1.0)


def _load_panels(folder: Path, case: Case) -> dict[str, Any]:
    """2-D axial views of one case at one slice, rows from posterior to anterior."""
    modality, image_file = next(iter(case.images.items()))
    image = _canonical(image_file.path, image_file.channel)
    brain = _canonical(folder / "brain_mask.nii.gz") > 0
    anomaly_map = _canonical(folder / "anomaly.nii.gz")
    label = None if case.label is None else _canonical(case.label.path, case.label.channel) > 0
    mask = _optional(folder / "mask.nii.gz")
    restored = _optional(folder / "pseudo_healthy.nii.gz")
    if restored is None:
        restored = _optional(folder / f"pseudo_healthy_{modality}.nii.gz")
    where = label if label is not None and label.any() else None
    profile = where.sum((0, 1)) if where is not None else anomaly_map.sum((0, 1))
    z = int(np.argmax(profile))

    def view(volume: np.ndarray | None) -> np.ndarray | None:
        return None if volume is None else volume[:, :, z].T

    return {
        "image": view(np.where(brain, np.clip(image, 0, None), 0)),
        "restored": view(restored),
        "map": view(anomaly_map),
        "mask": view(mask),
        "label": view(label),
    }


def _optional(path: Path) -> np.ndarray | None:
    return _canonical(path) if path.is_file() else None


def _canonical(path: Path, channel: int | None = None) -> np.ndarray:
    volume = read_volume_or_zeros(path, channel)
    turned = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    return np.asarray(turned.dataobj)


def training_figure(run_dir: Path) -> Path:
    """Training and validation loss over the epochs, from ``loss.csv``; PNG.

    Returns:
        The picture.
    """
    with (run_dir / "loss.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    epochs = [int(row["epoch"]) for row in rows]
    figure = Figure(figsize=(5, 3), layout="constrained")
    ax = figure.subplots()
    for column, colour, name in (
        ("train_loss", MASK_COLOUR, "training"),
        ("val_loss", LABEL_COLOUR, "validation (EMA weights)"),
    ):
        ax.plot(epochs, [float(row[column]) for row in rows], color=colour, label=name, marker=".")
    ax.set(xlabel="epoch", ylabel="mean squared error of the noise", yscale="log")
    ax.legend(frameon=False)
    return save(figure, run_dir / "loss.png")


def save(figure: Figure, path: Path) -> Path:
    """Write a figure, by the suffix of its path; see `write_atomically`."""
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=130))
    return path
