"""A case as the viewer shows it: its volumes made small, and where to look first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import ndimage

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.loop import QUIET, each_case
from pipeline.errors import InputError
from pipeline.files.images.reading import read_labels, read_mask, read_volume_or_zeros
from pipeline.files.images.volume import Volume, grid_difference
from pipeline.files.names import ANOMALY_MAP, ANOMALY_MASK, BRAIN_MASK, pseudo_healthy_modality
from pipeline.files.record.findings import Findings
from pipeline.files.record.result import CaseResult
from pipeline.findings.folder import findings_in
from pipeline.report.miniature import Frame, encode, encode_labels, frame_of, sample

Reader = Callable[[Path, int | None], Volume]
Kind = Literal["image", "restored", "map", "mask", "label"]

IMAGE_VOXELS, MAP_VOXELS = 900_000, 350_000
"""Of a miniature: the image shows detail, a map has no more than the grid it was made on."""
INNER, EDGE = 10, 110
"""Added to the voxels of a mask or label, inside and at its surface, so that it can be outlined."""
MAX_LABEL = EDGE - INNER - 1
BRIGHT_QUANTILE, TOP_QUANTILE = 0.995, 0.999
MAX_TOP = 8
"""Of the colour scale, in thresholds: one glaring case must not make all others dark."""


@dataclass(frozen=True)
class Layer:
    """One volume of a case.

    Attributes:
        kind: how it is drawn.
        title: for people.
        low, high: the range that is shown, in the volume's own units.
        data: see `miniature.encode`.
    """

    kind: Kind
    title: str
    low: float
    high: float
    data: str


@dataclass(frozen=True)
class View:
    """One case, ready to be shown.

    Attributes:
        layers: what lies below comes first.
        peak_mm, lesion_mm: world coordinates of the highest value of the map, and of the middle of
            the lesion; None where there is none.
        threshold: value of the map above which it is in the mask.
        notes: what could not be shown, and why.
        others: the map and mask of further methods, by whose names they go.
        findings: the parts of its mask; None where they were not described.
    """

    name: str
    layers: tuple[Layer, ...]
    peak_mm: tuple[float, ...] | None = None
    lesion_mm: tuple[float, ...] | None = None
    threshold: float | None = None
    notes: tuple[str, ...] = field(default=())
    others: tuple[View, ...] = field(default=())
    findings: Findings | None = None


def map_top(folders: Sequence[Path], threshold: float | None = None) -> float:
    """The upper end of a colour scale that several cases share, so that healthy brains look so.

    Args:
        folders: of cases; a map that cannot be read has no part in it.
        threshold: of the maps; the end is no further than `MAX_TOP` times it.
    """
    by_folder = {str(folder): folder for folder in folders}
    tops = each_case(by_folder, _top, description="scale", execution=QUIET).done
    top = max(tops.values(), default=1.0) or 1.0
    return min(top, MAX_TOP * threshold) if threshold and threshold > 0 else top


def _top(folder: Path) -> float:
    values = read_volume_or_zeros(folder / ANOMALY_MAP).data
    inside = values[values > 0]
    return float(np.quantile(inside, TOP_QUANTILE)) if inside.size else 0.0


def images_of(result: CaseResult) -> dict[str, ImageFile]:
    """Modality -> file of the images that a result says it was made from."""
    records = () if result.provenance is None else result.provenance.inputs
    channels = {record.path: record.channel for record in records}
    return {
        modality: ImageFile(Path(path), channels.get(str(Path(path).resolve())))
        for modality, path in result.inputs.items()
    }


def view_case(
    folder: Path, result: CaseResult, case: Case | None = None, *, top: float | None = None
) -> View:
    """Make a view from the folder that a detection left.

    Args:
        folder: holds ``anomaly.nii.gz`` and, where they were made, the other volumes of
            `detection.source_maps.write_result`.
        result: its record; it says where the images lie if ``case`` is None.
        case: with images and label.
        top: upper end of the colour scale of the map; None takes this case's own.

    Raises:
        InputError: there is no readable map.
    """
    anomaly = read_volume_or_zeros(folder / ANOMALY_MAP)
    beside = _Beside(anomaly)
    images = _images(case.images if case else images_of(result), beside)
    restored = _restored(folder, beside)
    brain = _brain(folder, anomaly)
    n_detailed = max(len(images) + len(restored), 1)
    frames = _Frames(
        frame_of(brain, anomaly.affine, IMAGE_VOXELS * 2 // max(n_detailed, 2)),
        frame_of(brain, anomaly.affine, MAP_VOXELS),
    )
    found, peak_mm = _map_layers(folder, beside, frames, top)
    layers = [*_detailed(images, restored, brain, frames), *found]
    lesion_mm = None
    if case is not None and case.label is not None:
        label = beside.labels(case.label)
        if label is not None and label.any():
            layers.append(_outlined("label", "Label", label, frames.fine))
            lesion_mm = _middle_mm(label > 0, anomaly.affine)
    findings = _findings(folder, beside)
    notes = tuple(beside.notes)
    cut = result.mask_cut
    return View(folder.name, tuple(layers), peak_mm, lesion_mm, cut, notes=notes, findings=findings)


def _findings(folder: Path, beside: _Beside) -> Findings | None:
    """Those of the folder; what is to be known of them is noted."""
    try:
        found = findings_in(folder)
    except InputError as error:
        beside.notes.append(f"Its findings are not shown: {error}")
        return None
    beside.notes.extend(() if found is None else found.notes)
    return found


def view_map(folder: Path, result: CaseResult, method: str, *, top: float) -> View:
    """Map and mask alone, of a case that `view_case` shows with another method; arguments are its.

    Raises:
        InputError: there is no readable map.
    """
    anomaly = read_volume_or_zeros(folder / ANOMALY_MAP)
    beside, brain = _Beside(anomaly), _brain(folder, anomaly)
    fine, coarse = (
        frame_of(brain, anomaly.affine, voxels) for voxels in (IMAGE_VOXELS, MAP_VOXELS)
    )
    layers, peak_mm = _map_layers(folder, beside, _Frames(fine, coarse), top)
    findings = _findings(folder, beside)
    notes = tuple(beside.notes)
    cut = result.mask_cut
    return View(method, tuple(layers), peak_mm, threshold=cut, notes=notes, findings=findings)


@dataclass(frozen=True)
class _Frames:
    """Of images, masks and labels, and of what was made on the working grid."""

    fine: Frame
    coarse: Frame


@dataclass(frozen=True)
class _Beside:
    """Reads what lies on the grid of a map, and notes what cannot be shown."""

    anomaly: Volume
    notes: list[str] = field(default_factory=list)

    def volume(self, file: ImageFile, what: str) -> np.ndarray | None:
        """Voxels ``(X, Y, Z)``, None where the file is missing or on another grid."""
        try:
            volume = read_volume_or_zeros(file.path, file.channel)
        except InputError as error:
            self.notes.append(f"{what} is not shown: {error}")
            return None
        if grid_difference(volume, self.anomaly):
            self.notes.append(f"{what} is not shown: it lies on another grid than the map.")
            return None
        return volume.data

    def labels(self, file: ImageFile, read: Reader = read_labels) -> np.ndarray | None:
        """Whole numbers from 0 to `MAX_LABEL`, as `volume`; a missing file is no fault."""
        if not file.path.is_file():
            return None
        try:
            volume = read(file.path, file.channel)
        except InputError as error:
            self.notes.append(str(error))
            return None
        if grid_difference(volume, self.anomaly):
            name = file.path.name
            self.notes.append(f"{name} is not shown: it lies on another grid than the map.")
            return None
        return np.clip(volume.data.astype(np.int32), 0, MAX_LABEL)


def _map_layers(
    folder: Path, beside: _Beside, frames: _Frames, top: float | None
) -> tuple[list[Layer], tuple[float, ...] | None]:
    """Map and mask of a folder, and where the map is highest."""
    small_map = np.clip(sample(beside.anomaly.data, frames.coarse), 0, None)
    high = top or _top(folder) or 1.0
    layers = [_continuous("map", "Anomaly map", small_map, frames.coarse, (0.0, high))]
    if (mask := beside.labels(ImageFile(folder / ANOMALY_MASK), read_mask)) is not None:
        layers.append(_outlined("mask", "Mask", mask, frames.fine))
    return layers, _peak_mm(small_map, frames.coarse)


def _images(files: Mapping[str, ImageFile], beside: _Beside) -> dict[str, np.ndarray]:
    images = {}
    for modality, file in files.items():
        data = beside.volume(file, f"The {modality.upper()} image")
        if data is not None:
            images[modality.upper()] = data
    if not files:
        beside.notes.append("Nothing says which image the map was made from.")
    return images


def _restored(folder: Path, beside: _Beside) -> dict[str, np.ndarray]:
    restored = {}
    for path in sorted(folder.iterdir()):
        modality = pseudo_healthy_modality(path.name)
        if modality is None:
            continue
        data = beside.volume(ImageFile(path), "The pseudo-healthy image")
        if data is not None:
            restored[f"Pseudo-healthy {modality.upper()}".strip()] = data
    return restored


def _brain(folder: Path, anomaly: Volume) -> np.ndarray:
    path = folder / BRAIN_MASK
    brain = read_mask(path).data if path.is_file() else anomaly.data > 0
    return brain if brain.shape == anomaly.data.shape else anomaly.data > 0


def _detailed(
    images: Mapping[str, np.ndarray],
    restored: Mapping[str, np.ndarray],
    brain: np.ndarray,
    frames: _Frames,
) -> list[Layer]:
    """Layers of the images, and of the restored ones in the same windows."""
    layers, windows = [], []
    for title, data in images.items():
        windows.append(_window(data[brain] if brain.any() else data))
        small = sample(data, frames.fine)
        layers.append(_continuous("image", title, small, frames.fine, windows[-1]))
    for i, (title, data) in enumerate(restored.items()):
        small = sample(data, frames.coarse)
        window = (0.0, float(small.max()) or 1.0)
        if windows:
            window = windows[min(i, len(windows) - 1)]
        layers.append(_continuous("restored", title, small, frames.coarse, window))
    return layers


def _window(inside: np.ndarray) -> tuple[float, float]:
    """The range of an image that is shown, from its brain voxels ``(n,)``."""
    low, high = min(float(inside.min()), 0.0), float(np.quantile(inside, BRIGHT_QUANTILE))
    return low, high if high > low else low + 1.0


def _continuous(
    kind: Kind, title: str, small: np.ndarray, frame: Frame, window: tuple[float, float]
) -> Layer:
    return Layer(kind, title, *window, encode(small, frame.affine, *window))


def _outlined(kind: Kind, title: str, labels: np.ndarray, frame: Frame) -> Layer:
    small = sample(labels, frame, labels=True)
    inside = ndimage.binary_erosion(small > 0, border_value=1)
    coded = np.where(small > 0, small + np.where(inside, INNER, EDGE), 0)
    return Layer(kind, title, 0.0, 255.0, encode_labels(coded, frame.affine))


def _peak_mm(small_map: np.ndarray, frame: Frame) -> tuple[float, ...] | None:
    if not small_map.any():
        return None
    return _world(np.unravel_index(int(small_map.argmax()), small_map.shape), frame.affine)


def _middle_mm(lesion: np.ndarray, affine: np.ndarray) -> tuple[float, ...]:
    """A voxel of the lesion, nearest to the middle of its largest section along the third axis."""
    z = int(lesion.sum((0, 1)).argmax())
    points = np.argwhere(lesion[:, :, z])
    nearest = points[((points - points.mean(0)) ** 2).sum(1).argmin()]
    return _world((*nearest, z), affine)


def _world(index: Sequence[int | np.intp], affine: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(v), 2) for v in (affine @ [*map(float, index), 1.0])[:3])
