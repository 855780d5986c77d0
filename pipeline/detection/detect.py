"""A case to its anomaly map, mask and pseudo-healthy image on the source grid, on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import __version__
from pipeline.cases.case import Case, ImageFile
from pipeline.cases.loop import Execution, each_case
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.detection.calibration import threshold_rule
from pipeline.detection.methods import (
    METHODS,
    MapResult,
    Method,
    missing_atlases,
    needed_atlases,
)
from pipeline.errors import InputError
from pipeline.files.names import ANOMALY_MAP, ANOMALY_MASK, BRAIN_MASK, RESULT, pseudo_healthy
from pipeline.files.nifti import make_folder, voxel_volume_ml, write_volume
from pipeline.files.provenance import command_line, software
from pipeline.files.record.calibration import Calibration, MethodCalibration
from pipeline.files.record.result import CaseResult, InputFile, Provenance, Threshold
from pipeline.maps.scoring import half_height, threshold_map
from pipeline.run.model import Model
from pipeline.scores.metrics import top_mean


@dataclass(frozen=True)
class Detector:
    """One method, ready to run on cases.

    Attributes:
        name: in `METHODS`.
        model: what it needs; None for methods without a network.
        min_component_ml: smaller parts of the mask are dropped.
        half_height: see `pipeline.maps.scoring.half_height`; 0 is off.
        check: raises InputError for a case that the weights were not made for.
        calibrated: what healthy cases gave; None where the method is not calibrated.
        seed: of the noise.
    """

    name: str
    model: Model | None
    threshold: Threshold
    min_component_ml: float
    seed: int
    half_height: float = 0.0
    check: Callable[[Prepared], None] | None = None
    calibrated: MethodCalibration | None = None

    @property
    def method(self) -> Method:
        """The entry of `METHODS`."""
        return METHODS[self.name]

    def provenance(self, case: Case, transforms: CaseTransforms) -> Provenance:
        """All that a case's result depends on; see `is_done`."""
        settings = self.method.settings
        if self.method.recipe is not None and self.model is not None:
            settings = asdict(self.method.recipe(self.model.config.detection))
        weights = atlases = None
        if self.model is not None:
            weights = self.model.weights_sha256
            if needed_atlases(self.name, self.model):
                atlases = self.model.atlases_sha256
        return Provenance(
            anomap=__version__,
            method=self.name,
            settings=plain(settings),
            seed=self.seed,
            inputs=tuple(_input_file(file) for file in case.files),
            modalities=transforms.load.modalities,
            grid=asdict(transforms.grid),
            brain_extraction=transforms.load.extract_brain is not None,
            threshold=self.threshold,
            min_component_ml=self.min_component_ml,
            half_height=self.half_height,
            weights_sha256=weights,
            atlases_sha256=atlases,
        )


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back: lists for tuples."""
    return dict(json.loads(json.dumps(dict(settings))))


def _input_file(file: ImageFile) -> InputFile:
    state = file.path.stat() if file.path.exists() else None
    return InputFile(
        path=str(file.path.resolve()),
        channel=file.channel,
        bytes=state.st_size if state else None,
        modified_ns=state.st_mtime_ns if state else None,
    )


def make_detector(
    name: str,
    model: Model | None,
    calibration: Calibration,
    *,
    false_positive_rate: float | None = None,
    seed: int = 0,
) -> Detector:
    """A method with its threshold from the calibration.

    Args:
        false_positive_rate: None takes the model's, or 1 % where there is no model.

    Raises:
        InputError: the rate is not calibrated, or the run lacks an atlas that the method needs, or
            was trained with another noise.
    """
    wanted = METHODS[name].noise
    if model is not None and wanted not in (None, model.noise):
        raise InputError(
            f"{model.path}: trained with {model.noise} noise; {name} needs a {wanted} run"
        )
    if reason := missing_atlases(name, model):
        raise InputError(reason)
    rate = false_positive_rate
    if rate is None:
        rate = model.config.detection.false_positive_rate if model is not None else 0.01
    threshold = Threshold(rule="not calibrated")
    if name in calibration.methods:
        value = calibration.methods[name].threshold(rate)
        threshold = Threshold(value=value, rule=threshold_rule(calibration, name, rate))
    min_ml = share = 0.0
    if (recipe := METHODS[name].recipe) is not None:
        assert model is not None
        min_ml = recipe(model.config.detection).min_component_ml
        share = recipe(model.config.detection).half_height
    calibrated = calibration.methods.get(name)
    return Detector(name, model, threshold, min_ml, seed, share, calibrated=calibrated)


def detect_cases(
    cases: Sequence[Case],
    detectors: Mapping[str, Detector],
    transforms: CaseTransforms,
    out_dirs: Mapping[str, Path],
    *,
    description: str = "detecting",
    execution: Execution = Execution(),
) -> dict[str, str]:
    """Run detectors on cases; each leaves ``out_dirs[name]/<case>/``, see `write_result`.

    A case that is done by the same weights and settings is skipped, so a broken-off run goes on
    where it stopped. A case that fails does not stop the others.

    Returns:
        Case name -> reason for those that failed.

    Raises:
        InputError: an output folder cannot be written to.
    """
    for folder in out_dirs.values():
        make_folder(folder)

    def detect_all(case: Case) -> None:
        records = {n: d.provenance(case, transforms) for n, d in detectors.items()}
        todo = {
            name: record
            for name, record in records.items()
            if execution.overwrite or not is_done(out_dirs[name] / case.name, record)
        }
        if not todo:
            return
        prepared = transforms(case)
        for name, record in todo.items():
            if (check := detectors[name].check) is not None:
                check(prepared)
            detect_case(prepared, detectors[name], out_dirs[name] / case.name, record)

    by_name = {case.name: case for case in cases}
    return each_case(by_name, detect_all, description=description, execution=execution).failed


def is_done(folder: Path, provenance: Provenance) -> bool:
    """Whether the folder holds a finished result of the same inputs, weights and settings.

    Raises:
        InputError: it holds a finished result of others.
    """
    try:
        result = CaseResult.of(folder)
    except InputError:  # torn, or of something else: it is made anew
        return False
    if result is None or result.provenance is None:
        return False
    if changed := result.provenance.changes(provenance):
        raise InputError(
            f"{folder}: holds a result with other {', '.join(changed)}; give --overwrite to "
            "replace it, or another output folder"
        )
    return all((folder / name).is_file() for name in result.files)


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
        cut = half_height(in_brain, detector.threshold.value, detector.half_height)
        voxel_ml = voxel_volume_ml(prepared.source_affine)
        mask = threshold_map(anomaly_map, cut, voxel_ml, detector.min_component_ml)
    restored = None
    if result.pseudo_healthy is not None:
        restored = prepared.to_source_intensity(result.pseudo_healthy)
    return SourceMaps(anomaly_map, mask, cut, restored)


def detect_case(
    prepared: Prepared, detector: Detector, folder: Path, provenance: Provenance
) -> CaseResult:
    """Compute one case's map, bring it to the source grid and write everything.

    Returns:
        The content of ``result.json``.
    """
    start = time.monotonic()
    (folder / RESULT).unlink(missing_ok=True)
    found = detector.method.compute(prepared, detector.model, detector.seed)
    maps = to_source(prepared, detector, found)
    seconds = time.monotonic() - start + found.earlier_seconds
    spent = Spent(found.evaluations, seconds)
    result = case_result(prepared, detector, maps, spent, provenance)
    return write_result(folder, prepared.source_affine, prepared.source_brain, maps, result)


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
    else:
        (folder / ANOMALY_MASK).unlink(missing_ok=True)
    if maps.pseudo_healthy is not None and result.provenance is not None:
        names = result.provenance.modalities
        for name, channel in zip(names, maps.pseudo_healthy, strict=True):
            volumes[pseudo_healthy(name, len(names))] = channel
    for name, volume in volumes.items():
        write_volume(folder / name, volume, affine)
    complete = result.model_copy(update={"files": tuple(volumes)})
    complete.write(folder / RESULT)
    return complete
