"""Makes the thresholds of shipped weights anew where a step of their recipe has changed.

    python -m tools.recalibrate bundles/simplex_ddpm_brain_t1/models IXI_T1

The people are those of before: they are known by the scores of a method that has not changed. Only
the tables of the methods that use the network for any contrast are replaced.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from pipeline.cases.case import Case
from pipeline.cases.find import find_cases
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.calibration import Sampling, calibration_from, measure_healthy
from pipeline.files.names import CALIBRATION
from pipeline.files.record.calibration import Calibration
from pipeline.run.finished import record_files
from pipeline.run.model import load_model

KNOWN_BY, NEAR = "normative", 1e-4
CHANGED = ("anomap", "lesion_network")


def main() -> None:
    """Find the people again, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("healthy", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.run)
    models, config = {model.noise: model}, model.config
    before = Calibration.of(model.path)
    transforms = CaseTransforms(config.modalities, config.grid)
    cases = {c.name: c for c in find_cases(arguments.healthy, modalities=config.modalities).cases}
    tried = measure_healthy(list(cases.values()), [KNOWN_BY], models, transforms)
    scores = {name: one[KNOWN_BY].score for name, one in tried.done.items()}
    people = [again(score, scores, cases) for score in before.methods[KNOWN_BY].scores]
    sampling = Sampling(config.seed, len(people))
    measured = measure_healthy(people, CHANGED, models, transforms, sampling=sampling)
    if measured.failed:
        raise SystemExit(str(measured.failed))
    new = calibration_from(measured.done, CHANGED, models)
    tables = {**before.methods, **new.methods}
    for name in CHANGED:
        was, now = before.methods[name].thresholds, tables[name].thresholds
        print(f"{name}: at 1 % {was['0.01']:.4f}, now {now['0.01']:.4f}")
    after = before.model_copy(update={"methods": {n: tables[n] for n in before.methods}})
    after.write(model.path / CALIBRATION)
    record_files(model.path)


def again(score: float, scores: dict[str, float], cases: dict[str, Case]) -> Case:
    """The one person with this score."""
    near = [name for name, other in scores.items() if abs(other - score) < NEAR * abs(score)]
    if len(near) != 1:
        raise SystemExit(f"score {score}: {len(near)} people have it")
    return cases[near[0]]


if __name__ == "__main__":
    main()
