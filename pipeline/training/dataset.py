"""Slice stacks of many cases, on disk, read by the slice, with bounded memory."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandAffine,
    RandBiasField,
    RandGaussianSmooth,
)
from scipy import ndimage
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from pipeline import __version__
from pipeline.cases.case import Case
from pipeline.cases.listing import file_hashes
from pipeline.cases.loop import Apart, Execution, each_case
from pipeline.cases.transforms import BACKGROUND, CaseTransforms, Prepared
from pipeline.errors import InputError
from pipeline.files.writing import write_atomically
from pipeline.noise.noises import derive_seed
from pipeline.run.config import RunConfig, TrainingConfig

MIN_BRAIN_SHARE = 0.02
"""Slices with less brain than this share of their area are not trained on."""


def build_stacks(
    cases: Sequence[Case],
    transforms: CaseTransforms,
    config: RunConfig,
    cache_dir: Path,
    *,
    description: str = "preparing",
    execution: Execution = Execution(),
) -> tuple[list[Path], dict[str, str]]:
    """Prepare cases once; each becomes one ``.npy`` of float32 ``(N, C + 2, H, W)``.

    Its channels are the image, the brain mask and the mask of what counts as healthy. A stack
    that is already there for files of the same content and the same grid is kept, a torn one made
    anew.

    Returns:
        The stacks in the order of the cases, none of them empty, and case name -> reason for those
        that failed.
    """

    def build(case: Case) -> Path:
        path = cache_dir / f"{_fingerprint(case, config, transforms)}.npy"
        if not _holds_a_stack(path, config):
            array = _stack(transforms(case))
            write_atomically(path, functools.partial(np.save, arr=array))
        return path

    by_name = {case.name: case for case in cases}
    outcomes = each_case(by_name, Apart(build), description=description, execution=execution)
    return list(outcomes.done.values()), outcomes.failed


def _stack(prepared: Prepared) -> np.ndarray:
    """The slices of a case that show enough brain, as `build_stacks` keeps them.

    Raises:
        InputError: there is none.
    """
    stack = torch.cat([prepared.slices, prepared.brain.float(), prepared.healthy.float()], dim=1)
    kept = prepared.brain.float().mean(dim=(1, 2, 3)) >= MIN_BRAIN_SHARE
    if not kept.any():
        field_mm = prepared.grid.size * prepared.grid.spacing_mm
        raise InputError(
            f"case {prepared.case.name}: no slice holds enough brain, at least "
            f"{100 * MIN_BRAIN_SHARE:g} % of the model's field of view of {field_mm:.0f} mm"
        )
    return stack[kept].numpy().astype(np.float32)


def _fingerprint(case: Case, config: RunConfig, transforms: CaseTransforms) -> str:
    """What a stack depends on, as one hash: names and times of files are not in it."""
    used = {*config.modalities, "brain_mask", "exclude"}
    hashes = file_hashes(case)
    files = {
        role: (hashes.get(role), file.channel) for role, file in case.roles.items() if role in used
    }
    extracted = transforms.load.extract_brain is not None
    described = [__version__, files, config.modalities, asdict(config.grid), extracted]
    text = json.dumps(described, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _holds_a_stack(path: Path, config: RunConfig) -> bool:
    """Whether a file is a whole stack for the network of a run."""
    try:
        stack = np.load(path, mmap_mode="r")
    except Exception:  # whatever is wrong with it, it is made anew
        return False
    size = config.grid.size
    expected = (len(config.modalities) + 2, size, size)
    return bool(stack.dtype == np.float32 and stack.ndim == 4 and stack.shape[1:] == expected)


SliceItem = dict[str, Tensor]
"""``image`` ``(C, H, W)`` in [-1, 1], background -1; ``brain`` ``(1, H, W)``, 1 inside; ``weight``
``(1, H, W)``, 0 where the loss must not look (voxels that do not count as healthy), else 1."""


class SliceDataset(Dataset[SliceItem]):
    """Slices of prepared stacks, memory-mapped.

    Attributes:
        epoch: that the next items are augmented for.

    Args:
        stacks: files of `build_stacks`.
        augmentation: what is done to each slice at random; None does nothing.
    """

    def __init__(self, stacks: Sequence[Path], augmentation: Augmentation | None = None) -> None:
        self.arrays = [np.load(path, mmap_mode="r") for path in stacks]
        self.starts = np.cumsum([0] + [len(a) for a in self.arrays])
        self.augmentation = augmentation
        self.epoch = 0

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> SliceItem:
        which = int(np.searchsorted(self.starts, index, side="right")) - 1
        stack = torch.from_numpy(np.array(self.arrays[which][index - self.starts[which]]))
        if self.augmentation is not None:
            stack = self.augmentation(stack, self.epoch, index)
        image, brain, healthy = stack[:-2], stack[-2:-1], stack[-1:]
        weight = 1.0 - (brain - healthy).clamp(0, 1)
        return {"image": image, "brain": brain, "weight": weight}


class Augmentation:
    """Random changes of a slice, which depend on (seed, epoch, index) alone.

    Args:
        training: bounds of the random affine and of the changes of intensity.
        spacing_mm: pixel size.
        seed: of the run.
    """

    def __init__(self, training: TrainingConfig, *, spacing_mm: float, seed: int) -> None:
        self.flip = training.flip
        self.seed = seed
        self.affine = _random_affine(training, spacing_mm)
        self.intensity = _random_intensity(training, spacing_mm)

    def __call__(self, stack: Tensor, epoch: int, index: int) -> Tensor:
        """The same affine for image and masks, interpolating within the brain only.

        Intensities change after it, again within the brain only.

        Args:
            stack: one slice of a stack, ``(C + 2, H, W)``; see `build_stacks`.
            epoch: from 1.
            index: of the slice in its dataset.

        Returns:
            The same shape and ranges.
        """
        draw = derive_seed(self.seed, "augment", epoch, index)
        self.affine.set_random_state(seed=draw % 2**32)
        image, brain, healthy = stack[:-2], stack[-2:-1], stack[-1:]
        premultiplied = torch.cat([(image - BACKGROUND) * brain, brain, healthy])
        moved = torch.as_tensor(np.asarray(self.affine(premultiplied)))
        if self.flip and draw >> 40 & 1:
            moved = moved.flip(-1)
        weight = moved[-2:-1]
        inside = weight > 0.5
        image = moved[:-2] / weight.clamp_min(0.5) + BACKGROUND
        if self.intensity.transforms:
            self.intensity.set_random_state(seed=(draw >> 8) % 2**32)
            image = _change_inside(image, inside, self.intensity)
        image = torch.where(inside, image, torch.full_like(image, BACKGROUND))
        return torch.cat([image, inside.float(), (inside & (moved[-1:] > 0.5)).float()])


def _random_affine(training: TrainingConfig, spacing_mm: float) -> RandAffine:
    return RandAffine(
        prob=1.0,
        rotate_range=float(np.deg2rad(training.rotate_degrees)),
        translate_range=(training.translate_mm / spacing_mm,) * 2,
        scale_range=(training.scale,) * 2,
        mode="bilinear",
        padding_mode="zeros",
        cache_grid=False,
    )


def _random_intensity(training: TrainingConfig, spacing_mm: float) -> Compose:
    """Changes of intensities in [0, 1]: those that scanners and sequences make."""
    steps: list[Any] = []
    if training.blur_mm:
        sigma = (0.0, training.blur_mm / spacing_mm)
        steps.append(RandGaussianSmooth(prob=0.5, sigma_x=sigma, sigma_y=sigma))
    if training.bias_field:
        bounds = (-training.bias_field, training.bias_field)
        steps.append(RandBiasField(degree=3, coeff_range=bounds, prob=0.5))
    if training.contrast:
        gamma = (float(np.exp(-training.contrast)), float(np.exp(training.contrast)))
        steps.append(RandAdjustContrast(prob=0.5, gamma=gamma))
    return Compose(steps)


def _change_inside(image: Tensor, inside: Tensor, change: Compose) -> Tensor:
    """An image in [-1, 1] after a change that is meant for [0, 1]; outside the brain undefined.

    Values outside are those of the nearest brain voxel, so that nothing bleeds in from there.
    """
    if not inside.any():
        return image
    nearest = ndimage.distance_transform_edt(
        ~inside[0].numpy(), return_distances=False, return_indices=True
    )
    filled = (image[:, nearest[0], nearest[1]] + 1) / 2
    return (torch.as_tensor(np.asarray(change(filled))).clamp(0, 1) * 2 - 1).float()


class EpochSampler(Sampler[int]):
    """Indices of one epoch, in an order that depends on (seed, epoch) alone.

    Args:
        n_slices: size of the dataset, above 0.
        n_drawn: slices an epoch, one a share at least; None takes each once. More than there are
            repeats them.
        seed: of the run.
        share: which part of how many: (0, 2) is every second slice, for the first of two processes.
    """

    def __init__(
        self, n_slices: int, n_drawn: int | None, seed: int, share: tuple[int, int] = (0, 1)
    ) -> None:
        self.n_slices, self.seed, self.share = n_slices, seed, share
        self.n_drawn = max(n_drawn or n_slices, share[1])
        self.epoch = 0

    def __len__(self) -> int:
        """Slices of a share: all shares have as many, so a rest is not drawn."""
        return self.n_drawn // self.share[1]

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", self.epoch))
        rounds = -(-self.n_drawn // self.n_slices)
        order = [torch.randperm(self.n_slices, generator=generator) for _ in range(rounds)]
        first, step = self.share
        return iter(torch.cat(order)[: self.n_drawn][first::step][: len(self)].tolist())


def evenly_spaced(n: int, wanted: int) -> list[int]:
    """At most ``wanted`` indices, evenly over ``range(n)``."""
    return sorted({int((i + 0.5) * n / wanted) for i in range(wanted)})
