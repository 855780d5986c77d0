"""Detection in arrays: as `anomap detect` does it in files, voxel for voxel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.cases.loop import QUIET
from pipeline.cases.several import Selection
from pipeline.errors import InputError
from pipeline.files.images.header import FLATTEST
from pipeline.files.images.nifti import write_volume
from pipeline.files.images.reading import read_volume_or_zeros
from pipeline.files.names import (
    ANOMALY_MAP,
    ANOMALY_MASK,
    BRAIN_MASK,
    FINDINGS,
    RESULT,
    pseudo_healthy,
)
from pipeline.files.record.findings import Findings
from pipeline.files.record.result import CaseResult
from pipeline.files.scratch import remove_scratch, scratch_folder
from pipeline.study.detect import DetectOptions
from pipeline.study.detect import detect as detect_files

CASE = "scan"


@dataclass(frozen=True)
class Detection:
    """What was found in a scan; all arrays are on its grid, ``(X, Y, Z)``.

    Attributes:
        anomaly_map: float32, 0 or more, higher = more anomalous; 0 outside the brain.
        mask: bool, where the map is above the threshold; None where the method has none.
        pseudo_healthy: modality to the image as the network restores it, float32, in the scan's own
            units, 0 outside the brain.
        brain: bool, what was taken for the brain.
        score: of the whole scan: the mean of the highest 1 % of the map.
        findings: the parts of the mask in numbers and words.
        result: all else that `anomap detect` writes to ``result.json``: threshold, p-value, notes,
            provenance.
    """

    anomaly_map: np.ndarray
    mask: np.ndarray | None
    pseudo_healthy: Mapping[str, np.ndarray]
    brain: np.ndarray
    score: float
    findings: Findings
    result: CaseResult


def detect(
    image: np.ndarray | Mapping[str, np.ndarray],
    affine: np.ndarray,
    *,
    modality: str | None = None,
    brain_mask: np.ndarray | None = None,
    options: DetectOptions = DetectOptions(),
    device: str | None = None,
) -> Detection:
    """Find what is unusual in a scan.

    Args:
        image: voxels ``(X, Y, Z)``, any unit, one contrast, skull-stripped or a whole head; or
            modality to such arrays, for weights of several.
        affine: voxel index to world (RAS, millimetres), ``(4, 4)``.
        modality: ``flair``, ``t2``, ``t1``, ``t1ce`` for the weights that come with anomap; what a
            model of one's own was trained on. Not with a mapping, which says it.
        brain_mask: ``(X, Y, Z)``, above 0 inside the brain; None finds it.
        options: weights, threshold, seed.
        device: ``cpu``, ``cuda`` ...; None takes CUDA where there is one.

    Raises:
        InputError: the arrays cannot be a scan, no weights fit, or the scan is refused; in one
            line.
    """
    images = _images(image, modality)
    _check_affine(affine)
    folder = scratch_folder()
    try:
        return _detected(images, brain_mask, affine, folder, (options, device))
    except InputError as error:
        # Who gave arrays knows nothing of files.
        words = {f"{folder / 'in' / CASE}_{name}.nii": name for name in (*images, "brain_mask")}
        message = str(error)
        for path, name in words.items():
            message = message.replace(path, name)
        raise InputError(message) from error
    finally:
        remove_scratch(folder)


def _detected(
    images: Mapping[str, np.ndarray],
    brain_mask: np.ndarray | None,
    affine: np.ndarray,
    folder: Path,
    how: tuple[DetectOptions, str | None],
) -> Detection:
    """By way of files in a folder of this process alone."""
    shape = next(iter(images.values())).shape
    options, device = how
    placed = np.asarray(affine, np.float64)
    source = folder / "in"
    source.mkdir()
    for name, voxels in images.items():
        write_volume(source / f"{CASE}_{name}.nii", voxels, placed)
    if brain_mask is not None:
        inside = np.asarray(brain_mask) > 0
        if inside.shape != shape:
            raise InputError(f"brain_mask {inside.shape}: expected the image's {shape}")
        write_volume(source / f"{CASE}_brain_mask.nii", inside, placed)
    found = detect_files(
        source,
        folder / "out",
        options=options,
        selection=Selection(modalities=tuple(images)),
        execution=replace(QUIET, device=device),
    )
    if found.failed:
        raise InputError(next(iter(found.failed.values())))
    return _read(folder / "out" / found.done[0], tuple(images))


def _images(
    image: np.ndarray | Mapping[str, np.ndarray], modality: str | None
) -> dict[str, np.ndarray]:
    if isinstance(image, str | Path):
        raise InputError(
            f"{image}: detect takes arrays; files are for anomap.detect_files(path, out)"
        )
    if isinstance(image, Mapping) == (modality is not None):
        raise InputError(
            "say modality='flair' (t2, t1, t1ce ...) with an array, or give {modality: array}"
        )
    named = image if isinstance(image, Mapping) else {str(modality): image}
    images = {name: np.asarray(voxels) for name, voxels in named.items()}
    shapes = {voxels.shape for voxels in images.values()}
    for name, voxels in images.items():
        if voxels.ndim != 3 or voxels.dtype.kind not in "biuf":
            raise InputError(
                f"{name}: an array {voxels.shape} of {voxels.dtype}; expected (X, Y, Z), numbers"
            )
    if len(shapes) != 1:
        raise InputError(f"images of several shapes, {sorted(shapes)}; expected one grid")
    return {name: _storable(voxels) for name, voxels in images.items()}


def _storable(voxels: np.ndarray) -> np.ndarray:
    """In a type that NIfTI has and every program reads."""
    if voxels.dtype.kind == "f":
        return voxels.astype(np.float64 if voxels.dtype.itemsize > 4 else np.float32)
    is_small = voxels.dtype.kind == "b" or voxels.dtype.itemsize <= 2
    return voxels.astype(np.int32 if is_small else np.float64)


def _check_affine(affine: np.ndarray) -> None:
    given = np.asarray(affine, np.float64)
    if given.shape != (4, 4) or not np.isfinite(given).all():
        raise InputError(f"affine {given.shape}: expected (4, 4) finite numbers, in millimetres")
    edges = np.linalg.norm(given[:3, :3], axis=0)
    if abs(np.linalg.det(given[:3, :3])) <= FLATTEST * max(float(edges.prod()), 1e-12):
        raise InputError("affine: singular, so that voxels have no volume")


def _read(folder: Path, modalities: tuple[str, ...]) -> Detection:
    result = CaseResult.read(folder / RESULT)
    restored = {name: folder / pseudo_healthy(name, len(modalities)) for name in modalities}
    mask = folder / ANOMALY_MASK
    return Detection(
        anomaly_map=read_volume_or_zeros(folder / ANOMALY_MAP).data,
        mask=read_volume_or_zeros(mask).data > 0 if mask.is_file() else None,
        pseudo_healthy={
            name: read_volume_or_zeros(path).data
            for name, path in restored.items()
            if path.is_file()
        },
        brain=read_volume_or_zeros(folder / BRAIN_MASK).data > 0,
        score=float(result.score or 0.0),
        findings=Findings.read(folder / FINDINGS) if mask.is_file() else Findings(),
        result=result,
    )
