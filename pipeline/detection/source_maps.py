"""What was found in a case, on the grid of its scan: maps, the record of them, and the files."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.cases.transforms import Prepared
from pipeline.detection.detector import Detector
from pipeline.detection.recipe import MapResult
from pipeline.files.names import (
    ANOMALY_MAP,
    ANOMALY_MASK,
    BRAIN_MASK,
    RESULT,
    pseudo_healthy,
    pseudo_healthy_modality,
)
from pipeline.files.nifti import voxel_volume_ml, write_volume
from pipeline.files.provenance import command_line, software
from pipeline.files.record.result import CaseResult, Provenance
from pipeline.maps.scoring import half_height, threshold_map
from pipeline.scores.case_metrics import top_mean


@dataclass(frozen=True)
class SourceMaps:
    """What a method found in a case, on the source grid.

    Attributes:
        anomaly_map: ``(X, Y, Z)`` float32, >= 0, 0 outside the brain.
        mask: ``(X, Y, Z)`` bool, None where there is no threshold.
        cut: value above which the map is in the mask, or None.
        pseudo_healthy: ``(C, X, Y, Z)`` float32 in scanner units, or None.
    """

    anomaly_map: np.ndarray
    mask: np.ndarray | None
    cut: float | None
    pseudo_healthy: np.ndarray | None


def to_source(prepared: Prepared, detector: Detector, result: MapResult) -> SourceMaps:
    """A method's result on the source grid, cut at the detector's threshold."""
    anomaly_map = prepared.to_source(result.anomaly_map)
    mask = cut = None
    if detector.threshold.value is not None:
        in_brain = anomaly_map[prepared.source_brain]
        cut = half_height(in_brain, detector.threshold.value, detector.ready.half_height)
        voxel_ml = voxel_volume_ml(prepared.source_affine)
        mask = threshold_map(anomaly_map, cut, voxel_ml, detector.ready.min_component_ml)
    restored = None
    if result.pseudo_healthy is not None:
        restored = prepared.to_source_intensity(result.pseudo_healthy)
    return SourceMaps(anomaly_map, mask, cut, restored)


@dataclass(frozen=True)
class Spent:
    """What a map cost: network evaluations a slice, and seconds."""

    evaluations_per_slice: int
    seconds: float


def case_result(
    prepared: Prepared,
    detector: Detector,
    maps: SourceMaps,
    spent: Spent,
    provenance: Provenance,
) -> CaseResult:
    """The content of ``result.json``, without the names of files."""
    voxel_ml = voxel_volume_ml(prepared.source_affine)
    score = float(top_mean(maps.anomaly_map[prepared.source_brain]))
    healthy = detector.calibrated
    return CaseResult(
        case=prepared.case.name,
        method=detector.name,
        score=score,
        p_value=None if healthy is None else healthy.p_value(score),
        healthy_cases=0 if healthy is None else len(healthy.scores),
        brain_ml=round(float(prepared.source_brain.sum() * voxel_ml), 3),
        anomalous_ml=None if maps.mask is None else round(float(maps.mask.sum() * voxel_ml), 3),
        threshold=detector.threshold,
        cut=maps.cut,
        evaluations_per_slice=spent.evaluations_per_slice,
        seconds=round(spent.seconds, 3),
        slices=len(prepared.slices),
        notes=prepared.notes,
        healthy_thresholds=None if healthy is None else dict(healthy.thresholds),
        inputs={m: str(f.path) for m, f in prepared.case.images.items()},
        provenance=provenance,
        software=software(),
        command=command_line(),
    )


def write_result(
    folder: Path,
    affine: np.ndarray,
    brain: np.ndarray,
    maps: SourceMaps,
    result: CaseResult,
) -> CaseResult:
    """Write a case's files, all on the source grid; ``result.json`` last, as the sign of done.

    ``anomaly.nii.gz`` (float32), ``brain_mask.nii.gz`` and ``mask.nii.gz`` (0 / 1),
    ``pseudo_healthy.nii.gz`` in scanner units (of several modalities one file each,
    ``pseudo_healthy_<modality>.nii.gz``).

    Args:
        affine: ``(4, 4)``, voxel index to world in millimetres.
        brain: ``(X, Y, Z)`` bool.

    Returns:
        The record with the names of the files.
    """
    volumes = {ANOMALY_MAP: maps.anomaly_map, BRAIN_MASK: brain}
    if maps.mask is not None:
        volumes[ANOMALY_MASK] = maps.mask
    if maps.pseudo_healthy is not None and result.provenance is not None:
        names = result.provenance.modalities
        for name, channel in zip(names, maps.pseudo_healthy, strict=True):
            volumes[pseudo_healthy(name, len(names))] = channel
    _remove_former(folder, volumes)
    for name, volume in volumes.items():
        write_volume(folder / name, volume, affine)
    complete = result.model_copy(update={"files": tuple(volumes)})
    complete.write(folder / RESULT)
    return complete


def _remove_former(folder: Path, names: Container[str]) -> None:
    """Remove mask and pseudo-healthy images of an earlier result that this one does not have."""
    for path in folder.iterdir() if folder.is_dir() else ():
        ours = path.name == ANOMALY_MASK or pseudo_healthy_modality(path.name) is not None
        if ours and path.name not in names:
            path.unlink()
