"""Synthetic cohorts on disk: phantoms, and tumours in real healthy brains."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.cases.case import Case
from pipeline.cases.loop import Apart, Execution, each_case
from pipeline.errors import InputError
from pipeline.files.case_name import case_folder
from pipeline.files.folder.disk import FLOOR
from pipeline.files.folder.lock import locked
from pipeline.files.folder.ownership import check_ours, claim
from pipeline.files.images.nifti import write_volume
from pipeline.files.names import COHORT
from pipeline.files.record.cohort import (
    Arguments,
    CaseFacts,
    InsertedArguments,
    InsertedFacts,
    PhantomArguments,
    SyntheticCohort,
)
from pipeline.files.record.stored import is_whole
from pipeline.phantom.paint import CONTRASTS
from pipeline.phantom.subject import check_phantom, make_phantom
from pipeline.phantom.tumour import Brain, insert_tumour

N_PHANTOMS = 10
"""With and without a tumour each, where a plan does not say how many."""

IMAGE_BYTES = 1_000_000
"""That an image of a phantom takes at least with voxels of 1 mm: some half of what it does."""
COPY_SHARE = 0.1
"""Of the bytes of a real scan that its copy with a tumour takes at least, without the skull."""

LoadBrain = Callable[[Case], tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]]
"""A case to its images by modality ``(X, Y, Z)``, any scale, its brain mask (> 0 inside) and its
affine ``(4, 4)``; see `pipeline.cases.loading.load_brain`."""


@dataclass(frozen=True)
class CohortPlan:
    """What a synthetic cohort holds.

    Attributes:
        modalities: images of each case.
        n_healthy: cases without a tumour; None makes `N_PHANTOMS`, or takes every given brain.
        n_tumour: cases with one; None as above.
        seed: of it all.
        contrast: of the tumours, see `pipeline.phantom.tumour.insert_tumour`.
    """

    modalities: Sequence[str]
    n_healthy: int | None = None
    n_tumour: int | None = None
    seed: int = 0
    contrast: str = "mixed"


@dataclass(frozen=True)
class _Made:
    """The contents of a case's files, in their order, and what was drawn."""

    volumes: Sequence[np.ndarray]
    affine: np.ndarray
    facts: CaseFacts


@dataclass(frozen=True)
class _Job:
    """A case to write, and how many bytes it takes at least."""

    name: str
    paths: Sequence[Path]
    make: Callable[[], _Made]
    least_bytes: int

    @property
    def is_written(self) -> bool:
        return all(path.is_file() and is_whole(path) for path in self.paths)


def write_cohort(
    out_dir: Path,
    plan: CohortPlan,
    *,
    spacing_mm: float = 1.0,
    execution: Execution = Execution(),
) -> dict[str, str]:
    """Write a phantom cohort in BraTS layout; a second call makes only what is missing.

    ``out_dir/{healthy,tumour}/phantom_{h,t}000/phantom_h000_<modality>.nii.gz`` (int16), ``_seg``
    (uint8; 1 necrosis, 2 oedema, 4 enhancing) for tumours, and ``cohort.json``. A case depends on
    seed, kind and index alone, so a cohort may be made larger later.

    Args:
        out_dir: made if it is not there.
        plan: of `pipeline.phantom.scanner.MODALITIES`.
        spacing_mm: voxel size.
        execution: how.

    Returns:
        Name -> reason of the cases that failed; they are in ``cohort.json`` too.

    Raises:
        InputError: bad arguments, a folder that holds a different (or a larger) cohort, or not one
            case that could be made.
    """
    check_phantom(plan.modalities, spacing_mm, plan.contrast)
    arguments = PhantomArguments(
        modalities=tuple(plan.modalities),
        seed=plan.seed,
        spacing_mm=spacing_mm,
        contrast=plan.contrast,
    )
    jobs = []
    n_bytes = int(IMAGE_BYTES / spacing_mm**3) * len(plan.modalities)
    for tumour, letter, count in ((False, "h", plan.n_healthy), (True, "t", plan.n_tumour)):
        for index in range(N_PHANTOMS if count is None else count):
            name = f"phantom_{letter}{index:03d}"
            make = partial(_phantom, plan, spacing_mm, index, tumour=tumour)
            paths = _paths(out_dir, name, plan.modalities, tumour=tumour)
            jobs.append(_Job(name, paths, make, n_bytes))
    return _write_cases(out_dir, arguments, jobs, "phantoms", execution)


def _phantom(plan: CohortPlan, spacing_mm: float, index: int, *, tumour: bool) -> _Made:
    phantom = make_phantom(
        np.random.default_rng([plan.seed, int(tumour), index]),
        plan.modalities,
        tumour=tumour,
        spacing_mm=spacing_mm,
        contrast=plan.contrast,
    )
    volumes = [np.rint(phantom.images[m]).astype(np.int16) for m in plan.modalities]
    return _Made([*volumes, *([phantom.label] if tumour else [])], phantom.affine, phantom.facts)


def write_inserted_cohort(
    out_dir: Path,
    cases: Sequence[Case],
    plan: CohortPlan,
    load_brain: LoadBrain,
    *,
    execution: Execution = Execution(),
) -> dict[str, str]:
    """Put tumours into real healthy brains, and keep skull-stripped healthy copies beside them.

    Healthy copies are taken from the front of ``cases`` and tumours from the back, so the two
    sets share subjects only where they must. Grids and affines stay the source's; float32.

    Args:
        out_dir: laid out as `write_cohort` does, case names ``<case>_healthy`` / ``<case>_tumour``.
        cases: healthy ones.
        plan: its seed, with a case's name, decides the case's tumour.
        load_brain: reads a case.
        execution: how.

    Returns:
        Name -> reason of the cases that failed; they are in ``cohort.json`` too.

    Raises:
        InputError: bad arguments, another cohort in the folder, or not one case that works.
    """
    if plan.contrast not in CONTRASTS:
        raise InputError(f"contrast {plan.contrast!r}: expected one of {', '.join(CONTRASTS)}")
    arguments = InsertedArguments(
        on=tuple(sorted(case.name for case in cases)),
        modalities=tuple(plan.modalities),
        seed=plan.seed,
        contrast=plan.contrast,
    )
    n_healthy, n_tumour = (len(cases) if n is None else n for n in (plan.n_healthy, plan.n_tumour))
    chosen = [(case, False) for case in cases[:n_healthy]]
    chosen += [(case, True) for case in cases[max(len(cases) - n_tumour, 0) :]]
    jobs = []
    for case, tumour in chosen:
        name = f"{case.name}_{_kind(tumour=tumour)}"
        make = partial(_inserted, case, plan, load_brain, tumour=tumour)
        paths = _paths(out_dir, name, plan.modalities, tumour=tumour)
        jobs.append(_Job(name, paths, make, _copy_bytes(case)))
    return _write_cases(out_dir, arguments, jobs, "tumours", execution)


def _copy_bytes(case: Case) -> int:
    there = [file.path for file in case.images.values() if file.channel is None]
    return int(COPY_SHARE * sum(path.stat().st_size for path in there if path.is_file()))


def _inserted(case: Case, plan: CohortPlan, load_brain: LoadBrain, *, tumour: bool) -> _Made:
    images, brain_mask, affine = load_brain(case)
    missing = [m for m in plan.modalities if m not in images]
    if missing:
        raise InputError(f"{case.name}: has no {', '.join(missing)}")
    mask = brain_mask > 0
    stripped = {m: np.where(mask, images[m], 0).astype(np.float32) for m in plan.modalities}
    if not tumour:
        volumes = [stripped[m] for m in plan.modalities]
        return _Made(volumes, affine, InsertedFacts(subject=case.subject))
    rng = np.random.default_rng([plan.seed, zlib.crc32(case.name.encode())])
    grown = insert_tumour(Brain(stripped, mask, affine), rng, contrast=plan.contrast)
    facts = InsertedFacts(subject=case.subject, tumour=grown.facts)
    return _Made([*(grown.images[m] for m in plan.modalities), grown.label], affine, facts)


# On disk ------------------------------------------------------------------------------------------


def _kind(*, tumour: bool) -> str:
    return "tumour" if tumour else "healthy"


def _paths(folder: Path, name: str, modalities: Sequence[str], *, tumour: bool) -> list[Path]:
    """Of the images, and of the label where there is a tumour."""
    kinds = [*modalities, *(["seg"] if tumour else [])]
    inside = case_folder(folder / _kind(tumour=tumour), name)
    return [inside / f"{name}_{kind}.nii.gz" for kind in kinds]


def _write_cases(
    out_dir: Path,
    arguments: Arguments,
    jobs: Sequence[_Job],
    description: str,
    execution: Execution,
) -> dict[str, str]:
    """Write what is missing, ``cohort.json`` after each case; why cases failed."""
    new = [job for job in jobs if not job.is_written]
    claim(out_dir, [COHORT], n_bytes=FLOOR + sum(job.least_bytes for job in new))
    folders = {path.parent for job in jobs for path in job.paths}
    with locked(out_dir, within=sorted(folders)):
        return _write_missing(out_dir, arguments, jobs, description, execution)


def _write_missing(
    out_dir: Path,
    arguments: Arguments,
    jobs: Sequence[_Job],
    description: str,
    execution: Execution,
) -> dict[str, str]:
    path = out_dir / COHORT
    record = _record(out_dir, arguments, [job.name for job in jobs])
    missing = {job.name: job for job in jobs if job.name not in record.cases or not job.is_written}

    for image in (path for job in missing.values() for path in job.paths):
        check_ours(image)

    def write(job: _Job) -> CaseFacts:
        made = job.make()
        for volume_path, volume in zip(job.paths, made.volumes, strict=True):
            write_volume(volume_path, volume, made.affine)
        return made.facts

    def keep(name: str, facts: CaseFacts) -> CaseFacts:
        nonlocal record
        record = record.with_case(name, facts)
        record.write(path)
        return facts

    work = Apart(write, then=keep)
    failed = each_case(missing, work, description=description, execution=execution).failed
    record.model_copy(update={"failed": failed}).write(path)
    if jobs and not record.cases:
        raise InputError(f"no case could be used; the first said: {next(iter(failed.values()))}")
    return failed


def _record(out_dir: Path, arguments: Arguments, names: Sequence[str]) -> SyntheticCohort:
    """What the folder holds so far, if it can become what is asked for."""
    record = SyntheticCohort.of(out_dir)
    if record is None:
        return SyntheticCohort(arguments=arguments)
    if differences := _differences(record.arguments.to_json(), arguments.to_json()):
        raise InputError(
            f"{out_dir} holds another cohort ({differences}); choose another folder, or delete it"
        )
    if extra := sorted(set(record.cases) - set(names)):
        raise InputError(
            f"{out_dir} holds {len(extra)} more cases than asked for ({extra[0]}, ...); "
            "ask for as many, choose another folder, or delete it"
        )
    return record


def _differences(there: Mapping[str, object], here: Mapping[str, object]) -> str:
    return ", ".join(
        f"{key} {there.get(key)} there, {here.get(key)} here"
        for key in {**here, **there}
        if there.get(key) != here.get(key)
    )
