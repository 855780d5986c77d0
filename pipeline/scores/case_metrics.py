"""One case's map beside its truth, and the registry of what is measured on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import nibabel as nib
import numpy as np

from pipeline.files.images.volume import voxel_volume_ml
from pipeline.scores.metrics import (
    LesionCounts,
    dice,
    lesion_counts,
    n_true,
    precision,
    ratio,
    sensitivity,
    specificity,
)
from pipeline.scores.ranking import Ranking

TOP_FRACTION = 0.01
"""Share of the highest voxels whose mean is the score of a case or slice."""
MIN_LESION_AREA_MM2 = 10.0
"""A slice shows a lesion from this area on; one with less is left out, being neither."""


def top_mean(scores: np.ndarray, fraction: float = TOP_FRACTION) -> float:
    """Mean of the highest of the scores, in their unit; NaN of none.

    Args:
        scores: of any shape, finite; higher = more anomalous.
        fraction: of them, in (0, 1]; one score at least.
    """
    if scores.size == 0:
        return math.nan
    n_top = max(1, math.ceil(fraction * scores.size))
    top = np.partition(scores, scores.size - n_top)[-n_top:]
    return float(top.mean(dtype=np.float64))


def slice_axis(affine: np.ndarray) -> int:
    """The voxel axis nearest to superior-inferior, from the affine ``(4, 4)``."""
    return int(np.flatnonzero(nib.io_orientation(affine)[:, 0] == 2)[0])


def slice_scores(
    anomaly_map: np.ndarray,
    lesion: np.ndarray,
    brain_mask: np.ndarray,
    affine: np.ndarray,
    *,
    min_area_mm2: float = MIN_LESION_AREA_MM2,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of the axial slices that show brain.

    Args:
        anomaly_map: ``(X, Y, Z)``, higher = more anomalous.
        lesion, brain_mask: bool, same shape.
        affine: ``(4, 4)``, voxel index to world (mm).
        min_area_mm2: lesion area that makes a lesion slice; slices with less are left out.

    Returns:
        `top_mean` within the brain ``(n,)`` float64, and whether the slice shows a lesion
        ``(n,)`` bool.
    """
    axis = slice_axis(affine)
    first, second = (affine[:3, other] for other in range(3) if other != axis)
    pixel_mm2 = float(np.linalg.norm(np.cross(first, second)))
    scores, labels = [], []
    volumes = (np.moveaxis(volume, axis, 0) for volume in (anomaly_map, lesion, brain_mask))
    for map_slice, lesion_slice, inside in zip(*volumes, strict=True):
        if not inside.any():
            continue
        area_mm2 = n_true(lesion_slice & inside) * pixel_mm2
        if area_mm2 == 0 or area_mm2 >= min_area_mm2:
            scores.append(top_mean(map_slice[inside]))
            labels.append(area_mm2 > 0)
    return np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)


@dataclass(frozen=True, eq=False)
class ScoredCase:
    """One case's map beside its truth, all ``(X, Y, Z)`` on one grid: what a metric may look at.

    Attributes:
        anomaly_map: float, higher = more anomalous; values outside the brain are never read.
        brain_mask: bool.
        regions: bool masks; ``whole_tumour`` is empty where the case is healthy. There is none at
            all where the case is known to be ill and nobody marked where: then no metric applies.
        affine: voxel index to world (mm), ``(4, 4)``.
        mask: what the method calls lesion, bool, or None where it has no threshold.
    """

    anomaly_map: np.ndarray
    brain_mask: np.ndarray
    regions: Mapping[str, np.ndarray]
    affine: np.ndarray
    mask: np.ndarray | None = None

    @property
    def is_marked(self) -> bool:
        """Whether each voxel is known to be lesion or not."""
        return "whole_tumour" in self.regions

    @property
    def healthy(self) -> bool:
        """Whether it is known that no voxel is lesion."""
        return self.is_marked and not self.regions["whole_tumour"].any()

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return voxel_volume_ml(self.affine)

    @cached_property
    def _order(self) -> np.ndarray:
        inside = np.flatnonzero(self.brain_mask)
        return inside[np.argsort(self.anomaly_map.ravel()[inside], kind="stable")]

    def inside(self, volume: np.ndarray) -> np.ndarray:
        """The brain voxels ``(n,)`` of a volume ``(X, Y, Z)``, by ascending score."""
        return np.asarray(volume.ravel()[self._order])

    @cached_property
    def scores(self) -> np.ndarray:
        """The map's brain voxels ``(n,)``, ascending."""
        return self.inside(self.anomaly_map)

    @cached_property
    def lesion(self) -> np.ndarray:
        """Whether each of `scores` is whole tumour, ``(n,)`` bool."""
        return self.inside(self.regions["whole_tumour"])

    @cached_property
    def called(self) -> np.ndarray | None:
        """Whether each of `scores` is called lesion, ``(n,)`` bool; None without a mask."""
        return None if self.mask is None else self.inside(self.mask)

    @cached_property
    def ranking(self) -> Ranking:
        """Of the voxels of this case."""
        return Ranking.of_sorted(self.scores, self.lesion)

    @cached_property
    def counts(self) -> LesionCounts:
        """`lesion_counts` within the brain; NaNs follow from no lesion and no mask."""
        if self.mask is None:
            return LesionCounts(0, 0, 0)
        lesion = self.regions["whole_tumour"] & self.brain_mask
        return lesion_counts(self.mask & self.brain_mask, lesion, self.voxel_ml)


def _if_called(metric: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[ScoredCase], float]:
    """A metric of mask and lesion for cases that have both."""

    def of_case(case: ScoredCase) -> float:
        if case.called is None or case.healthy:
            return math.nan
        return metric(case.called, case.lesion)

    return of_case


def _fp_ml(case: ScoredCase, *, healthy: bool) -> float:
    if case.called is None or case.healthy != healthy:
        return math.nan
    return n_true(case.called & ~case.lesion) * case.voxel_ml


def _healthy_fp_rate(case: ScoredCase) -> float:
    if case.called is None or not case.healthy:
        return math.nan
    return ratio(n_true(case.called), case.called.size)


def _false_findings(case: ScoredCase) -> float:
    return math.nan if case.mask is None else float(case.counts.n_false)


def _region_auroc(region: str) -> Callable[[ScoredCase], float]:
    """The region against brain that is no lesion at all."""

    def of_case(case: ScoredCase) -> float:
        if region not in case.regions:
            return math.nan
        inside = case.inside(case.regions[region])
        keep = inside | ~case.lesion
        return Ranking.of_sorted(case.scores[keep], inside[keep]).auroc

    return of_case


def _region_sensitivity(region: str) -> Callable[[ScoredCase], float]:
    def of_case(case: ScoredCase) -> float:
        if case.called is None or region not in case.regions:
            return math.nan
        return sensitivity(case.called, case.inside(case.regions[region]))

    return of_case


METRICS: dict[str, Callable[[ScoredCase], float]] = {
    "auroc": lambda case: case.ranking.auroc,
    "auprc": lambda case: case.ranking.auprc,
    "dice_oracle": lambda case: case.ranking.best_dice[0],
    "threshold_oracle": lambda case: case.ranking.best_dice[1],
    "dice_at_threshold": _if_called(dice),
    "sensitivity": _if_called(sensitivity),
    "specificity": _if_called(specificity),
    "precision": _if_called(precision),
    "lesion_sensitivity": lambda case: case.counts.sensitivity,
    "lesion_f1": lambda case: case.counts.f1,
    "false_findings": _false_findings,
    "healthy_fp_ml": lambda case: _fp_ml(case, healthy=True),
    "healthy_fp_rate": _healthy_fp_rate,
    "tumour_fp_ml": lambda case: _fp_ml(case, healthy=False),
    "tumour_core_auroc": _region_auroc("tumour_core"),
    "tumour_core_sensitivity": _region_sensitivity("tumour_core"),
    "enhancing_auroc": _region_auroc("enhancing"),
    "enhancing_sensitivity": _region_sensitivity("enhancing"),
}
"""Name to a function of one case that returns a float, NaN where undefined.

Each becomes a column of cases.csv and, but for the thresholds, a mean with a confidence interval
in summary.json: a new metric is one function and one entry here.
"""
