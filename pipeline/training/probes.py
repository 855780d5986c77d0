"""Tumours put into a run's own validation brains: what its network finds, measured as it trains."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import SpatialResample
from torch import Tensor, nn

from pipeline import __version__
from pipeline.cases.case import Case
from pipeline.cases.layouts.names import PICTURE
from pipeline.cases.listing import file_hashes
from pipeline.cases.loading import BrainExtractor
from pipeline.cases.loop import Failures
from pipeline.cases.transforms import BRAIN, CONTENT, IMAGE, CaseTransforms, LoadCased
from pipeline.diffusion.scheduler import NoiseAt, SimplexDDPMScheduler
from pipeline.errors import InputError
from pipeline.files.identity import arrays_hash
from pipeline.files.names import PROBES
from pipeline.files.writing import write_atomically
from pipeline.maps.scoring import blur, residual_map
from pipeline.noise.noises import derive_seed
from pipeline.phantom.tumour import Brain, insert_tumour
from pipeline.run.config import RunConfig

logger = logging.getLogger(__name__)

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
class ProbeMap:
    """What a network makes of a probe.

    Attributes:
        restored: ``(N, C, H, W)`` float32 in [-1, 1].
        anomaly_map: ``(N, 1, H, W)``, >= 0, higher = more anomalous; 0 outside the brain.
    """

    restored: Tensor
    anomaly_map: Tensor


class _GivenItem(LoadCased):
    """Stands where a case is read, and gives what was read of it before."""

    def __init__(self, load: LoadCased, item: dict[Hashable, Any]) -> None:
        super().__init__(load.modalities, load.extract_brain)
        self.item = item

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return {**data, **self.item}


def _with_tumour(
    item: dict[Hashable, Any], modalities: Sequence[str], seed: Sequence[int]
) -> tuple[dict[Hashable, Any], MetaTensor]:
    """What was read of a healthy case with a tumour in the image, and the tumour's mask."""
    image, brain = item[IMAGE], np.asarray(item[BRAIN][0]) > 0.5
    affine = np.asarray(image.affine, dtype=np.float64)
    images = dict(zip(modalities, np.asarray(image), strict=True))
    grown = insert_tumour(Brain(images, brain, affine), np.random.default_rng(seed))
    voxels = torch.as_tensor(np.stack([grown.images[m] for m in modalities]))
    mask = MetaTensor(torch.as_tensor(grown.label[None] > 0).float(), affine=image.affine)
    return {**item, IMAGE: MetaTensor(voxels, affine=image.affine)}, mask


def make_probe(
    case: Case, config: RunConfig, index: int, extract_brain: BrainExtractor | None = None
) -> Probe:
    """Put a tumour into a healthy case; seed, content and index decide which.

    Raises:
        InputError: the case cannot be read, is no whole brain, or has a modality that no tumour is
            known for.
    """
    transforms = CaseTransforms(config.modalities, config.grid, extract_brain)
    healthy = transforms.load({"case": case})
    # NumPy takes no negative seed.
    seed = [config.seed % 2**128, int(healthy[CONTENT][:8], 16), index]
    item, mask = _with_tumour(healthy, config.modalities, seed)
    # Only the reading is replaced, so that a probe is prepared exactly as any case is.
    transforms.load = _GivenItem(transforms.load, item)
    prepared = transforms(case)
    resample = SpatialResample(mode="bilinear", padding_mode="zeros", dtype=np.float32)
    shape = tuple(prepared.slices.shape[i] for i in (3, 2, 0))
    moved = resample(mask, dst_affine=torch.as_tensor(prepared.grid_affine), spatial_size=shape)
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
    picture, part of a brain, a modality without a tumour model) is left out, and the log says so;
    without any probe no file is written. A file that is there is kept, if it is whole and made of
    the same brains in the same way.
    """
    if PICTURE in config.modalities:  # for which no tumour is modelled
        return
    ordered = sorted(cases, key=lambda case: case.name)
    places = [i * max(len(ordered), N_PROBES) // N_PROBES % len(ordered) for i in range(N_PROBES)]
    chosen = [ordered[place] for place in places]
    made_for = _made_for(chosen, config)
    if _are_made_for(run_dir / PROBES, made_for):
        return
    (run_dir / PROBES).unlink(missing_ok=True)
    failures = Failures()
    probes: list[Probe] = []
    for i, case in enumerate(chosen):
        with failures.catching(case.name):
            probe = make_probe(case, config, i, extract_brain)
            if not probe.lesion.any():
                raise InputError("nothing of the tumour is left on the working grid")
            probes.append(probe)
    _say(failures.reasons)
    if probes:
        arrays = {f"probe_{i}": _stacked(probe) for i, probe in enumerate(probes)}
        arrays["names"] = np.array([probe.name for probe in probes])
        arrays["made_for"] = np.array(made_for)
        save: Any = np.savez_compressed
        write_atomically(run_dir / PROBES, functools.partial(save, **arrays))


def _say(reasons: Mapping[str, str]) -> None:
    """Why cases show no tumour, a line a reason; of pictures nobody would expect one."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        logger.warning("TensorBoard shows no synthetic tumour in %s: %s", ", ".join(names), reason)


def _made_for(cases: Sequence[Case], config: RunConfig) -> str:
    """All that the probes of a run depend on."""
    files = [file_hashes(case) for case in cases]
    names = [case.name for case in cases]
    described = [__version__, names, files, config.modalities, asdict(config.grid), config.seed]
    return json.dumps(described, sort_keys=True)


def _are_made_for(path: Path, made_for: str) -> bool:
    """Whether a file holds probes that were made so, each of them whole."""
    try:
        with np.load(path) as held:
            return str(held["made_for"]) == made_for and all(
                len(held[key]) for key in held.files if key.startswith("probe_")
            )
    except Exception:  # whatever is wrong with it, it is made anew
        return False


def _stacked(probe: Probe) -> np.ndarray:
    """The slices of a probe that hold brain, ``(N', C + 2, H, W)`` float32; masks come last."""
    stack = torch.cat([probe.slices, probe.brain.float(), probe.lesion.float()], dim=1)
    kept = probe.brain.flatten(1).any(1)
    return stack[kept].numpy().astype(np.float32)


def read_probes(run_dir: Path) -> list[Probe]:
    """Those of `write_probes`; none where there is no file, or none that can be read."""
    path = run_dir / PROBES
    if not path.is_file():
        return []
    failures = Failures()
    with failures.catching(str(path)), np.load(path) as held:
        return [
            _unstacked(str(name), torch.from_numpy(held[f"probe_{i}"]))
            for i, name in enumerate(held["names"])
        ]
    logger.warning("TensorBoard shows no synthetic tumours: %s: %s", *failures.reasons.popitem())
    return []


def _unstacked(name: str, stack: Tensor) -> Probe:
    return Probe(name, stack[:, :-2], stack[:, -2:-1] > 0.5, stack[:, -1:] > 0.5)


def probe_timestep(config: RunConfig) -> int:
    """The middle one of the recipe's timesteps."""
    timesteps = sorted(config.detection.timesteps)
    return timesteps[len(timesteps) // 2]


@torch.no_grad()
def map_probe(
    probe: Probe,
    network: nn.Module,
    scheduler: SimplexDDPMScheduler,
    config: RunConfig,
    device: torch.device,
) -> ProbeMap:
    """One-shot x_0 at `probe_timestep` from one draw, and the smoothed residual.

    Of the recipe it takes the sign of the residual, and instead of the median over a box, which is
    slow on fine grids, a Gaussian with the standard deviation of that box. It leaves out what needs
    an atlas or looks at the intensity itself: nothing but the network is measured. The noise is the
    same each time, so that values of several epochs can be compared.

    Args:
        network: called as ``network(x_t, timesteps)``, on ``device``.
        config: gives the recipe, the grid and the seed.
    """
    t = probe_timestep(config)
    content = arrays_hash(probe.slices.numpy(), probe.brain.numpy())
    restored = []
    for first in range(0, len(probe.slices), BATCH_SIZE):
        part = probe.slices[first : first + BATCH_SIZE].to(device)
        seeds = [derive_seed(config.seed, "probe", content, first + i, t) for i in range(len(part))]
        field = scheduler.noise.seeded(part, seeds)
        restored.append(scheduler.reconstruct(network, part, t, noise_of(field)).float().cpu())
    images = torch.cat(restored)
    residual = residual_map(probe.slices, images, probe.brain, config.detection.residual)
    if sigma_mm := config.detection.median_mm / 12**0.5:
        residual = blur(residual, probe.brain, config.grid, sigma_mm)
    return ProbeMap(images, residual * probe.brain)


def noise_of(field: Tensor) -> NoiseAt:
    """One field ``(B, C, H, W)`` for every timestep."""
    return lambda _: field


def pooled(probes: Sequence[Probe], maps: Sequence[ProbeMap]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of the brain voxels of all probes.

    Returns:
        ``(n,)`` float, higher = more anomalous, and ``(n,)`` bool, True in a tumour.
    """
    scores = [m.anomaly_map[p.brain].numpy() for p, m in zip(probes, maps, strict=True)]
    lesion = [p.lesion[p.brain].numpy() for p in probes]
    return np.concatenate(scores), np.concatenate(lesion)
