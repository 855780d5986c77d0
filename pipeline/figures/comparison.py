"""Two dates of one person side by side: the scans on one grid, outlined where a mask lies.

In radiological view: the right of the person is on the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.figure import Figure

from pipeline.figures.style import DOUBLE, ORANGE, SKY, hide_axes, save, styled, tight
from pipeline.files.record.comparison import Change, Comparison

MAX_ROWS = 4
"""Changes that are drawn, the largest."""
MARGIN = 3
"""Voxels around the brain."""
BRIGHT_QUANTILE = 0.995
Shown = tuple[np.ndarray, np.ndarray, np.ndarray]


def draw_comparison(path: Path, shown: Sequence[Shown], comparison: Comparison) -> Path:
    """Write the picture.

    Args:
        path: of the PNG.
        shown: image ``(X, Y, Z)``, mask of the same shape, and affine ``(4, 4)`` of the first and
            of the second scan, on one grid.
        comparison: its changes are drawn, each in the axial slice through its middle.
    """
    return save(_page(shown, comparison), path)


@styled
def _page(shown: Sequence[Shown], comparison: Comparison) -> Figure:
    rows: list[Change | None] = [*comparison.changes[:MAX_ROWS]] or [None]
    figure = Figure(figsize=(DOUBLE, 2.6 * len(rows)), layout=tight())
    axes = figure.subplots(len(rows), 3, squeeze=False)
    windows = [_top(image) for image, _, _ in shown]
    sides = _sides(shown[0])
    for row, change in zip(axes, rows, strict=True):
        slices = [_slices(one, change, sides) for one in shown]
        outlines = [[(slices[0][1], ORANGE)], [(slices[1][1], SKY)]]
        outlines.append([*outlines[0], *outlines[1]])
        images = [(slices[0][0], windows[0]), (slices[1][0], windows[1])]
        images.append(images[1])
        for ax, (image, top), masks in zip(row, images, outlines, strict=True):
            hide_axes(ax)
            ax.set_facecolor("black")
            ax.imshow(image, cmap="gray", vmin=0, vmax=top, origin="lower")
            for x, ends, side in ((0.02, "left", "R"), (0.98, "right", "L")):
                ax.text(x, 0.02, side, color="white", ha=ends, transform=ax.transAxes)
            for mask, colour in masks:
                if mask.any():
                    ax.contour(mask, levels=[0.5], colors=[colour], linewidths=0.9)
        row[0].set_ylabel(_words(change))
    for ax, title in zip(axes[0], ("before", "after, registered", "both masks"), strict=True):
        ax.set_title(title)
    return figure


def _words(change: Change | None) -> str:
    if change is None:
        return "nothing at either date"
    where = f"\n{change.place}" if change.place else ""
    return (
        f"{change.number}: {change.kind}{where}\n{change.before_ml:.1f} → {change.after_ml:.1f} mL"
    )


def _top(image: np.ndarray) -> float:
    inside = image[image > 0]
    return float(np.quantile(inside, BRIGHT_QUANTILE)) if inside.size else 1.0


def _sides(shown: Shown) -> tuple[slice, slice]:
    """Where the brain lies from left to right and from back to front, with a margin."""
    image, _, affine = shown
    upright = nib.orientations.apply_orientation(image, nib.orientations.io_orientation(affine))
    sides = []
    for axes in ((1, 2), (0, 2)):
        there = np.flatnonzero((upright > 0).any(axes))
        first, last = (int(there[0]), int(there[-1])) if there.size else (0, 0)
        sides.append(slice(max(first - MARGIN, 0), last + 1 + MARGIN))
    return sides[0], sides[1]


def _slices(
    shown: Shown, change: Change | None, sides: tuple[slice, slice]
) -> tuple[np.ndarray, np.ndarray]:
    """Axial slices of image and mask: rows from back to front, the right of the person first."""
    image, mask, affine = shown
    to_ras = nib.orientations.io_orientation(affine)
    volumes = [nib.orientations.apply_orientation(v, to_ras) for v in (image, mask)]
    upright = affine @ nib.orientations.inv_ornt_aff(to_ras, image.shape)
    z = volumes[0].shape[2] // 2
    if change is not None:
        index = np.linalg.inv(upright) @ [*change.centre_mm, 1.0]
        z = int(np.clip(np.rint(index[2]), 0, volumes[0].shape[2] - 1))
    image_slice, mask_slice = (v[(*sides, z)].T[:, ::-1] for v in volumes)
    return image_slice, mask_slice
