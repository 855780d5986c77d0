"""Whether a scan looks like those that thresholds and p-values come from: another scanner's do not.

What is compared is hardly moved by a tumour: the median deviation from the atlas in each of 64
blocks of the brain, of which a quarter may be anything, and the noise. A scan is unlike the others
if it lies farther from them than each of them does from the rest.

Set on T1w scans (``tests/benchmarks/likeness.py``): of 24 people of the site that calibrated none
lay farther, of 37 of another site 32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from pipeline.detection.case_work import CaseWork
from pipeline.detection.normative import INTENSITY, z_scores
from pipeline.files.record.calibration import Looks
from pipeline.run.model import Model

N_BLOCKS = 4
"""Along each axis of the brain's box."""
LEAST_VOXELS = 60
"""Of a block that is looked at."""
BLOCKS_QUANTILE = 0.75
LEAST_PEOPLE = 10
MIN_SPREAD = {"blocks": 0.25, "noise": 0.1}
"""Floors of the spread between people: in healthy standard deviations, and of a logarithm."""


def looks_of(work: CaseWork, model: Model) -> Looks | None:
    """How a case looks beside a run's atlas; None where there is no atlas, or it is a picture."""
    prepared = work.prepared
    brain = prepared.brain[:, 0].numpy()
    if INTENSITY not in model.atlases or len(brain) < N_BLOCKS or not brain.any():
        return None
    deviation = z_scores(INTENSITY, prepared.slices, work, model).mean(1).numpy()
    places = np.argwhere(brain)
    low, high = places.min(0), places.max(0) + 1
    block = ((places - low) * N_BLOCKS // (high - low)) @ (N_BLOCKS**2, N_BLOCKS, 1)
    values = deviation[brain]
    blocks = []
    for number in range(N_BLOCKS**3):
        own = values[block == number]
        blocks.append(float(np.median(own)) if len(own) >= LEAST_VOXELS else None)
    return Looks(blocks=tuple(blocks), noise=_noise(prepared.slices.mean(1).numpy(), brain))


def _noise(image: np.ndarray, brain: np.ndarray) -> float:
    """Logarithm of what a 3-D median filter takes away, the median over the inner brain."""
    inner = ndimage.binary_erosion(brain, iterations=2)
    if not inner.any():
        return math.log(1e-4)
    taken = np.abs(image - ndimage.median_filter(image, 3))
    return math.log(float(np.median(taken[inner])) + 1e-4)


def unlike(looks: Looks | None, people: Sequence[Looks]) -> str | None:
    """In what a scan looks unlike the people that calibrate, as a note; None where it does not.

    Args:
        looks: of the scan; None where it was not looked at.
        people: of those people; nothing is said by fewer than `LEAST_PEOPLE`.
    """
    if looks is None or len(people) < LEAST_PEOPLE:
        return None
    own = _distances(looks, people)
    others = [_distances(one, [p for p in people if p is not one]) for one in people]
    said = []
    for name, what in (("blocks", "brightness over the brain"), ("noise", "noise")):
        bound = max(other[name] for other in others)
        if own[name] > bound:
            said.append(f"{what} ({own[name]:.1f} standard deviations; theirs up to {bound:.1f})")
    if not said:
        return None
    return (
        f"the scan does not look like those of the {len(people)} healthy people that thresholds "
        f"come from: {' and '.join(said)}; so no p-value is given, and more or less than stated "
        "may be marked. `anomap calibrate` with healthy scans of the same scanner mends it"
    )


def _distances(looks: Looks, people: Sequence[Looks]) -> dict[str, float]:
    """From the mean of people, in their standard deviations."""
    kept = [
        number
        for number, value in enumerate(looks.blocks)
        if value is not None and all(one.blocks[number] is not None for one in people)
    ]
    rows = np.array([[one.blocks[k] for k in kept] for one in people], dtype=float)
    own = np.array([looks.blocks[k] for k in kept], dtype=float)
    noises = np.array([one.noise for one in people])
    spread = np.maximum(rows.std(0, ddof=1), MIN_SPREAD["blocks"])
    away = np.abs(own - rows.mean(0)) / spread
    of_noise = max(float(noises.std(ddof=1)), MIN_SPREAD["noise"])
    return {
        "blocks": float(np.quantile(away, BLOCKS_QUANTILE)) if kept else 0.0,
        "noise": abs(looks.noise - float(noises.mean())) / of_noise,
    }
