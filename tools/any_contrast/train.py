"""Trains the network that marks lesions, on brains painted from parcellations.

    python -m tools.any_contrast.train --parcellated IXI_T1 --shapes SOOP --flair NICHART_FLAIR \
        --minutes 100 WORK

IXI_T1 holds ``<name>_T1w.nii.gz`` and ``<name>_dseg.nii.gz`` (DLMUSE), SOOP masks of strokes.
NICHART_FLAIR, if given, and the T1w images serve as real healthy brains too. Nobody is taken whom
the shipped T1 and FLAIR weights validate or are tested on. WORK gets ``bank.npz`` (the painted
brains), ``last.pt`` (a broken-off training goes on from it), ``lesion_network.pt``, which is
shipped, and ``people.json``. The idea of painted brains is SynthSeg's (Billot et al., Medical
Image Analysis 2023): of a network that saw every contrast, none is expected.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from pipeline.cases.brain.window import robust_window
from pipeline.cases.find import find_cases
from pipeline.cases.grid import Grid
from pipeline.cases.splits import split_cases
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.files.names import LESION_NETWORK
from pipeline.maps.lesions.network import LesionNetwork, slabs
from tools.any_contrast.healthy import FAMILIES, SHAPE, Brain, load_person, paint, smooth_field
from tools.any_contrast.lesions import load_shapes, with_lesions
from tools.timed_training import Schedule, half_precision, train_for

BAD_MASKS = ("Subj3", "Subj5", "Subj6", "Subj8", "Subj15", "Subj19", "Subj20", "Subj23")
HELD_OUT, VALIDATED = {"t1": 24, "flair": 0}, {"t1": 20, "flair": 3}
"""People whom the shipped weights are tested and calibrated on."""
REAL_SHARE = 0.2
N_VOLUMES, N_SLICES = 4, 6
"""Of a step: brains, and slices of each."""
Banks = tuple[list[Brain], list[Brain]]
"""Painted brains and real ones."""


@dataclass(frozen=True)
class Plan:
    """What is painted, and how long is trained.

    Attributes:
        minutes: see `Schedule`, as is the rate.
        contrasts: painted of each person.
        seed: of the contrasts and the examples; a training that goes on from another one's weights
            sees new ones under another seed.
        start_from: weights of another training; None for a fresh network.
    """

    minutes: float
    rate: float
    contrasts: int
    seed: int
    start_from: Path | None


# Data ---------------------------------------------------------------------------------------------


def people(root: Path, modality: str) -> list[str]:
    """Those that the shipped weights of this modality were trained on."""
    cases = [
        case
        for case in find_cases(root, modalities=(modality,)).cases
        if case.subject not in BAD_MASKS
    ]
    counts = {"test": HELD_OUT[modality], "validation": VALIDATED[modality]}
    counts = {name: n for name, n in counts.items() if n} | {"training": 0}
    counts["training"] = len({case.subject for case in cases}) - sum(counts.values())
    return [case.name for case in split_cases(cases, counts, 0)["training"]]


def painted(folder: Path, plan: Plan, named: tuple[int, str]) -> list[Brain]:
    """All contrasts of one person."""
    number, name = named
    torch.set_num_threads(1)
    person = load_person(folder / f"{name}_T1w.nii.gz", folder / f"{name}_dseg.nii.gz")
    rng = np.random.default_rng([plan.seed, number])
    kinds = rng.choice(list(FAMILIES), plan.contrasts, p=list(FAMILIES.values()))
    return [paint(person, str(kind), rng) for kind in kinds]


def real(root: Path, modality: str, names: list[str]) -> list[Brain]:
    """Real healthy brains, prepared as for detection."""
    transforms = CaseTransforms((modality,), Grid())
    cases = [c for c in find_cases(root, modalities=(modality,)).cases if c.name in names]
    return [_brain(modality, transforms(case)) for case in cases]


def _brain(modality: str, prepared: Prepared) -> Brain:
    brain = fitted(prepared.brain[:, 0].numpy())
    image = np.where(brain, fitted(prepared.slices[:, 0].numpy()) / 2 + 0.5, 0)
    # Fluid is dark in both; the darkest fifth of the brain will do for where lesions spare it.
    fluid = brain & (image < np.quantile(image[brain], 0.12))
    unknown = brain & ~fitted(prepared.healthy[:, 0].numpy())
    return Brain(modality, image.astype(np.float16), brain, fluid, brain & (image > 0.5), unknown)


def fitted(stack: np.ndarray) -> np.ndarray:
    """A stack ``(N, H, W)`` with as many slices as ``SHAPE``: cut or filled with 0 at both ends."""
    short = SHAPE[0] - len(stack)
    if short >= 0:
        return np.pad(stack, ((short // 2, short - short // 2), (0, 0), (0, 0)))
    first = -short // 2
    return stack[first : first + SHAPE[0]]


def make_bank(path: Path, folder: Path, names: list[str], plan: Plan) -> None:
    """Paint everybody and keep the brains in a file."""
    context = get_context("fork")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = list(pool.map(partial(painted, folder, plan), enumerate(names)))
    brains = [brain for each in found for brain in each]
    part = path.with_name(f"part-{path.name}")
    np.savez(
        part,
        family=np.array([b.family for b in brains]),
        image=np.stack([b.image for b in brains]),
        masks=np.stack([np.packbits(np.stack([b.brain, b.fluid, b.white])) for b in brains]),
    )
    part.replace(path)


def read_bank(path: Path) -> list[Brain]:
    """The brains of `make_bank`."""
    kept = np.load(path)
    images, masks = kept["image"], kept["masks"]
    n = int(np.prod(SHAPE))
    brains = []
    for family, image, bits in zip(kept["family"], images, masks, strict=True):
        each = np.unpackbits(bits)[: 3 * n].reshape(3, *SHAPE).astype(bool)
        brains.append(Brain(str(family), image, *each))
    return brains


def sample(banks: Banks, shapes: list[np.ndarray], seed: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Slices of one brain; see `_slices`."""
    rng = np.random.default_rng(seed)
    among = banks[1] if banks[1] and rng.random() < REAL_SHARE else banks[0]
    brain = among[rng.integers(len(among))]
    made = with_lesions(brain, shapes, rng)
    image, healthy = _worsened(made.image, made.healthy, brain.brain, rng)
    low, high = robust_window(image[brain.brain].astype(np.float64))
    known = brain.brain if brain.unknown is None else brain.brain & (~brain.unknown | made.lesion)
    result = {
        name: np.where(brain.brain, np.clip((one - low) / (high - low) * 2 - 1, -1, 1), -1)
        for name, one in (("image", image), ("healthy", healthy))
    }
    result |= {"brain": brain.brain, "known": known, "lesion": made.lesion & known}
    return _slices(result, rng)


def _slices(volume: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Some slices, most of them of the lesion: ``slab`` ``(n, 5, H, W)``, others ``(n, H, W)``."""
    among = volume["lesion"] if volume["lesion"].any() and rng.random() < 0.78 else volume["brain"]
    places = rng.choice(np.flatnonzero(among.any((1, 2))), N_SLICES)
    taken = {name: torch.from_numpy(one.astype(np.float32)) for name, one in volume.items()}
    chosen = torch.from_numpy(places)
    slab = slabs(taken["image"], chosen)
    result = {"slab": slab} | {name: one[chosen] for name, one in taken.items()}
    flipped = rng.random() < 0.5
    return {name: (one.flip(-1) if flipped else one).numpy() for name, one in result.items()}


def _worsened(
    image: np.ndarray, healthy: np.ndarray, brain: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Both with the bend of another scanner's grey scale, bias and slices; the first with noise."""
    low, high = np.quantile(image[brain], [0.01, 0.99])
    power = np.exp(rng.normal(0, 0.15))
    bias = np.exp(rng.uniform(0, 0.18) * smooth_field(rng, SHAPE, 4))
    both = [
        np.clip((one - low) / (high - low + 1e-6), 0, 1.5) ** power * bias
        for one in (image, healthy)
    ]
    if rng.random() < 0.3:  # thick slices
        axis, width = int(rng.integers(3)), rng.uniform(0.3, 0.9)
        weight = np.maximum(ndimage.gaussian_filter1d(brain.astype(np.float32), width, axis), 1e-3)
        both = [ndimage.gaussian_filter1d(one * brain, width, axis) / weight for one in both]
    both[0] = both[0] + rng.normal(0, rng.uniform(0, 0.03), SHAPE)
    return both[0], both[1]


class Samples(torch.utils.data.IterableDataset[dict[str, np.ndarray]]):
    """Examples without end, the same from step to step whatever was broken off before."""

    def __init__(self, banks: Banks, shapes: list[np.ndarray], seed: int, first: int) -> None:
        self.banks, self.shapes, self.seed, self.first = banks, shapes, seed, first

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        """Example after example."""
        torch.set_num_threads(1)
        number = self.first
        while True:
            yield sample(self.banks, self.shapes, (self.seed, 11, number))
            number += 1


# Training -----------------------------------------------------------------------------------------


def loss_of(out: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy and Dice of the lesion, L1 of the healthy image that the change leads to."""
    lesion, known, brain = batch["lesion"], batch["known"], batch["brain"]
    entropy = functional.binary_cross_entropy_with_logits(out[:, 0], lesion, reduction="none")
    entropy = (entropy * known).sum() / known.sum()
    share = torch.sigmoid(out[:, 0]) * known
    dice = 1 - (2 * (share * lesion).sum() + 1) / (share.sum() + lesion.sum() + 1)
    away = (batch["image"] + out[:, 1] - batch["healthy"]).abs() * brain * (1 + 4 * lesion)
    return entropy + 0.5 * dice + 0.5 * away.sum() / brain.sum()


def train(banks: Banks, shapes: list[np.ndarray], work: Path, plan: Plan) -> None:
    """Until so many minutes are spent, those before a break among them."""
    torch.manual_seed(0)
    network = LesionNetwork()
    if plan.start_from:
        network.load_state_dict(torch.load(plan.start_from, weights_only=True))

    def batches(step: int) -> Iterator[dict[str, Tensor]]:
        loader = torch.utils.data.DataLoader(
            Samples(banks, shapes, plan.seed, N_VOLUMES * step),
            batch_size=N_VOLUMES,
            num_workers=1,
            prefetch_factor=8,
            multiprocessing_context="fork",
        )
        return iter(loader)

    def loss(loaded: dict[str, Tensor]) -> Tensor:
        batch = {name: one.flatten(0, 1) for name, one in loaded.items()}
        with half_precision():
            out = network(batch["slab"])
        return loss_of(out.float(), batch)

    schedule = Schedule(plan.minutes, plan.rate, floor=0.01, decay=0.998)
    train_for(schedule, network, batches, loss, work / LESION_NETWORK)


def main() -> None:
    """Paint, then train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parcellated", type=Path, required=True)
    parser.add_argument("--shapes", type=Path, required=True)
    parser.add_argument("--flair", type=Path)
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate")
    parser.add_argument("--contrasts", type=int, default=10, help="painted of each person")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--start-from", type=Path, help="weights of another training")
    parser.add_argument("work", type=Path)
    arguments = parser.parse_args()
    work: Path = arguments.work
    plan = Plan(*(getattr(arguments, field.name) for field in fields(Plan)))
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    chosen = {"t1": people(arguments.parcellated, "t1")}
    if arguments.flair:
        chosen["flair"] = people(arguments.flair, "flair")
    (work / "people.json").write_text(json.dumps(chosen, indent=1))
    if not (work / "bank.npz").is_file():
        make_bank(work / "bank.npz", arguments.parcellated, chosen["t1"], plan)
    roots = {"t1": arguments.parcellated, "flair": arguments.flair}
    banks = (
        read_bank(work / "bank.npz"),
        [
            brain
            for modality, names in chosen.items()
            for brain in real(roots[modality], modality, names)
        ],
    )
    print(f"{len(banks[0])} painted brains, {len(banks[1])} real ones", flush=True)
    train(banks, load_shapes(arguments.shapes), work, plan)


if __name__ == "__main__":
    main()
