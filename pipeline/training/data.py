"""What a run is trained on: who is used for what, their slices, and the folder that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch.utils.data import Subset

from pipeline.cases.case import Case
from pipeline.cases.listing import write_datalist
from pipeline.cases.loading import BrainExtractor
from pipeline.cases.loop import Execution
from pipeline.cases.splits import split_cases
from pipeline.cases.transforms import CaseTransforms
from pipeline.errors import InputError
from pipeline.files.names import CACHE, CONFIG, DATALIST, RUN_RECORD
from pipeline.files.nifti import make_folder, write_text
from pipeline.files.provenance import command_line, software
from pipeline.files.record.datalist import Datalist
from pipeline.files.record.run import RunRecord
from pipeline.run.config import RunConfig
from pipeline.run.settings import differences, dump_config, load_config
from pipeline.training import distributed
from pipeline.training.dataset import (
    Augmentation,
    SliceDataset,
    SliceItem,
    build_stacks,
    evenly_spaced,
)
from pipeline.training.probes import write_probes

N_VALIDATION_SLICES = 256
"""At most; the loss of every epoch is measured on them."""


@dataclass(frozen=True)
class HealthyCases:
    """Healthy cases for a training; see `pipeline.cases.splits.healthy_for_training`.

    Attributes:
        cases: these are split, see `split_healthy`.
        extra: these are trained on but measure nothing: no atlas, no threshold.
    """

    cases: Sequence[Case]
    extra: Sequence[Case] = ()


@dataclass(frozen=True)
class Split:
    """Healthy cases by what they are used for; the extra ones are trained on and nothing else."""

    training: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...] = ()
    extra: tuple[Case, ...] = ()

    @property
    def sections(self) -> dict[str, tuple[Case, ...]]:
        """The parts that are not empty, by name."""
        parts = {
            "training": self.training,
            "validation": self.validation,
            "test": self.test,
            "extra": self.extra,
        }
        return {name: cases for name, cases in parts.items() if cases}


@dataclass(frozen=True)
class TrainingData:
    """What a network is trained on.

    Attributes:
        training: augmented slices.
        validation: slices as they are, the same few in every epoch.
        failed: case name to reason of the cases that could not be read.
    """

    training: SliceDataset
    validation: Subset[SliceItem]
    failed: dict[str, str] = field(default_factory=dict)


def split_healthy(healthy: HealthyCases, config: RunConfig) -> Split:
    """Subjects to training, validation (loss and calibration) and test (not touched).

    Raises:
        InputError: there are too few subjects.
    """
    n_subjects = len({case.subject for case in healthy.cases})
    n_validation = max(1, round((n_subjects - config.hold_out) * config.validation_fraction))
    n_training = n_subjects - config.hold_out - n_validation
    if n_training < 1:
        raise InputError(
            f"{n_subjects} healthy subjects are too few: {config.hold_out} are held out and "
            f"{n_validation} validate; at least one must be left to train on"
        )
    counts = {"training": n_training, "validation": n_validation, "test": config.hold_out}
    parts = split_cases(healthy.cases, {k: n for k, n in counts.items() if n}, config.seed)
    named = {name: tuple(cases) for name, cases in parts.items()}
    return Split(**named, extra=tuple(healthy.extra))


def prepare(
    healthy: HealthyCases,
    config: RunConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    extract_brain: BrainExtractor | None = None,
    execution: Execution = Execution(),
) -> TrainingData:
    """Split the cases, write the slices of a run to disk, and say in its folder what it is.

    Of several processes the first one does it for all.

    Args:
        resume: a run with these settings and cases may be there already.
        extract_brain: for images that are not skull-stripped; None makes those an error.

    Raises:
        InputError: the run folder holds another run, or the cases do not suffice.
    """
    split = split_healthy(healthy, config)
    quiet_unless_first = replace(execution, progress=execution.progress and distributed.is_first())
    with distributed.first_before_others():
        if distributed.is_first():
            _check_folder(run_dir, config, split, resume=resume)
        transforms = CaseTransforms(config.modalities, config.grid, extract_brain)
        stacks, failed = _build_all(split, transforms, config, run_dir, quiet_unless_first)
        if not (run_dir / CONFIG).is_file():
            _describe(run_dir, config, split)
        if distributed.is_first():
            write_probes(split.validation, config, run_dir, extract_brain)
    training = SliceDataset(
        stacks["training"] + stacks.get("extra", []),
        Augmentation(config.training, spacing_mm=config.grid.spacing_mm, seed=config.seed),
    )
    validation = SliceDataset(stacks["validation"])
    few = Subset(validation, evenly_spaced(len(validation), N_VALIDATION_SLICES))
    return TrainingData(training, few, failed)


def _build_all(
    split: Split,
    transforms: CaseTransforms,
    config: RunConfig,
    run_dir: Path,
    execution: Execution,
) -> tuple[dict[str, list[Path]], dict[str, str]]:
    """Stacks of each section but the test cases; case name -> reason of those that failed."""
    stacks: dict[str, list[Path]] = {}
    failed: dict[str, str] = {}
    for name, cases in split.sections.items():
        if name == "test":
            continue
        paths, reasons = build_stacks(
            cases,
            transforms,
            config,
            run_dir / CACHE,
            description=f"preparing {name} cases",
            execution=execution,
        )
        if not paths:
            raise InputError(f"no {name} case could be read: {next(iter(reasons.values()))}")
        stacks[name], failed = paths, failed | reasons
    return stacks, failed


def _describe(run_dir: Path, config: RunConfig, split: Split) -> None:
    """Write who is used for what, and with what software; the settings last, as they make a run."""
    write_datalist(run_dir / DATALIST, split.sections)
    people = {name: len(cases) for name, cases in split.sections.items()}
    record = RunRecord(software=software(), command=command_line(), people=people)
    record.write(run_dir / RUN_RECORD)
    write_text(run_dir / CONFIG, dump_config(config))


def _check_folder(run_dir: Path, config: RunConfig, split: Split, *, resume: bool) -> None:
    """See that the folder is free, or holds the run to be resumed, on the same people."""
    make_folder(run_dir)
    path = run_dir / CONFIG
    if not path.is_file():
        return
    if not resume:
        raise InputError(
            f"{run_dir}: a run is already there; give --resume to continue it, or another folder"
        )
    if changed := differences(load_config(path), config):
        raise InputError(
            f"{run_dir}: its config.yaml differs from what is asked for now in "
            f"{', '.join(changed)}; resume with the same settings, or give another folder"
        )
    recorded = Datalist.read(run_dir / DATALIST)
    for name, cases in split.sections.items():
        before = {entry.name for entry in recorded[name]}
        if before != {case.name for case in cases}:
            raise InputError(
                f"{run_dir}: its {name} cases were {len(before)} others than the {len(cases)} "
                "found now; resume with the same data, or give another folder"
            )
