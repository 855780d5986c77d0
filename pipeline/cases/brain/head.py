"""The head in a picture: what is neither background nor a banner, a white edge or letters."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pipeline.cases.brain.background import background_of
from pipeline.files.images.volume import Volume

MAX_EDGE = 0.2
"""At most this share of a side, from either end, can be an edge or banner."""
BRIGHT_ROW = 0.8
"""Of the pixels of a row that belongs to a white edge or a banner, so many are bright."""
ABOVE_AIR = 0.15
"""A head begins at this share of the way from the level of the air to that of bright tissue."""
SMOOTHING, OPENING = 0.004, 0.008
"""Of the longer side: against noise, and to part letters and lines from the head."""
MIN_PART = 0.1
"""Parts of less than this share of the largest are dropped; each counts by how central it is."""


def head_of(picture: Volume) -> np.ndarray:
    """The head, or the brain of a skull-stripped slice, with its holes still in it.

    Args:
        picture: one slice, ``(X, Y, 1)``.

    Returns:
        ``(X, Y, 1)`` bool. It is empty where there is nothing but background.
    """
    grey = picture.data[:, :, 0].astype(np.float32)
    inner = _without_edges(grey)
    inside = np.zeros(picture.data.shape, bool)
    inside[(*inner, 0)] = _central(_not_air(picture, inner), max(grey.shape))
    return inside


def _not_air(picture: Volume, inner: tuple[slice, slice]) -> np.ndarray:
    """What differs from a background of one value, or else is brighter than the air is."""
    part = Volume(picture.data[inner], picture.affine, picture.path, lossy=picture.lossy)
    background = background_of(part)
    inside: np.ndarray = background.leaves(part.data)[:, :, 0]
    grey = part.data[:, :, 0].astype(np.float32)
    border = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    if background.value <= np.median(grey) and border.mean() < 0.5:
        return inside
    return _bright(grey, max(picture.data.shape))


def _bright(grey: np.ndarray, side: int) -> np.ndarray:
    """Pixels above the noise of the air: see `ABOVE_AIR`."""
    smooth = ndimage.gaussian_filter(grey, SMOOTHING * side)
    dark = smooth <= _otsu(smooth)
    if dark.all():
        return np.zeros(grey.shape, bool)
    air, tissue = np.quantile(smooth[dark], 0.2), np.median(smooth[~dark])
    above: np.ndarray = smooth > air + ABOVE_AIR * (tissue - air)
    return above


def _otsu(values: np.ndarray) -> float:
    """The level that separates dark from bright best (Otsu 1979), of 256."""
    counts, edges = np.histogram(values, 256)
    middles = (edges[:-1] + edges[1:]) / 2
    n_dark, dark = np.cumsum(counts), np.cumsum(counts * middles)
    n_bright, bright = n_dark[-1] - n_dark, dark[-1] - dark
    gap = dark / np.maximum(n_dark, 1) - bright / np.maximum(n_bright, 1)
    return float(edges[1 + int(np.argmax(n_dark * n_bright * gap**2))])


def _without_edges(grey: np.ndarray) -> tuple[slice, slice]:
    """The picture without white rows and columns at its ends."""
    bright = grey > (float(grey.min()) + float(grey.max())) / 2
    columns = _inner(bright)
    rows = _inner(bright[columns].T)
    return _inner(bright[:, rows], columns), rows


def _inner(bright: np.ndarray, known: slice = slice(0, None)) -> slice:
    """The rows of ``bright`` between those at both ends that are bright all along.

    Letters in a banner may make some of its rows less bright than others.
    """
    n = len(bright)
    share = bright.mean(1)
    most = int(MAX_EDGE * n)
    start = np.flatnonzero(share[:most] >= BRIGHT_ROW)
    end = np.flatnonzero(share[n - most :] >= BRIGHT_ROW)
    first = int(start[-1]) + 1 if len(start) and _touches(share[: start[-1] + 1]) else 0
    last = n - most + int(end[0]) if len(end) and _touches(share[n - most + end[0] :]) else n
    return slice(max(first, known.start), min(last, known.stop or n))


def _touches(share: np.ndarray) -> bool:
    """Whether most rows of an end are bright."""
    return bool((share >= BRIGHT_ROW).mean() > 0.5)


def _with_insides(inside: np.ndarray) -> np.ndarray:
    """A mask with what its parts enclose, as a scalp a skull that is as dark as air.

    It stays as it is where a frame would enclose the whole picture.
    """
    filled: np.ndarray = ndimage.binary_fill_holes(inside)
    border = np.concatenate([filled[0], filled[-1], filled[:, 0], filled[:, -1]])
    return inside if border.mean() > 0.5 or filled.mean() > 0.95 else filled


def _central(inside: np.ndarray, side: int) -> np.ndarray:
    """The large central parts of a mask, without thin bridges to what lies at the edge."""
    radius = max(1, round(OPENING * side))
    box = 2 * radius + 1
    eroded = ndimage.minimum_filter(inside, box, mode="constant")
    opened = _with_insides(ndimage.maximum_filter(eroded, box, mode="constant"))
    labels, n_parts = ndimage.label(opened)
    if not n_parts:
        return inside
    weights = [np.sin(np.pi * (np.arange(n) + 0.5) / n) for n in inside.shape]
    sizes = np.bincount(labels.ravel(), np.outer(*weights).ravel())[1:]
    kept = np.concatenate([[False], sizes >= MIN_PART * sizes.max()])[labels]
    # What the opening took of the parts themselves is given back.
    back: np.ndarray = ndimage.maximum_filter(kept, box, mode="constant") & (inside | kept)
    return back
