"""The main job on synthetic brains, from nothing to a table and a report, in minutes."""

from __future__ import annotations

from pathlib import Path

import torch

from pipeline.cases.cohort import find_cases, healthy_for_training
from pipeline.cases.loop import Execution
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.methods import METHODS, runnable
from pipeline.figures.panels import benchmark_figures, training_figure
from pipeline.phantom.cohort import write_cohort
from pipeline.report.page import write_report
from pipeline.run.config import override, preset_config
from pipeline.scores.evaluation import format_table
from pipeline.study.benchmark import benchmark, complete_calibration, complete_run
from pipeline.training.engine import train

MODALITY = "flair"
CONTRAST = "bright"  # as gliomas are on FLAIR, nearly always
EPOCHS = 14
N_TRAINING, N_TEST_HEALTHY, N_TEST_TUMOUR = 20, 4, 6
SPACING_MM = 2.0
SLICES_PER_EPOCH = 1024


def demo(
    out_dir: Path,
    *,
    seed: int = 0,
    epochs: int | None = None,
    device: torch.device | None = None,
    progress: bool = True,
) -> tuple[str, Path, Path]:
    """Cohorts, training, calibration, benchmark, report; resumes where it was broken off.

    The test cohort is drawn from another seed than the training cohort: its anatomies were never
    seen, and no tumour was. Its tumours are bright, as gliomas are on FLAIR.

    Returns:
        The table as markdown, the page of pictures, and the report.
    """
    training_dir, test_dir, run_dir = out_dir / "healthy", out_dir / "test", out_dir / "run"
    write_cohort(
        training_dir,
        [MODALITY],
        n_healthy=N_TRAINING,
        n_tumour=0,
        seed=2 * seed,
        spacing_mm=SPACING_MM,
        progress=progress,
    )
    write_cohort(
        test_dir,
        [MODALITY],
        n_healthy=N_TEST_HEALTHY,
        n_tumour=N_TEST_TUMOUR,
        seed=2 * seed + 1,
        spacing_mm=SPACING_MM,
        contrast=CONTRAST,
        progress=progress,
    )
    config = override(
        preset_config("tiny", (MODALITY,)),
        {
            "training.epochs": epochs or EPOCHS,
            "training.slices_per_epoch": SLICES_PER_EPOCH,
            "seed": seed,
        },
    )
    healthy, _ = healthy_for_training(find_cases(training_dir, modalities=[MODALITY]))
    train(healthy, config, run_dir, resume=True, device=device, progress=progress)
    training_figure(run_dir)
    execution = Execution(progress=progress, overwrite=True)
    model = complete_run(run_dir, device=device, execution=execution)
    models = {model.noise: model}
    names, _ = runnable([name for name, m in METHODS.items() if m.by_default], models)
    cases = find_cases(test_dir, modalities=[MODALITY]).cases
    calibration = complete_calibration(
        models,
        names,
        CaseTransforms(config.modalities, config.grid),
        seed=seed,
        execution=execution,
    )
    summary, _ = benchmark(
        cases,
        names,
        models,
        calibration,
        config,
        out_dir,
        cohort_name=f"phantoms, {SPACING_MM:g} mm, {CONTRAST} tumours, seed {2 * seed + 1}",
        seed=seed,
        execution=execution,
    )
    title = f"{len(cases)} synthetic brains never seen, {N_TEST_TUMOUR} with a {CONTRAST} tumour:"
    pictures = benchmark_figures(out_dir, cases)
    page = write_report(out_dir, execution=execution)
    return f"{title}\n\n{format_table(summary)}", pictures, page
