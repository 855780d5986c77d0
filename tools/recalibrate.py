"""Makes the thresholds of shipped weights anew, where a step of their recipe has changed.

It writes the hashes of the images that the weights have seen into their record as well.

    python -m tools.recalibrate bundles/simplex_ddpm_brain_t1/models IXI_T1

The people are those that the training set aside for it, so the folder must hold those that it was
given.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from pipeline.cases.case import Case
from pipeline.cases.find import find_cases
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.calibration import Sampling, calibration_from, measure_healthy
from pipeline.files.images.pairs import image_hash
from pipeline.files.names import CALIBRATION
from pipeline.files.record.calibration import Calibration
from pipeline.files.record.run import RunRecord
from pipeline.files.record.stored import StoredFile
from pipeline.run.finished import record_files
from pipeline.run.model import load_model
from pipeline.training.data import HealthyCases, split_healthy


def main() -> None:
    """Find the people again, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("healthy", type=Path)
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--images-only", action="store_true", help="leave the thresholds alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.run)
    models, config = {model.noise: model}, model.config
    before = Calibration.of(model.path)
    cohort = find_cases(arguments.healthy, modalities=config.modalities)
    cases = [case for case in cohort.cases if case.name not in arguments.leave_out]
    split = split_healthy(HealthyCases(cases), config)
    people = split.validation
    if len(people) != len(before.cases):
        raise SystemExit(f"{len(people)} people, where {len(before.cases)} made the thresholds")
    note_images({"training": split.training, "validation": people}, model.path)
    if arguments.images_only:
        return
    names = list(before.methods)
    measured = measure_healthy(
        people,
        names,
        models,
        CaseTransforms(config.modalities, config.grid),
        sampling=Sampling(config.seed, len(people)),
    )
    if measured.failed:
        raise SystemExit(str(measured.failed))
    after = calibration_from(measured.done, names, models)
    for name in names:
        was, now = before.methods[name], after.methods[name]
        print(
            f"{name}: at 1 % {was.thresholds['0.01']:.4f}, now {now.thresholds['0.01']:.4f}; "
            f"scores {min(was.scores):.3f} to {max(was.scores):.3f}, now {min(now.scores):.3f} to "
            f"{max(now.scores):.3f}"
        )
    after = after.model_copy(update={"cases": before.cases})  # their names are not ours to tell
    after.write(model.path / CALIBRATION)
    record_files(model.path)
    forget_places(model.path)


def note_images(people: Mapping[str, Sequence[Case]], run: Path) -> None:
    """Note in the record of a run which images it has seen."""
    record = RunRecord.read(run / RunRecord.FILE)
    images = {
        use: tuple(sorted(image_hash(file.path) for case in cases for file in case.images.values()))
        for use, cases in people.items()
    }
    record.model_copy(update={"images": images}).write(run / RunRecord.FILE)


def forget_places(run: Path) -> None:
    """Leave hashes and sizes alone in the record: it travels."""
    record = RunRecord.read(run / RunRecord.FILE)
    files = {
        name: StoredFile(sha256=file.sha256, bytes=file.bytes)
        for name, file in record.files.items()
    }
    record.model_copy(update={"files": files}).write(run / RunRecord.FILE)


if __name__ == "__main__":
    main()
