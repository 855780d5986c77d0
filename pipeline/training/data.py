"""What a run is trained on: who is used for what, their slices, and the folder that says so."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch.utils.data import Subset

from pipeline.cases.case import Case
from pipeline.cases.listing import file_hashes, write_datalist
from pipeline.cases.loading import BrainExtractor
from pipeline.cases.loop import Execution, say_notes
from pipeline.cases.splits import split_cases
from pipeline.cases.transforms import CaseTransforms
from pipeline.errors import InputError
from pipeline.files.folder.disk import check_room
from pipeline.files.images.formats import is_picture
from pipeline.files.names import CACHE, CHECKPOINT, CONFIG, DATALIST, RUN_RECORD
from pipeline.files.provenance import command_line, software
from pipeline.files.record.datalist import Datalist
from pipeline.files.record.run import RunRecord
from pipeline.files.texts import count
from pipeline.files.writing import make_folder, remove, write_text
from pipeline.run.config import RunConfig
from pipeline.run.finished import forget_changed
from pipeline.run.settings import differences, dump_config, load_config
from pipeline.training import distributed
from pipeline.training.checkpoint import checkpoint_bytes
from pipeline.training.dataset import (
    Augmentation,
    SliceDataset,
    SliceItem,
    build_stacks,
    evenly_spaced,
)
from pipeline.training.probes import write_probes

logger = logging.getLogger(__name__)

N_VALIDATION_SLICES = 256
"""At most; the loss of every epoch is measured on them."""
UNUSABLE = "unusable"
"""Section of a run's datalist: cases that nothing is made of."""


@dataclass(frozen=True)
class HealthyCases:
    """Healthy cases for a training; see `pipeline.cases.splits.healthy_for_training`.

    Attributes:
        cases: these are split, see `split_healthy`.
        extra: these are trained on but measure nothing: no atlas, no threshold.
        incomplete: what was to be a case and is none -> reason.
    """

    cases: Sequence[Case]
    extra: Sequence[Case] = ()
    incomplete: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """Healthy cases by what they are used for.

    The extra ones are trained on and nothing else; the unusable ones could not be prepared.
    """

    training: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...] = ()
    extra: tuple[Case, ...] = ()
    unusable: tuple[Case, ...] = ()

    @property
    def sections(self) -> dict[str, tuple[Case, ...]]:
        """The parts that are not empty, by name."""
        parts = {
            "training": self.training,
            "validation": self.validation,
            "test": self.test,
            "extra": self.extra,
            UNUSABLE: self.unusable,
        }
        return {name: cases for name, cases in parts.items() if cases}


@dataclass(frozen=True)
class TrainingData:
    """What a network is trained on.

    Attributes:
        training: augmented slices.
        validation: slices as they are, the same few in every epoch.
        failed: case name to reason of the cases that could not be used.
    """

    training: SliceDataset
    validation: Subset[SliceItem]
    failed: dict[str, str] = field(default_factory=dict)


def split_healthy(
    healthy: HealthyCases, config: RunConfig, unusable: Collection[str] = ()
) -> Split:
    """Subjects to training, validation (loss and calibration) and test (not touched).

    Args:
        unusable: names of cases that are in none of these.

    Raises:
        InputError: there are too few subjects.
    """
    usable = [case for case in healthy.cases if case.name not in unusable]
    counts = _counts(len({case.subject for case in usable}), config)
    parts = split_cases(usable, counts, config.seed)
    named = {name: tuple(cases) for name, cases in parts.items()}
    return Split(
        **named,
        extra=tuple(case for case in healthy.extra if case.name not in unusable),
        unusable=tuple(c for c in (*healthy.cases, *healthy.extra) if c.name in unusable),
    )


def _counts(n_subjects: int, config: RunConfig) -> dict[str, int]:
    """How many subjects are used for what; parts of nobody are left out.

    Raises:
        InputError: there are too few.
    """
    n_validation = max(1, round((n_subjects - config.hold_out) * config.validation_fraction))
    n_training = n_subjects - config.hold_out - n_validation
    if n_training < 1:
        raise InputError(
            f"{n_subjects} healthy subjects are too few: {config.hold_out} are held out and "
            f"{n_validation} validate; at least one must be left to train on"
        )
    counts = {"training": n_training, "validation": n_validation, "test": config.hold_out}
    return {name: n for name, n in counts.items() if n}


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
        InputError: the run folder holds another run, the cases do not suffice, or the disk has too
            little room.
    """
    known = _unusable_before(run_dir) if resume or not distributed.is_first() else frozenset()
    split = split_healthy(healthy, config, known)
    quiet_unless_first = replace(execution, progress=execution.progress and distributed.is_first())
    with distributed.first_before_others():
        if distributed.is_first():
            _check_folder(run_dir, config, split, resume=resume)
            check_room(run_dir, _least_bytes(split, config, run_dir))
            forget_changed(run_dir)
        build = _Building(
            CaseTransforms(config.modalities, config.grid, extract_brain),
            config,
            run_dir / CACHE,
            quiet_unless_first,
        )
        split, stacks, failed = _build_usable(healthy, known, build)
        say_notes(build.transforms.notes)
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
    return TrainingData(training, few, {**healthy.incomplete, **failed})


def _unusable_before(run_dir: Path) -> frozenset[str]:
    """Names of the cases that a run, whose folder this is, was begun without."""
    if not (run_dir / CONFIG).is_file():
        return frozenset()
    recorded = Datalist.of(run_dir)
    return frozenset(() if recorded is None else (entry.name for entry in recorded[UNUSABLE]))


@dataclass(frozen=True)
class _Building:
    """How the stacks of cases are made, and where they are kept."""

    transforms: CaseTransforms
    config: RunConfig
    cache: Path
    execution: Execution

    def stacks(self, section: str, cases: Sequence[Case]) -> tuple[list[Path], dict[str, str]]:
        """Those of a section; see `build_stacks`."""
        return build_stacks(
            cases,
            self.transforms,
            self.config,
            self.cache,
            description=f"preparing {section} cases",
            execution=self.execution,
        )


def _build_usable(
    healthy: HealthyCases, known: Collection[str], build: _Building
) -> tuple[Split, dict[str, list[Path]], dict[str, str]]:
    """A split of the cases that can be prepared, and the stacks of its sections but the test cases.

    The others are no part of it, so that neither a training nor a validation depends on one of
    them; they are returned too, by name with the reason.

    Raises:
        InputError: too few are left.
    """
    failed = dict.fromkeys(known, "this run was begun without it; train anew to take it")
    while True:
        split = _split_again(healthy, build.config, failed)
        stacks: dict[str, list[Path]] = {}
        reasons: dict[str, str] = {}
        for name in ("training", "validation", "extra"):
            if cases := split.sections.get(name, ()):
                stacks[name], more = build.stacks(name, cases)
                reasons |= more
        failed |= reasons
        if not reasons:
            return split, stacks, failed


def _split_again(healthy: HealthyCases, config: RunConfig, failed: dict[str, str]) -> Split:
    """The split without the cases that failed; where too few are left, a reason is told."""
    try:
        split = split_healthy(healthy, config, failed)
    except InputError as error:
        if not failed:
            raise
        reason = next(iter(failed.values()))
        raise InputError(f"{reason} ({count(len(failed), 'case')} not usable); {error}") from error
    if healthy.extra and not split.extra:
        raise InputError(f"no extra case can be used: {failed[healthy.extra[0].name]}")
    return split


def _describe(run_dir: Path, config: RunConfig, split: Split) -> None:
    """Write who is used for what, and with what software; the settings last, as they make a run."""
    write_datalist(run_dir / DATALIST, split.sections, with_hashes=True)
    people = {name: len(cases) for name, cases in split.sections.items()}
    record = RunRecord(software=software(), command=command_line(), people=people)
    record.write(run_dir / RUN_RECORD)
    write_text(run_dir / CONFIG, dump_config(config))


LEAST_BRAIN_MM = 60.0
"""A scan has brain in slices over this length at least, or it is no whole brain."""


def _least_bytes(split: Split, config: RunConfig, run_dir: Path) -> int:
    """Bytes that the slices, where none are there yet, and the checkpoints take at least."""
    n_bytes = checkpoint_bytes(config) * (1 if (run_dir / CHECKPOINT).is_file() else 2)
    if (run_dir / CACHE).is_dir():
        return n_bytes
    grid = config.grid
    slice_bytes = 4 * (len(config.modalities) + 2) * grid.size**2
    for cases in (split.training, split.validation, split.extra):
        for case in cases:
            flat = any(is_picture(file.path) for file in case.images.values())
            n_slices = 1 if flat else int(LEAST_BRAIN_MM / grid.slice_spacing_mm)
            n_bytes += n_slices * slice_bytes
    return n_bytes


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
    _check_contents(run_dir, recorded, split)


def _check_contents(run_dir: Path, recorded: Datalist, split: Split) -> None:
    """See that the files are those that the training began with.

    Where there is no checkpoint, the folder becomes that of a training on the files of now.

    Raises:
        InputError: they are others, and there is a checkpoint of a training on those.
    """
    before = {entry.name: entry.sha256 for entry in recorded.entries(*recorded.sections)}
    sections = split.sections.items()
    cases = [case for name, section in sections if name != UNUSABLE for case in section]
    changed = [
        case.name
        for case in cases
        if before.get(case.name) and before[case.name] != file_hashes(case)
    ]
    if not changed:
        return
    what = (
        f"{run_dir}: the files of {count(len(changed), 'case')} ({changed[0]}, ...) are not those "
        "that its training began with"
    )
    if (run_dir / CHECKPOINT).is_file():
        raise InputError(f"{what}; put those back, or give another folder")
    logger.warning("note: %s; there is no checkpoint of those, so it begins anew", what)
    remove(run_dir / CONFIG)  # it is described anew
