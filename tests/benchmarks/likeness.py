"""How many scans look unlike the people that a run's thresholds come from.

    python tests/benchmarks/likeness.py --model t1 IXI --elsewhere NOVOSIBIRSK

IXI is the folder that the run was trained on: those that its split sets aside for the thresholds
are what is compared with, those that it does not touch should look like them, as they are and with
a ball that is brighter or darker, and those from elsewhere should not.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pipeline.cases.find import find_cases
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.detection.case_work import CaseWork
from pipeline.detection.likeness import looks_of, unlike
from pipeline.files.record.calibration import Looks
from pipeline.run.model import load_model
from pipeline.training.data import HealthyCases, split_healthy

RADII_MM = (25.0, 36.0)
CHANGE = 0.5
"""Of the intensity, in a range of 2."""


def with_ball(prepared: Prepared, radius_mm: float, rng: np.random.Generator) -> Prepared:
    """A case with a ball somewhere in its brain that is brighter or darker."""
    brain = prepared.brain[:, 0].numpy()
    places = np.argwhere(brain)
    away = np.stack(np.indices(brain.shape), -1) - places[rng.integers(len(places))]
    inside = np.linalg.norm(away * prepared.grid.axes_mm, axis=-1) < radius_mm
    slices = prepared.slices.clone()
    slices[torch.from_numpy(inside & brain)[:, None]] += CHANGE * rng.choice([-1, 1])
    return replace(prepared, slices=slices.clamp(-1, 1))


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("healthy", type=Path)
    parser.add_argument("--model", default="t1")
    parser.add_argument("--elsewhere", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.model)
    modalities, rng = model.config.modalities, np.random.default_rng(0)
    transforms = CaseTransforms(modalities, model.config.grid)

    def looks(prepared: Prepared) -> Looks:
        found = looks_of(CaseWork(prepared), model)
        assert found is not None
        return found

    cases = find_cases(arguments.healthy, modalities=modalities).cases
    split = split_healthy(HealthyCases(list(cases)), model.config)
    people = [looks(transforms(case)) for case in split.validation]

    def count(name: str, scans: list[Prepared]) -> None:
        n_unlike = sum(unlike(looks(scan), people) is not None for scan in scans)
        print(f"{name}: {n_unlike} of {len(scans)} look unlike the {len(people)}", flush=True)

    same = [transforms(case) for case in split.test]
    count("not touched", same)
    for radius in RADII_MM:
        volume = 4 / 3 * np.pi * (radius / 10) ** 3
        count(f"with a ball of {volume:.0f} mL", [with_ball(one, radius, rng) for one in same])
    others = find_cases(arguments.elsewhere, modalities=modalities).cases
    count("from elsewhere", [transforms(case) for case in others])


if __name__ == "__main__":
    main()
