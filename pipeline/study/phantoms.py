"""``anomap phantom``: cohorts of synthetic brains, and of real ones with a tumour put in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.cases.brain.find import load_brain
from pipeline.cases.extraction.choice import make_extractor
from pipeline.cases.loop import Execution
from pipeline.cases.several import Selection
from pipeline.errors import InputError
from pipeline.phantom.cohort import CohortPlan, write_cohort, write_inserted_cohort
from pipeline.study.selection import find_healthy


@dataclass(frozen=True)
class PhantomOptions:
    """What is made.

    Attributes:
        n_healthy, n_tumour: numbers of cases; None takes ten, or with ``on`` all that are there.
        spacing_mm: voxel size of synthetic brains.
        contrast: of tumours against the tissue around them: mixed, bright, dark or iso.
        on: real healthy brains to put tumours in, instead of synthetic ones.
        brain_extraction: a name in `EXTRACTORS`, for heads of ``on``.
        seed: of everything drawn.
    """

    n_healthy: int | None = None
    n_tumour: int | None = None
    spacing_mm: float = 1.0
    contrast: str = "mixed"
    on: Path | None = None
    brain_extraction: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, count in (("--healthy", self.n_healthy), ("--tumour", self.n_tumour)):
            if count is not None and count < 0:
                raise InputError(f"{name} {count}: expected a number of cases, 0 or more")


def make_phantoms(
    out: Path | str,
    *,
    options: PhantomOptions = PhantomOptions(),
    selection: Selection = Selection(),
    execution: Execution = Execution(),
) -> dict[str, str]:
    """Make a cohort in BraTS layout: ``out/{healthy,tumour}/<case>/``.

    Args:
        out: a folder; what it holds of the same cohort is kept.
        options: how many, how, on what.
        selection: its modalities are made; with ``on`` it says which cases.
        execution: progress, allowed failures.

    Returns:
        Case -> reason of those that could not be made.

    Raises:
        InputError: no modality, a bad number, or a folder that holds another cohort.
    """
    if not selection.modalities:
        raise InputError("say which modality to make: --modality flair, t1, t1ce or t2")
    modalities = selection.modalities
    plan = CohortPlan(
        modalities,
        n_healthy=options.n_healthy,
        n_tumour=options.n_tumour,
        seed=options.seed,
        contrast=options.contrast,
    )
    if options.on is None:
        return write_cohort(Path(out), plan, spacing_mm=options.spacing_mm, execution=execution)
    extract_brain = make_extractor(options.brain_extraction)
    _check_section(options.on, selection.section)
    return write_inserted_cohort(
        Path(out),
        find_healthy(options.on, selection),
        plan,
        lambda case: load_brain(case, modalities, extract_brain),
        execution=execution,
    )


def _check_section(path: Path, section: str | None) -> None:
    """A run's datalist holds people that the model has seen: which are meant must be said."""
    if path.suffix.lower() == ".json" and section is None:
        raise InputError(
            f"{path}: say which part is meant with --section; tumours belong into people that the "
            "model was neither trained nor calibrated on (a run's --section test, see --hold-out)"
        )
