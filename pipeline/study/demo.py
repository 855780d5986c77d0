"""The main job on synthetic brains, from nothing to a table and a report, in minutes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.cases.loop import Execution
from pipeline.cases.several import Selection
from pipeline.detection.methods.choice import select_methods
from pipeline.detection.methods.table import NETWORK_METHODS
from pipeline.errors import InputError
from pipeline.figures.losses import training_figure
from pipeline.files.folder.ownership import OF_A_RUN, OF_PICTURES, OF_SCORES, claim
from pipeline.files.names import REPORT
from pipeline.phantom.cohort import CohortPlan, write_cohort
from pipeline.report.page import write_report
from pipeline.scores.tables import format_table
from pipeline.study.benchmark import BenchmarkOptions, benchmark
from pipeline.study.train import TrainOptions, train

MODALITY = "flair"
CONTRAST = "bright"  # as gliomas are on FLAIR, nearly always
EPOCHS = 14
N_TRAINING, N_TEST_HEALTHY, N_TEST_TUMOUR = 20, 4, 6
SPACING_MM = 2.0
SLICES_PER_EPOCH = 1024


@dataclass(frozen=True)
class Demonstration:
    """What the demo leaves.

    Attributes:
        table: of the methods, as markdown, under a line that says on what.
        pictures: a page of cases.
        report: the page to look at.
    """

    table: str
    pictures: Path | None
    report: Path


def demo(
    out: Path | str,
    *,
    seed: int = 0,
    epochs: int | None = None,
    execution: Execution = Execution(),
) -> Demonstration:
    """Cohorts, training, calibration, benchmark, report; resumes where it was broken off.

    The test cohort is drawn from another seed than the training cohort: its anatomies were never
    seen, and no tumour was. Its tumours are bright, as gliomas are on FLAIR.

    Args:
        out: a folder.
        seed: of everything drawn.
        epochs: of the training; None takes some minutes' worth.
        execution: progress, device.

    Raises:
        InputError: not one epoch, or what the parts raise.
    """
    if epochs is not None and epochs < 1:
        raise InputError(f"--epochs {epochs}: expected 1 or more")
    folder = Path(out)
    _claim(folder)
    _write_cohorts(folder, seed, execution)
    selection = Selection(modalities=(MODALITY,))
    settings = {
        "training.epochs": EPOCHS if epochs is None else epochs,
        "training.slices_per_epoch": SLICES_PER_EPOCH,
        "seed": seed,
    }
    run = train(
        folder / TRAINING,
        folder / "run",
        options=TrainOptions(settings=settings, resume=True),
        selection=selection,
        execution=execution,
    )
    training_figure(run.path)
    of_other_noise = {name for name, m in NETWORK_METHODS.items() if m.noise != "simplex"}
    names = [name for name in select_methods(None) if name not in of_other_noise]
    cohort = f"phantoms, {SPACING_MM:g} mm, {CONTRAST} tumours, seed {2 * seed + 1}"
    options = BenchmarkOptions(models=(run.path,), methods=names, seed=seed, cohort=cohort)
    again = replace(execution, overwrite=True)
    scored = benchmark(folder / TEST, folder, options=options, selection=selection, execution=again)
    n = scored.summary.n_cases
    title = f"{n} synthetic brains never seen, {N_TEST_TUMOUR} with a {CONTRAST} tumour:"
    page = write_report(folder, execution=execution).path
    return Demonstration(f"{title}\n\n{format_table(scored.summary)}", scored.pictures, page)


TRAINING, TEST = "healthy", "test"
"""Folders of the two cohorts."""


def _claim(folder: Path) -> None:
    """See at once what the parts would find out one after the other."""
    claim(folder, (*OF_SCORES, *OF_PICTURES, REPORT))
    claim(folder / "run", OF_A_RUN)


def _write_cohorts(folder: Path, seed: int, execution: Execution) -> None:
    """Both, whole: what follows is of no use without one of their cases."""
    plans = {
        TRAINING: CohortPlan([MODALITY], N_TRAINING, 0, 2 * seed),
        TEST: CohortPlan([MODALITY], N_TEST_HEALTHY, N_TEST_TUMOUR, 2 * seed + 1, CONTRAST),
    }
    whole = replace(execution, max_failures=0)
    for name, plan in plans.items():
        write_cohort(folder / name, plan, spacing_mm=SPACING_MM, execution=whole)
