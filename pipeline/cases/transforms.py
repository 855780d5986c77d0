"""From a case to a slice stack and back, as invertible MONAI dictionary transforms."""

from __future__ import annotations

import typing
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    InvertibleTransform,
    MapTransform,
    ScaleIntensityRange,
    SpatialResample,
    Transposed,
)
from monai.utils import TraceKeys
from scipy import ndimage
from torch import Tensor

from pipeline.cases.brain.find import find_brain
from pipeline.cases.brain.view import notes_of_view
from pipeline.cases.brain.window import robust_window, whole_window
from pipeline.cases.case import Case
from pipeline.cases.grid import Grid, grid_affine
from pipeline.cases.layouts.names import PICTURE
from pipeline.cases.loading import (
    BrainExtractor,
    mask_on_grid,
    memory_for,
    read_modalities,
    shape_on_disk,
)
from pipeline.errors import InputError
from pipeline.files.identity import arrays_hash, brain_hash
from pipeline.files.images.volume import SFORM_ALONE, Forms, Volume
from pipeline.stages import stage

IMAGE, BRAIN, EXCLUDE = "image", "brain_mask", "exclude"
"""Keys of the dictionary that a case is while it is transformed."""
FORMS, NOTES, CONTENT = "forms", "notes", "content"
"""Further keys: the first image's `Forms`, what reading had to guess, and the brain's hash."""
BACKGROUND = -1.0
"""Value of all voxels outside the brain."""
HALF = 0.5 - 1e-4
"""Share of brain from which a voxel of the working grid is brain. Shares of exactly one half are
common, and rounding, which differs with the order of a file's axes, must not decide them."""


@dataclass(frozen=True)
class Prepared:
    """A case on the working grid, and the way back.

    Attributes:
        case: where it came from.
        slices: slice stack ``(N, C, H, W)`` float32 in [-1, 1], background exactly -1. Rows run
            from posterior to anterior, columns from left to right, slices from inferior upwards.
        brain: True inside the brain, ``(N, 1, H, W)`` bool.
        healthy: as ``brain``, less the voxels of the case's exclude mask.
        source_brain: brain mask on the source grid, ``(X, Y, Z)`` bool.
        source_healthy: as ``healthy``, on the source grid.
        source_affine: affine of the source grid, ``(4, 4)``.
        source_forms: how the source's header says it.
        grid: the working grid.
        notes: what a user should know about this case.
        content: hash of the brain; see `brain_hash`. Noise is seeded by it, not by a name.
    """

    case: Case
    slices: Tensor
    brain: Tensor
    healthy: Tensor
    source_brain: np.ndarray
    source_healthy: np.ndarray
    source_affine: np.ndarray
    source_forms: Forms
    grid: Grid
    notes: tuple[str, ...]
    content: str
    _image: MetaTensor
    _transforms: CaseTransforms

    @classmethod
    def on_grid(
        cls, case: Case, slices: Tensor, brain: Tensor, grid: Grid, *, content: str | None = None
    ) -> Prepared:
        """A case of which the working grid alone is known: there is no way back to a source.

        Args:
            case: where it came from.
            slices: ``(N, C, H, W)`` float32 in [-1, 1].
            brain: ``(N, 1, H, W)`` bool.
            grid: the working grid.
            content: of the source, where it is known; None takes that of the slices.
        """
        inside = brain[:, 0].numpy()
        return cls(
            *(case, slices, brain, brain, inside, inside, np.eye(4), SFORM_ALONE, grid, ()),
            content=content or arrays_hash(slices.numpy(), brain.numpy()),
            _image=MetaTensor(slices),
            _transforms=CaseTransforms((), grid),
        )

    @property
    def grid_affine(self) -> np.ndarray:
        """Affine ``(4, 4)`` of the working grid in mm, with X along columns and Z along slices."""
        return _affine_of(self._image)

    def to_source(self, maps: Tensor) -> np.ndarray:
        """Per-slice maps ``(N, 1, H, W)`` on the source grid, ``(X, Y, Z)`` float32.

        Linear interpolation among brain voxels; exactly 0 outside the brain.
        """
        with memory_for(self.source_brain.shape, 1):
            volume = self._back(maps)[0].numpy()
        return np.where(self.source_brain, volume, 0.0).astype(np.float32)

    def to_source_intensity(self, slices: Tensor) -> np.ndarray:
        """Slices ``(N, C, H, W)`` in [-1, 1] as an image in scanner units, ``(C, X, Y, Z)``.

        Exactly 0 outside the brain, and outside the model's field of view.
        """
        with memory_for(self.source_brain.shape, slices.shape[1]):
            item: dict[Hashable, Any] = {IMAGE: self._back(slices)}
            volume = self._transforms.intensity.inverse(item)[IMAGE].numpy()
            covered = self.source_brain & (self._back(self.brain.float())[0].numpy() > 0)
            return np.where(covered, volume, 0.0).astype(np.float32)

    def _back(self, stack: Tensor) -> MetaTensor:
        """A stack ``(N, C, H, W)`` on the source grid, ``(C, X, Y, Z)``, from brain voxels only.

        Values are weighted with the brain mask, so that what lies outside does not bleed in.
        """
        weighted = torch.cat([stack * self.brain, self.brain.float()], dim=1)
        traced = MetaTensor(
            weighted.detach().cpu().float().contiguous(),
            meta=dict(self._image.meta),
            applied_operations=[_of_any_process(op) for op in self._image.applied_operations],
        )
        moved = self._transforms.spatial.inverse({IMAGE: traced})[IMAGE]
        result: MetaTensor = moved[:-1] / moved[-1:].clamp_min(1e-3)
        return result


class LoadCased(MapTransform):
    """Reads a `Case`: image ``(C, X, Y, Z)``, brain mask and exclude mask ``(1, X, Y, Z)``.

    Masks on another grid are brought to the image's through the affines.

    Args:
        modalities: channels of the image, in this order.
        extract_brain: for images that are not skull-stripped; None makes those an error.

    Raises:
        InputError: a modality is missing, grids differ, or no brain is found.
    """

    def __init__(
        self, modalities: Sequence[str], extract_brain: BrainExtractor | None = None
    ) -> None:
        super().__init__(keys="case")
        self.modalities = tuple(modalities)
        self.extract_brain = extract_brain

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """``data`` with the arrays of its ``case``, float32, and what is to be said of them."""
        case: Case = data["case"]
        with stage("read"):
            volumes = read_modalities(case, self.modalities)
        first = volumes[0]
        with stage("find the brain"):
            found = find_brain(case, volumes, self.extract_brain)
        brain = found.mask
        exclude = np.zeros_like(brain)
        excluded: tuple[str, ...] = ()
        if case.exclude is not None:
            # What finds white-matter lesions writes probabilities as often as masks.
            mask = mask_on_grid(case.exclude, first, probable=True)
            exclude, excluded = mask.data, mask.notes
        affine = torch.as_tensor(first.affine)
        images = {m: v.data for m, v in zip(self.modalities, volumes, strict=True)}
        return {
            **data,
            IMAGE: MetaTensor(np.stack([v.data for v in volumes]), affine=affine),
            BRAIN: MetaTensor(brain[None].astype(np.float32), affine=affine),
            EXCLUDE: MetaTensor(exclude[None].astype(np.float32), affine=affine),
            FORMS: first.forms,
            NOTES: (*notes_of_images(self.modalities, volumes), *found.notes, *excluded),
            CONTENT: brain_hash(images, brain, first.affine),
        }


class NormaliseBraind(MapTransform, InvertibleTransform):
    """Linear map of brain intensities to [-1, 1], clipped; background becomes -1.

    Each channel's window is `robust_window` of its brain voxels; of pictures whose contrast nobody
    says, as they come mixed and with skull, `whole_window`. The inverse maps back to scanner units
    (what was clipped stays clipped).
    """

    def __init__(
        self, keys: str = IMAGE, mask_key: str = BRAIN, modalities: Sequence[str] = ()
    ) -> None:
        MapTransform.__init__(self, keys)
        self.mask_key = mask_key
        self.window = whole_window if PICTURE in modalities else robust_window

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """``data`` with its images ``(C, X, Y, Z)`` in [-1, 1]."""
        d = dict(data)
        mask = np.asarray(d[self.mask_key][0]) > 0.5
        for key in self.key_iterator(d):
            windows = [self.window(np.asarray(channel)[mask]) for channel in d[key]]
            scaled = torch.stack(
                [
                    torch.as_tensor(ScaleIntensityRange(low, high, -1.0, 1.0, clip=True)(channel))
                    for channel, (low, high) in zip(d[key].as_tensor(), windows, strict=True)
                ]
            )
            scaled[:, torch.as_tensor(~mask)] = BACKGROUND
            d[key] = MetaTensor(scaled, meta=d[key].meta)
            self.push_transform(d, key, extra_info={"windows": windows})  # type: ignore[no-untyped-call]
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """``data`` with its images in scanner units."""
        d = dict(data)
        for key in self.key_iterator(d):
            windows = self.pop_transform(d, key)[TraceKeys.EXTRA_INFO]["windows"]
            scanner = [
                torch.as_tensor(ScaleIntensityRange(-1.0, 1.0, low, high)(channel))
                for channel, (low, high) in zip(d[key].as_tensor(), windows, strict=True)
            ]
            d[key] = MetaTensor(torch.stack(scanner), meta=d[key].meta)
        return d


class ToGridd(MapTransform, InvertibleTransform):
    """Resamples image and masks to the working grid of the model, centred on the brain.

    The image is low-passed to the grid's resolution and interpolated within the brain only, so
    that no background mixes into the brain's edge. The inverse interpolates linearly on the source
    grid.

    Args:
        grid: the working grid.
    """

    def __init__(self, grid: Grid) -> None:
        MapTransform.__init__(self, (IMAGE, BRAIN, EXCLUDE))
        self.grid = grid
        self.resample = SpatialResample(mode="bilinear", padding_mode="zeros", dtype=np.float32)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """``data`` with image ``(C, W, H, N)`` in [-1, 1] and masks ``(1, W, H, N)``, 0 or 1."""
        d = dict(data)
        image, brain = d[IMAGE], d[BRAIN]
        affine, shape = grid_affine(np.asarray(brain[0]) > 0.5, _affine_of(brain), self.grid)
        sigma = _low_pass_sigma(_affine_of(image), affine)
        weight = self._to_grid(_smooth(brain, sigma), affine, shape)
        value = self._to_grid(_smooth((image - BACKGROUND) * brain, sigma), affine, shape)
        inside = self._to_grid(brain, affine, shape).as_tensor() >= HALF
        filled = typing.cast(MetaTensor, value / weight.clamp_min(1e-6) + BACKGROUND)
        d[IMAGE] = filled.masked_fill(~inside, BACKGROUND)
        d[BRAIN] = MetaTensor(inside.float(), meta=filled.meta)
        left_out = self._to_grid(d[EXCLUDE], affine, shape).as_tensor() > 0.05
        d[EXCLUDE] = MetaTensor((left_out & inside).float(), meta=filled.meta)
        return d

    def _to_grid(self, image: MetaTensor, affine: np.ndarray, shape: tuple[int, ...]) -> MetaTensor:
        moved = self.resample(image, dst_affine=torch.as_tensor(affine), spatial_size=shape)
        return typing.cast(MetaTensor, moved)

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """``data`` on the source grid, ``(C, X, Y, Z)``."""
        d = dict(data)
        for key in (key for key in self.keys if key in d):
            record = self.resample.pop_transform(d[key])
            source_affine = record[TraceKeys.EXTRA_INFO]["src_affine"]
            size = record[TraceKeys.ORIG_SIZE]
            with self.resample.trace_transform(False):
                d[key] = self.resample(d[key], dst_affine=source_affine, spatial_size=size)
        return d


class CaseTransforms:
    """The whole way from a case to its slice stack; `spatial` and `intensity` are invertible.

    Attributes:
        notes: of the cases that were prepared, by name.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        grid: Grid,
        extract_brain: BrainExtractor | None = None,
    ) -> None:
        self.grid = grid
        self.notes: dict[str, tuple[str, ...]] = {}
        self.load = LoadCased(modalities, extract_brain)
        self.intensity = NormaliseBraind(modalities=modalities)
        # (C, X, Y, Z) -> (Z, C, Y, X)
        transpose = Transposed((IMAGE, BRAIN, EXCLUDE), (3, 0, 2, 1), allow_missing_keys=True)
        self.spatial = Compose([ToGridd(grid), transpose])

    def __call__(self, case: Case) -> Prepared:
        """Read and prepare one case.

        Raises:
            InputError: the case cannot be used, or there is not enough memory for it.
        """
        with memory_for(shape_on_disk(case, self.load.modalities), len(self.load.modalities)):
            return self._prepared(case)

    def _prepared(self, case: Case) -> Prepared:
        item = self.load({"case": case})
        with stage("prepare"):
            return self._on_grid(case, item)

    def _on_grid(self, case: Case, item: dict[Hashable, Any]) -> Prepared:
        source_brain = np.asarray(item[BRAIN][0]) > 0.5
        source_healthy = source_brain & ~(np.asarray(item[EXCLUDE][0]) > 0.5)
        affine = _affine_of(item[IMAGE])
        try:
            item = self.intensity(item)
        except InputError as error:
            raise InputError(f"case {case.name}: {error}") from error
        item = self.spatial(item)
        brain = item[BRAIN].as_tensor() > 0.5
        notes = (*item[NOTES], *notes_of_view(case, source_brain, affine, brain, self.grid))
        self.notes[case.name] = notes
        return Prepared(
            case=case,
            slices=item[IMAGE].as_tensor().float().contiguous(),
            brain=brain,
            healthy=brain & ~(item[EXCLUDE].as_tensor() > 0.5),
            source_brain=source_brain,
            source_healthy=source_healthy,
            source_affine=affine,
            source_forms=item[FORMS],
            grid=self.grid,
            notes=notes,
            content=item[CONTENT],
            _image=item[IMAGE],
            _transforms=self,
        )


def _of_any_process(operation: Mapping[str, Any]) -> dict[str, Any]:
    """A record of a transform that its inverse takes in every process.

    MONAI knows transforms by their address, which is another one after pickling.
    """
    return {**operation, TraceKeys.ID: TraceKeys.NONE}


def _affine_of(image: MetaTensor) -> np.ndarray:
    return np.asarray(image.affine, dtype=np.float64)


def _low_pass_sigma(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Gaussian sigma ``(3,)`` in source voxels that brings the source to the target's resolution.

    Voxels are taken as Gaussians with their own size as full width at half maximum.
    """
    source_spacing = np.linalg.norm(source[:3, :3], axis=0)
    # Length of a source voxel axis in target voxels tells which target spacing it meets.
    target_voxels = np.linalg.norm(np.linalg.solve(target[:3, :3], source[:3, :3]), axis=0)
    ratio = 1.0 / target_voxels
    sigma = np.sqrt(np.clip(ratio**2 - 1.0, 0.0, None)) / 2.355
    return np.where(source_spacing > 0, sigma, 0.0)


def _smooth(image: MetaTensor, sigma: np.ndarray) -> MetaTensor:
    smoothed = ndimage.gaussian_filter(np.asarray(image), (0.0, *sigma), truncate=3.0)
    return MetaTensor(
        torch.as_tensor(smoothed),
        meta=image.meta,
        applied_operations=list(image.applied_operations),
    )


def notes_of_images(modalities: Sequence[str], volumes: Sequence[Volume]) -> list[str]:
    """What was said on reading, each under its modality where there are several."""
    return [
        f"{modality}: {note}" if len(volumes) > 1 else note
        for modality, volume in zip(modalities, volumes, strict=True)
        for note in volume.notes
    ]
