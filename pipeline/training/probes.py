"""Tumours put into a run's own validation brains: what its network finds, measured as it trains."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import SpatialResample
from torch import Tensor, nn

from pipeline.cases.case import Case
from pipeline.cases.loading import BrainExtractor
from pipeline.cases.transforms import BRAIN, IMAGE, CaseTransforms
from pipeline.diffusion.scheduler import NoiseAt, SimplexDDPMScheduler
from pipeline.files.names import PROBES
from pipeline.files.nifti import write_atomically
from pipeline.maps.scoring import blur, residual_map
from pipeline.noise.noises import derive_seed
from pipeline.phantom.tumour import insert_tumour
from pipeline.run.config import RunConfig

N_PROBES = 3
BATCH_SIZE = 32


@dataclass(frozen=True)
class Probe:
    """A validation brain with a tumour that was put into it, on the working grid.

    Attributes:
        name: of the case.
        slices: ``(N, C, H, W)`` float32 in [-1, 1].
        brain, lesion: ``(N, 1, H, W)`` bool; the lesion lies within the brain.
    """

    name: str
    slices: Tensor
    brain: Tensor
    lesion: Tensor


@dataclass(frozen=True)
class Findings:
    """What a network makes of a probe: ``(N, C, H, W)`` restored, ``(N, 1, H, W)`` the map."""

    restored: Tensor
    anomaly_map: Tensor


class _WithTumour:
    """Reads a case as ``load`` does, and puts a tumour in; keeps the label."""

    def __init__(self, load: Any, modalities: Sequence[str], seed: Sequence[int]) -> None:
        self.load, self.modalities, self.seed = load, modalities, seed
        self.label: MetaTensor | None = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item: dict[Hashable, Any] = self.load(data)
        image, brain = item[IMAGE], np.asarray(item[BRAIN][0]) > 0.5
        affine = np.asarray(image.affine, dtype=np.float64)
        images = dict(zip(self.modalities, np.asarray(image), strict=True))
        painted, label, _ = insert_tumour(images, brain, affine, np.random.default_rng(self.seed))
        voxels = torch.as_tensor(np.stack([painted[m] for m in self.modalities]))
        item[IMAGE] = MetaTensor(voxels, affine=image.affine)
        self.label = MetaTensor(torch.as_tensor(label[None] > 0).float(), affine=image.affine)
        return item


def make_probe(
    case: Case, config: RunConfig, index: int, extract_brain: BrainExtractor | None = None
) -> Probe:
    """Put a tumour into a healthy case; seed, name and index decide which.

    Raises:
        InputError: the case cannot be read, is no whole brain, or has a modality that no tumour is
            known for.
    """
    transforms = CaseTransforms(config.modalities, config.grid, extract_brain)
    seed = [config.seed, zlib.crc32(case.name.encode()), index]
    # The loader is wrapped, so that a probe is prepared exactly as any case is.
    loader = _WithTumour(transforms.load, config.modalities, seed)
    transforms.load = loader  # type: ignore[assignment]
    prepared = transforms(case)
    assert loader.label is not None
    resample = SpatialResample(mode="bilinear", padding_mode="zeros", dtype=np.float32)
    shape = tuple(prepared.slices.shape[i] for i in (3, 2, 0))
    moved = resample(
        loader.label, dst_affine=torch.as_tensor(prepared.grid_affine), spatial_size=shape
    )
    lesion = torch.as_tensor(np.asarray(moved)).permute(3, 0, 2, 1) >= 0.5
    return Probe(case.name, prepared.slices, prepared.brain, lesion & prepared.brain)


def write_probes(
    cases: Sequence[Case],
    config: RunConfig,
    run_dir: Path,
    extract_brain: BrainExtractor | None = None,
) -> None:
    """Make a few probes from the validation cases and keep them in the run folder.

    Fewer cases than probes get several tumours, one a probe. What cannot take a tumour (a 2-D
    picture, part of a brain, a modality without a tumour model) is left out; without any probe no
    file is written.
    """
    if (run_dir / PROBES).is_file():
        return
    arrays: dict[str, np.ndarray] = {}
    names: list[str] = []
    ordered = sorted(cases, key=lambda case: case.name)
    for i in range(N_PROBES):
        case = ordered[i * max(len(ordered), N_PROBES) // N_PROBES % len(ordered)]
        try:
            probe = make_probe(case, config, i, extract_brain)
        except (ValueError, OSError, RuntimeError):  # a training goes on without it
            continue
        if not probe.lesion.any():
            continue
        stack = torch.cat([probe.slices, probe.brain.float(), probe.lesion.float()], dim=1)
        kept = probe.brain.flatten(1).any(1)
        arrays[f"probe_{len(names)}"] = stack[kept].numpy().astype(np.float32)
        names.append(probe.name)
    if names:
        arrays["names"] = np.array(names)
        save: Any = np.savez_compressed
        write_atomically(run_dir / PROBES, functools.partial(save, **arrays))


def read_probes(run_dir: Path) -> list[Probe]:
    """Those of `write_probes`; none where there is no file, or none that can be read."""
    try:
        with np.load(run_dir / PROBES) as held:
            names = [str(name) for name in held["names"]]
            stacks = [torch.from_numpy(held[f"probe_{i}"]) for i in range(len(names))]
    except (OSError, ValueError, KeyError):
        return []
    return [
        Probe(name, stack[:, :-2], stack[:, -2:-1] > 0.5, stack[:, -1:] > 0.5)
        for name, stack in zip(names, stacks, strict=True)
    ]


def probe_timestep(config: RunConfig) -> int:
    """The middle one of the recipe's timesteps."""
    timesteps = sorted(config.detection.timesteps)
    return timesteps[len(timesteps) // 2]


@torch.no_grad()
def find(
    probe: Probe,
    network: nn.Module,
    scheduler: SimplexDDPMScheduler,
    config: RunConfig,
    device: torch.device,
) -> Findings:
    """One-shot x_0 at `probe_timestep` from one draw, and the smoothed residual.

    Of the recipe it takes the sign of the residual, and instead of the median over a box, which is
    slow on fine grids, a Gaussian with the standard deviation of that box. It leaves out what needs
    an atlas or looks at the intensity itself: nothing but the network is measured. The noise is the
    same each time, so that values of several epochs can be compared.
    """
    t = probe_timestep(config)
    restored = []
    for first in range(0, len(probe.slices), BATCH_SIZE):
        part = probe.slices[first : first + BATCH_SIZE].to(device)
        seeds = [
            derive_seed(config.seed, "probe", probe.name, first + i, t) for i in range(len(part))
        ]
        field = scheduler.noise.seeded(part, seeds)
        restored.append(scheduler.reconstruct(network, part, t, _always(field)).float().cpu())
    images = torch.cat(restored)
    residual = residual_map(probe.slices, images, probe.brain, config.detection.residual)
    if sigma_mm := config.detection.median_mm / 12**0.5:
        residual = blur(residual, probe.brain, config.grid, sigma_mm)
    return Findings(images, residual * probe.brain)


def _always(field: Tensor) -> NoiseAt:
    return lambda _: field


def pooled(probes: Sequence[Probe], findings: Sequence[Findings]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels ``(n,)`` of the brain voxels of all probes."""
    scores = [f.anomaly_map[p.brain].numpy() for p, f in zip(probes, findings, strict=True)]
    lesion = [p.lesion[p.brain].numpy() for p in probes]
    return np.concatenate(scores), np.concatenate(lesion)
