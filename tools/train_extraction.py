"""Trains the network of brain extraction on heads with parcellations, in contrasts of any kind.

    python tools/train_extraction.py --parcellated IXI_T1 --flair NICHART_FLAIR --minutes 45 WORK

IXI_T1 holds ``<name>_T1w.nii.gz`` (with skull) and ``<name>_dseg.nii.gz`` (DLMUSE, > 0 = brain);
NICHART_FLAIR ``<name>_FLAIR.nii.gz`` and ``<name>_T1space_dseg.nii.gz``. WORK gets ``last.pt``
(a broken-off training goes on from it), ``head_network.pt``, which is shipped, and ``people.json``:
who was trained on, who is for choosing and who was seen by nobody. The idea is SynthStrip's (Hoopes
et al., NeuroImage 2022): of a network that saw every contrast, none is expected.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage
from timed_training import Schedule, half_precision, train_for
from torch.nn import functional

from pipeline.cases.extraction.canvas import CANVAS, canvas_for, normalised
from pipeline.cases.extraction.network import HeadNetwork
from pipeline.files.names import HEAD_NETWORK

N_OUTSIDE = 7
UNSEEN, FOR_CHOICE = 24, 10
UNSEEN_FLAIR = ("Subj4", "Subj11", "Subj14", "Subj17", "Subj22")
TRAINED_FLAIR = (
    "Subj1",
    "Subj2",
    "Subj7",
    "Subj9",
    "Subj10",
    "Subj12",
    "Subj13",
    "Subj16",
    "Subj18",
    "Subj21",
)
CSF = (4, 11, 46, 49, 50, 51, 52)
"""DLMUSE's third and fourth ventricle, inferior and lateral ventricles."""
WHITE = (*range(81, 96), 40, 41, 44, 45)
"""Lobar white matter, fornix, internal capsules, corpus callosum; cerebellar white matter."""


@dataclass
class Head:
    """On the canvas: image in [0, 1], its structures (0 air, then what is no brain, then DLMUSE's),
    share of brain in each voxel."""

    image: np.ndarray
    structures: np.ndarray | None
    brain: np.ndarray


def load(path: Path, label: Path, *, with_structures: bool) -> Head:
    image, labels = nib.load(path), nib.load(label)
    values, parcels = image.get_fdata(dtype=np.float32), np.asarray(labels.dataobj)
    canvas = canvas_for(values, image.affine)
    drawn = normalised(canvas.draw(values, image.affine))
    brain = canvas.draw((parcels > 0).astype(np.float32), labels.affine).clip(0, 1)
    structures = None
    if with_structures:
        inside = canvas.draw(parcels.astype(np.float32), labels.affine, order=0).astype(np.int16)
        structures = np.where(inside > 0, inside + N_OUTSIDE, outside(drawn, brain))
    return Head(drawn.astype(np.float16), structures, brain.astype(np.float16))


def outside(image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Air is 0; what else is no brain falls into quantiles of its brightness."""
    smooth = ndimage.gaussian_filter(image, 0.7)
    tissue = (smooth > 0.08) & (brain < 0.5)
    edges = np.quantile(smooth[tissue], np.linspace(0, 1, N_OUTSIDE)[1:-1])
    return np.where(tissue, 1 + np.digitize(smooth, edges), 0).astype(np.int16)


def turned(head: Head, rng: np.random.Generator) -> Head:
    angles = rng.normal(0, 0.12, 3)
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        i, j = (k for k in range(3) if k != axis)
        one = np.eye(3)
        one[i, i] = one[j, j] = c
        one[i, j], one[j, i] = -s, s
        turn = turn @ one
    linear = turn @ np.diag(rng.uniform(0.85, 1.18, 3))
    if rng.random() < 0.5:
        linear = np.diag([-1.0, 1, 1]) @ linear
    middle = (np.array(CANVAS) - 1) / 2
    offset = middle - linear @ (middle + rng.normal(0, 3, 3))

    def move(values: np.ndarray, order: int) -> np.ndarray:
        return ndimage.affine_transform(values.astype(np.float32), linear, offset, order=order)

    structures = None if head.structures is None else move(head.structures, 0).astype(np.int16)
    return Head(move(head.image, 1), structures, move(head.brain, 1))


def smooth_field(rng: np.random.Generator, n_knots: int) -> np.ndarray:
    """Mean 0, spread about 1."""
    coarse = rng.normal(size=(n_knots,) * 3)
    zoom = [side / n_knots for side in CANVAS]
    return ndimage.zoom(coarse, zoom, order=1)


def painted(head: Head, rng: np.random.Generator) -> np.ndarray:
    """A contrast that nobody has seen: a brightness for each structure."""
    assert head.structures is not None
    n = 1 + N_OUTSIDE + 260
    means = rng.uniform(0, 1, n)
    if rng.random() < 0.6:  # as in a real brain, tissues of one kind are alike
        grey, white, fluid = rng.uniform(0, 1, 3)
        means[N_OUTSIDE + 1 :] = grey
        means[[N_OUTSIDE + w for w in WHITE]] = white
        means[[N_OUTSIDE + f for f in CSF]] = fluid
        means[N_OUTSIDE + 1 :] += rng.normal(0, 0.06, n - N_OUTSIDE - 1)
        if rng.random() < 0.5:  # fluid around the brain is what it is within
            means[1 : 1 + rng.integers(1, 3)] = fluid
    means[0] = 0 if rng.random() < 0.85 else rng.uniform(0, 0.3)
    image = means[head.structures] + rng.normal(0, 0.5) * (head.image - 0.5) * (head.structures > 0)
    image += rng.uniform(0, 0.06) * smooth_field(rng, 24) * (head.structures > 0)
    return ndimage.gaussian_filter(image, rng.uniform(0.3, 0.8))


def drawn(head: Head, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image ``CANVAS`` in [0, 1], and the share of brain in each voxel."""
    head = turned(head, rng)
    brain = head.brain.clip(0, 1)
    if head.structures is not None and rng.random() < 0.7:
        image = painted(head, rng)
    else:
        image = head.image.clip(0, 1) ** np.exp(rng.normal(0, 0.35))
        if rng.random() < 0.25:  # as T2 is to T1
            image = np.where(image > 0.05, 1.05 - image, image)
    if rng.random() < 0.35:  # a lesion, anywhere in the brain
        blob = smooth_field(rng, int(rng.integers(4, 8))) > rng.uniform(1.2, 2)
        image = image + blob * brain * rng.normal(0, 0.5)
    image = image * np.exp(rng.uniform(0, 0.45) * smooth_field(rng, 3))
    if rng.random() < 0.35:  # thick slices
        image = ndimage.gaussian_filter1d(image, rng.uniform(0.4, 1.2), axis=int(rng.integers(3)))
    spread = rng.uniform(0, 0.06)
    image = np.hypot(image + spread * rng.normal(size=CANVAS), spread * rng.normal(size=CANVAS))
    if rng.random() < 0.06:  # stripped already
        image = image * (ndimage.gaussian_filter(brain, 0.5) > rng.uniform(0.2, 0.5))
    return _cropped(image, brain, rng)


def _cropped(
    image: np.ndarray, brain: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A field of view that ends somewhere."""
    seen = np.zeros(CANVAS, bool)
    ends = [(0, side) for side in CANVAS]
    if rng.random() < 0.4:
        axis = int(rng.integers(3))
        low, high = rng.uniform(0, 0.3, 2) * (rng.random(2) < 0.6)
        ends[axis] = (int(low * CANVAS[axis]), int((1 - high) * CANVAS[axis]))
    seen[tuple(slice(*end) for end in ends)] = True
    return normalised(np.where(seen, np.maximum(image, 1e-4), 0)), np.where(seen, brain, 0)


def batches(
    heads: list[Head], flairs: list[Head], seed: int, first: int, n: int
) -> Iterator[list[torch.Tensor]]:
    """Image and brain ``(n, 1, *CANVAS)``, from step ``first`` on; drawn beside the training."""

    def draw(step: int) -> list[torch.Tensor]:
        rng = np.random.default_rng([seed, step])
        pairs = []
        for _ in range(n):
            among = flairs if flairs and rng.random() < 0.2 else heads
            pairs.append(drawn(among[rng.integers(len(among))], rng))
        images, brains = (np.stack(one)[:, None] for one in zip(*pairs, strict=True))
        return [torch.from_numpy(one.astype(np.float32)) for one in (images, brains)]

    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(draw, first + i) for i in range(4)]
        for step in count(first + 4):
            yield ahead.pop(0).result()
            ahead.append(pool.submit(draw, step))


def loss_of(logit: torch.Tensor, brain: torch.Tensor) -> torch.Tensor:
    probability = torch.sigmoid(logit)
    common = (probability * brain).sum((1, 2, 3, 4))
    both = (probability**2).sum((1, 2, 3, 4)) + (brain**2).sum((1, 2, 3, 4))
    dice = 1 - (2 * common + 1) / (both + 1)
    return functional.binary_cross_entropy_with_logits(logit, brain) + dice.mean()


def train(heads: list[Head], flairs: list[Head], work: Path, minutes: float, seed: int) -> None:
    torch.manual_seed(seed)
    network = HeadNetwork()

    def loss(batch: list[torch.Tensor]) -> torch.Tensor:
        image, brain = batch
        with half_precision():
            logit = network(image)
        return loss_of(logit.float(), brain)

    train_for(
        Schedule(minutes),
        network,
        lambda step: batches(heads, flairs, seed, step, 2),
        loss,
        work / HEAD_NETWORK,
    )


def people(folder: Path, seed: int) -> dict[str, list[str]]:
    names = sorted(path.name.removesuffix("_T1w.nii.gz") for path in folder.glob("*_T1w.nii.gz"))
    order = list(np.random.default_rng(seed).permutation(names))
    return {
        "unseen": sorted(map(str, order[:UNSEEN])),
        "for choosing": sorted(map(str, order[UNSEEN : UNSEEN + FOR_CHOICE])),
        "trained on": sorted(map(str, order[UNSEEN + FOR_CHOICE :])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parcellated", type=Path, required=True)
    parser.add_argument("--flair", type=Path)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("work", type=Path)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    groups = people(arguments.parcellated, arguments.seed)
    (arguments.work / "people.json").write_text(json.dumps(groups, indent=1))
    root = arguments.parcellated
    heads = [
        load(root / f"{name}_T1w.nii.gz", root / f"{name}_dseg.nii.gz", with_structures=True)
        for name in groups["trained on"]
    ]
    flairs = []
    if (root := arguments.flair) is not None:
        flairs = [
            load(
                root / f"{n}_FLAIR.nii.gz", root / f"{n}_T1space_dseg.nii.gz", with_structures=False
            )
            for n in TRAINED_FLAIR
        ]
    train(heads, flairs, arguments.work, arguments.minutes, arguments.seed)


if __name__ == "__main__":
    main()
