"""The main job on synthetic brains, from nothing to a table and a report, in minutes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.cases.loop import Execution
from pipeline.cases.several import Selection
from pipeline.detection.methods import METHODS
from pipeline.figures.losses import training_figure
from pipeline.phantom.cohort import write_cohort
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
    """
    folder = Path(out)
    _write_cohorts(folder, seed, execution)
    selection = Selection(modalities=(MODALITY,))
    settings = {
        "training.epochs": epochs or EPOCHS,
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
    ready = (None, "simplex")
    names = [name for name, m in METHODS.items() if m.by_default and m.noise in ready]
    cohort = f"phantoms, {SPACING_MM:g} mm, {CONTRAST} tumours, seed {2 * seed + 1}"
    scored = benchmark(
        folder / TEST,
        folder,
        options=BenchmarkOptions(models=(run.path,), methods=names, seed=seed, cohort=cohort),
        selection=selection,
        execution=replace(execution, overwrite=True),
    )
    n_cases = scored.summary.n_cases
    title = f"{n_cases} synthetic brains never seen, {N_TEST_TUMOUR} with a {CONTRAST} tumour:"
    page = write_report(folder, execution=execution)
    return Demonstration(f"{title}\n\n{format_table(scored.summary)}", scored.pictures, page)


TRAINING, TEST = "healthy", "test"
"""Folders of the two cohorts."""


def _write_cohorts(folder: Path, seed: int, execution: Execution) -> None:
    write_cohort(
        folder / TRAINING,
        [MODALITY],
        n_healthy=N_TRAINING,
        n_tumour=0,
        seed=2 * seed,
        spacing_mm=SPACING_MM,
        progress=execution.progress,
    )
    write_cohort(
        folder / TEST,
        [MODALITY],
        n_healthy=N_TEST_HEALTHY,
        n_tumour=N_TEST_TUMOUR,
        seed=2 * seed + 1,
        spacing_mm=SPACING_MM,
        contrast=CONTRAST,
        progress=execution.progress,
    )
