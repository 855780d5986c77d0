"""The contrast of a scan from its voxels: how bright fluid, grey and white matter are.

A template of tissues, made of 80 people, is laid on the brain's box (no registration); the
brightness of each tissue is what explains the scan best by its shares. Those few numbers, and
quantiles of the brain, go into a logistic regression. ``tools/train_contrast.py`` makes both.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from pipeline.errors import InputError
from pipeline.files.names import CONTRAST_WEIGHTS
from pipeline.maps.placement import on_box

WEIGHTS = Path(__file__).with_name(CONTRAST_WEIGHTS)
QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
N_ROUNDS = 6
"""Of reweighting, so that a tumour does not count as a tissue."""
CONFIDENT = 0.95
"""Probability from which a contrast counts as recognised: above all wrong ones of the scans learnt
from."""


@dataclass(frozen=True)
class Classifier:
    """A template and a logistic regression.

    Attributes:
        tissues: shares of fluid, cortex, white and deep grey matter and cerebellum in the frame of
            `pipeline.maps.placement`, ``(5, *FRAME)`` in 0..1.
        names: contrasts, ``K`` of them.
        mean, spread: of the features, ``(F,)``.
        weights: ``(K, F)``.
        bias: ``(K,)``.
    """

    tissues: np.ndarray
    names: tuple[str, ...]
    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    bias: np.ndarray


def recognise(image: np.ndarray, brain: np.ndarray) -> Mapping[str, float]:
    """Probability of each contrast that is known.

    Args:
        image: ``(N, H, W)`` of the working grid, in [-1, 1].
        brain: same shape, bool.

    Returns:
        Contrast to probability, the likeliest first; they add up to 1.

    Raises:
        InputError: the weights did not come with this copy of anomap, or there is no brain.
    """
    classifier = load_classifier()
    values = features(image, brain, classifier.tissues)
    score = classifier.weights @ ((values - classifier.mean) / classifier.spread) + classifier.bias
    share = np.exp(score - score.max())
    share /= share.sum()
    order = np.argsort(-share)
    return {classifier.names[i]: float(share[i]) for i in order}


def features(image: np.ndarray, brain: np.ndarray, tissues: np.ndarray) -> np.ndarray:
    """What tells contrasts apart.

    Args:
        image: ``(N, H, W)`` in [-1, 1].
        brain: same shape, bool; not empty.
        tissues: ``(5, *FRAME)``; see `Classifier`.

    Returns:
        ``(F,)``: brightness of the tissues, differences of it, quantiles, brightness of the rim.
    """
    if not brain.any():
        raise InputError("there is no brain to tell the contrast from")
    unit = np.where(brain, (image + 1) / 2, 0.0)
    placement = on_box(brain)
    shares = np.stack([placement.from_frame(one, brain.shape)[brain] for one in tissues])
    shares = shares / np.maximum(shares.sum(0), 1e-3)
    values = unit[brain]
    level = float(np.median(values))
    means = level + _explained(shares, values - level)
    quantiles = np.quantile(values, QUANTILES)
    inner = ndimage.binary_erosion(brain)
    rim = float(unit[brain & ~inner].mean()) if (brain & ~inner).any() else level
    fluid, cortex, white, deep, _ = means
    between = (fluid - white, cortex - white, fluid - cortex, deep - white, rim - cortex)
    return np.array([*means, *between, *quantiles, rim, values.std()])


def _explained(shares: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How bright each tissue is, ``(5,)``: least squares, in which what stands out counts less.

    Args:
        shares: ``(5, n)``.
        values: ``(n,)``.
    """
    n_tissues, n = shares.shape
    weight = np.ones(n)
    means = np.zeros(n_tissues)
    for _ in range(N_ROUNDS):
        gram = (shares * weight) @ shares.T + 0.01 * n / n_tissues * np.eye(n_tissues)
        means = np.linalg.solve(gram, (shares * weight) @ values)
        away = np.abs(values - means @ shares)
        weight = 1 / np.maximum(1, away / max(1.5 * float(np.median(away)), 1e-6)) ** 2
    return means


@functools.cache
def load_classifier() -> Classifier:
    """Template and weights that come with anomap.

    Raises:
        InputError: they did not.
    """
    if not WEIGHTS.is_file():
        raise InputError(
            f"what contrasts are told by ({CONTRAST_WEIGHTS}) is not in this copy of anomap: "
            "install the package, or say the modality with --modality"
        )
    with np.load(WEIGHTS, allow_pickle=False) as kept:
        return Classifier(
            tissues=kept["tissues"].astype(np.float32) / 255,
            names=tuple(str(name) for name in kept["names"]),
            mean=kept["mean"],
            spread=kept["spread"],
            weights=kept["weights"],
            bias=kept["bias"],
        )
