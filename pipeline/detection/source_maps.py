"""What was found in a case, on the grid of its scan: maps, the record of them, and the files."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cases.case import Case
from pipeline.cases.transforms import Prepared
from pipeline.detection.case_work import measured_map
from pipeline.detection.detector import Detector
from pipeline.detection.methods.table import OURS
from pipeline.detection.recipe import MapResult
from pipeline.files.folder.disk import FLOOR
from pipeline.files.folder.ownership import claim
from pipeline.files.images import formats
from pipeline.files.images.nifti import write_volume
from pipeline.files.images.pairs import files_of
from pipeline.files.images.pictures import write_picture
from pipeline.files.images.reading import read_volume
from pipeline.files.images.volume import SFORM_ALONE, Forms, voxel_volume_ml
from pipeline.files.names import (
    ANOMALY_MAP,
    ANOMALY_MASK,
    BRAIN_MASK,
    FINDINGS,
    FINDINGS_TABLE,
    OVERLAY,
    RESULT,
    pseudo_healthy,
    pseudo_healthy_modality,
)
from pipeline.files.provenance import command_line, software
from pipeline.files.record.result import CaseResult, OutputFile, Provenance
from pipeline.files.writing import remove
from pipeline.findings.describe import Called
from pipeline.findings.folder import write_findings
from pipeline.maps.overlay import overlay
from pipeline.maps.scoring import half_height, threshold_map
from pipeline.scores.case_metrics import top_mean
from pipeline.stages import stage

FUSED = "fused"
"""The method of results that were made of others."""
NOTED_SHARE = 0.15
"""Of the brain in the mask, from which it is a note."""
NOTED_P_VALUE = 0.05


@dataclass(frozen=True)
class SourceMaps:
    """What a method found in a case, on the source grid.

    Attributes:
        anomaly_map: ``(X, Y, Z)`` float32, >= 0, 0 outside the brain.
        mask: ``(X, Y, Z)`` bool, None where there is no threshold.
        cut: value above which the map is in the mask, or None.
        pseudo_healthy: ``(C, X, Y, Z)`` float32 in scanner units, or None.
        forms: of the scan's header, with which the files are written.
        overlay: of a picture, by our method: map and mask over it, ``(rows, columns, 3)`` uint8.
    """

    anomaly_map: np.ndarray
    mask: np.ndarray | None
    cut: float | None
    pseudo_healthy: np.ndarray | None
    forms: Forms = SFORM_ALONE
    overlay: np.ndarray | None = None


def to_source(prepared: Prepared, detector: Detector, result: MapResult) -> SourceMaps:
    """A method's result on the source grid, cut at the detector's threshold.

    Raises:
        InputError: nothing was measured.
    """
    anomaly_map = measured_map(prepared, result.anomaly_map)
    mask = cut = None
    if detector.threshold.value is not None:
        in_brain = anomaly_map[prepared.source_brain]
        cut = half_height(in_brain, detector.threshold.value, detector.ready.half_height)
        voxel_ml = voxel_volume_ml(prepared.source_affine)
        mask = threshold_map(anomaly_map, cut, voxel_ml, detector.ready.min_component_ml)
    restored = None
    if result.pseudo_healthy is not None:
        restored = prepared.to_source_intensity(result.pseudo_healthy)
    drawn = detector.name == OURS and is_picture(prepared)
    seen = _overlay(prepared, detector, anomaly_map, mask) if drawn else None
    return SourceMaps(anomaly_map, mask, cut, restored, prepared.source_forms, seen)


def is_picture(prepared: Prepared) -> bool:
    """Whether a case is a picture, of which nobody says how large what it shows is."""
    return any(formats.is_picture(file.path) for file in prepared.case.images.values())


def _overlay(
    prepared: Prepared, detector: Detector, anomaly_map: np.ndarray, mask: np.ndarray | None
) -> np.ndarray:
    """A picture with its map in colours from half the threshold on: healthy ones are grey."""
    file = next(iter(prepared.case.images.values()))
    grey = read_volume(file.path, file.channel).data
    threshold = detector.threshold.value or 0.0
    window = threshold / 2, max(float(anomaly_map.max()), 2 * threshold)
    flat = None if mask is None else mask[:, :, 0]
    return overlay(grey[:, :, 0], anomaly_map[:, :, 0], flat, window)


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
    unlike: str | None = None,
) -> CaseResult:
    """The content of ``result.json``, without the names of files.

    Args:
        unlike: what `Detector.unlike` says of the case.
    """
    score = float(top_mean(maps.anomaly_map[prepared.source_brain]))
    healthy = detector.calibrated
    p_value = None if healthy is None or unlike else healthy.p_value(score)
    return CaseResult(
        case=prepared.case.name,
        method=detector.name,
        score=score,
        p_value=p_value,
        healthy_cases=0 if healthy is None else len(healthy.scores),
        **_sizes(prepared, maps.mask),
        threshold=detector.threshold,
        cut=maps.cut,
        evaluations_per_slice=spent.evaluations_per_slice,
        seconds=round(spent.seconds, 3),
        slices=len(prepared.slices),
        notes=(
            *prepared.notes,
            *((unlike,) if unlike else ()),
            *_notes_of_mask(prepared, maps, p_value),
        ),
        healthy_thresholds=None if healthy is None else dict(healthy.thresholds),
        inputs={m: str(f.path) for m, f in prepared.case.images.items()},
        provenance=provenance,
        software=software(),
        command=command_line(),
    )


def _sizes(prepared: Prepared, mask: np.ndarray | None) -> dict[str, Any]:
    """Of brain and mask: millilitres, or pixels of a picture, as `CaseResult` names them."""
    n_brain = int(prepared.source_brain.sum())
    n_called = None if mask is None else int(mask.sum())
    if is_picture(prepared):
        return {"brain_pixels": n_brain, "anomalous_pixels": n_called}
    voxel_ml = voxel_volume_ml(prepared.source_affine)
    called_ml = None if n_called is None else round(float(n_called * voxel_ml), 3)
    return {"brain_ml": round(float(n_brain * voxel_ml), 3), "anomalous_ml": called_ml}


LEAST_SHARE = {".gz": 0.1, ".mgz": 0.1}
LEAST_OF_OTHERS = 0.01
"""Of the bytes of an image, by its suffix, that a result takes at least.

Of those that may not be compressed it is `LEAST_OF_OTHERS`.

A result of a skull-stripped scan takes some five times the bytes of the compressed image. It is
less of a head, and of voxels that are stored in more bytes, or not compressed, than needed."""


def least_bytes(cases: Iterable[Case]) -> int:
    """Bytes that the results of cases take at least, for any of them that the disk must hold."""
    total = FLOOR
    for case in cases:
        for file in case.images.values():
            size = sum(p.stat().st_size for p in files_of(file.path) if p.is_file())
            share = LEAST_SHARE.get(file.path.suffix.lower(), LEAST_OF_OTHERS)
            total += int(size * share) if file.channel is None else 0
    return total


def claim_result(folder: Path, modalities: Sequence[str], n_bytes: int = FLOOR) -> None:
    """See, before it is computed, that a result can be written to the folder of a case.

    Raises:
        InputError: see `claim`.
    """
    restored = (pseudo_healthy(name, len(modalities)) for name in modalities)
    tables = (RESULT, FINDINGS, FINDINGS_TABLE)
    names = (*tables, ANOMALY_MAP, ANOMALY_MASK, BRAIN_MASK, OVERLAY, *restored)
    claim(folder, names, n_bytes=n_bytes)


def _notes_of_mask(prepared: Prepared, maps: SourceMaps, p_value: float | None) -> tuple[str, ...]:
    """That so much is called that the rest of the brain is no measure of what is healthy."""
    if maps.mask is None:
        return ()
    share = float(maps.mask[prepared.source_brain].mean())
    if share < NOTED_SHARE:
        return ()
    note = f"{100 * share:.0f} % of the brain are in the mask; a map is relative to the rest of it"
    if p_value is not None and p_value > NOTED_P_VALUE:
        note += f", and {100 * p_value:.0f} % of healthy cases score as high"
    return (f"{note}: look at the scan, more or less of it may be abnormal",)


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
    ``pseudo_healthy_<modality>.nii.gz``). Of a picture ``overlay.png`` too; of a volume, by our
    method, ``findings.json`` and ``findings.csv``.

    Args:
        affine: ``(4, 4)``, voxel index to world in millimetres.
        brain: ``(X, Y, Z)`` bool.

    Returns:
        The record with the files.
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
        write_volume(folder / name, volume, affine, maps.forms)
    names_written = list(volumes)
    if maps.overlay is not None:
        write_picture(folder / OVERLAY, maps.overlay)
        names_written.append(OVERLAY)
    written = tuple(OutputFile.of(folder / name, name=name) for name in names_written)
    complete = result.model_copy(update={"files": written})
    if result.method in (OURS, FUSED) and result.brain_pixels is None:
        _write_findings(folder, affine, brain, maps, complete)
    complete.write(folder / RESULT)
    return complete


def _write_findings(
    folder: Path, affine: np.ndarray, brain: np.ndarray, maps: SourceMaps, result: CaseResult
) -> None:
    """The parts of the mask in words and numbers; none where there is no mask."""
    if maps.mask is not None:
        image = None if maps.pseudo_healthy is None else maps.pseudo_healthy[0]
        with stage("findings"):
            write_findings(
                folder, Called(maps.mask, maps.anomaly_map, brain, affine, image), result
            )


def _remove_former(folder: Path, names: Container[str]) -> None:
    """Remove what is optional of an earlier result: mask, overlay, pseudo-healthy images."""
    for path in list(folder.iterdir()) if folder.is_dir() else ():
        made = (
            path.name in (ANOMALY_MASK, OVERLAY) or pseudo_healthy_modality(path.name) is not None
        )
        if made and path.name not in names:
            remove(path)
