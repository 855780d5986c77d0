"""How rare map values are among healthy voxels, in decades, and rules that merge several of them.

The maps of two runs have no common unit, and no healthy person need have been seen by both. So each
value is expressed by how rare it is among the healthy voxels that calibrated its run (`surprise`),
and the rarities are merged by a rule that holds however the runs depend on each other (`RULES`): a
healthy voxel is called no more often than stated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.errors import InputError


@dataclass(frozen=True)
class Rule:
    """How the rarities of several runs become one.

    Attributes:
        merge: surprises ``(K, ...)`` of K runs, >= 0, to ``(...)``, >= 0.
        price: by how many decades the merged surprise of K runs overstates the rarity, at most.
        summary: for people.
    """

    merge: Callable[[np.ndarray], np.ndarray]
    price: Callable[[int], float]
    summary: str


RULES: dict[str, Rule] = {
    "any": Rule(
        lambda s: s.max(0), math.log10, "the highest surprise: one scan that shows it is enough"
    ),
    "mean": Rule(
        lambda s: s.mean(0),
        lambda n: math.log10(math.e),
        "the mean surprise: what all of them show",
    ),
}
"""Both hold under any dependence, since K times the least of K p-values (Bonferroni) and e times
their geometric mean (Vovk and Wang, "Combining p-values via averaging", Biometrika 2020) are
p-values."""


def surprise(values: np.ndarray, thresholds: Mapping[str, float]) -> np.ndarray:
    """How rare map values are among healthy voxels: -log10 of the share that exceeds them.

    Linear between the tabulated rates and from 0 at a value of 0; beyond the rarest rate it goes on
    with the mean slope of the last decade (an exponential tail), so that the order stays.

    Args:
        values: any shape, >= 0.
        thresholds: rate (as text) to the value that this share of healthy voxels exceeds.

    Returns:
        float32 of the same shape, >= 0; 2 is a value that 1 % of the healthy voxels exceed.

    Raises:
        InputError: no table of thresholds that rise as the rates fall.
    """
    points = sorted((-math.log10(float(rate)), float(value)) for rate, value in thresholds.items())
    if len(points) < 2:
        raise InputError(f"{len(points)} healthy thresholds; at least two are needed")
    decades = np.array([0.0, *(decade for decade, _ in points)])
    at = np.array([0.0, *(value for _, value in points)])
    if not np.isfinite(at).all() or (np.diff(at) < 0).any() or at[-1] <= at[1]:
        raise InputError(
            f"healthy thresholds do not rise from 0 as the rates fall: {dict(thresholds)}"
        )
    last = np.searchsorted(decades, decades[-1] - 1 - 1e-6)
    slope = (decades[-1] - decades[last]) / max(at[-1] - at[last], 1e-9)
    beyond = decades[-1] + slope * np.maximum(values - at[-1], 0)
    rarity = np.where(values > at[-1], beyond, np.interp(values, at, decades))
    return np.asarray(rarity, dtype=np.float32)
