"""The runs of a MONAI bundle: what its configs call around the engines."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.inferers import DiffusionInferer

from pipeline.bundle.components import CaseDataset
from pipeline.cases.extraction.choice import make_extractor
from pipeline.cases.loop import QUIET, Execution
from pipeline.cases.several import Selection
from pipeline.detection.methods.table import OURS
from pipeline.errors import InputError
from pipeline.files.folder.lock import Lock
from pipeline.files.folder.ownership import OF_A_RUN, claim
from pipeline.files.names import CACHE, TENSORBOARD
from pipeline.files.texts import count
from pipeline.run.config import RunConfig
from pipeline.run.presets import preset_config
from pipeline.run.settings import load_config, override
from pipeline.scores.evaluate import Scoring, evaluate_folder
from pipeline.scores.tables import format_table, write_results
from pipeline.study.completion import complete_run
from pipeline.study.train import training_cases
from pipeline.training import distributed
from pipeline.training.data import HealthyCases, TrainingData, prepare
from pipeline.training.engine import Training

logger = logging.getLogger(__name__)


# --- training -------------------------------------------------------------------------------------


def run_config(
    model_config: str | Path,
    *,
    preset: str | None = None,
    modalities: list[str] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The settings of a new run: those of a trained model, or of a preset, some of them changed.

    Args:
        model_config: ``config.yaml`` of the trained model.
        preset: instead of the model's settings; see `pipeline.run.presets.PRESETS`.
        modalities: of the preset; None takes the model's.
        epochs: None leaves them.
        seed: None leaves it.
        settings: dotted key to value, as ``training.batch_size``.

    Raises:
        InputError: see `preset_config` and `override`.
    """
    config = load_config(Path(str(model_config)))
    if preset is not None or modalities is not None:
        config = preset_config(preset or config.preset, tuple(modalities or config.modalities))
    changed = dict(settings or {})
    for key, value in (("training.epochs", epochs), ("seed", seed)):
        if value is not None:
            changed[key] = value
    return override(config, changed)


def healthy_cases(
    dataset_dir: str | Path,
    config: RunConfig,
    *,
    extra_dir: str | Path | None = None,
    healthy: bool = False,
    section: str | None = None,
) -> HealthyCases:
    """Find the healthy cases of a folder, as `anomap train` does.

    Args:
        dataset_dir: see `find_cases`.
        config: gives the modalities.
        extra_dir: healthy cases that are only trained on.
        healthy: all cases are people without a lesion.
        section: the key of a datalist to read; None reads all.

    Raises:
        InputError: see `find_cases`.
    """
    if not distributed.is_first():  # all find the same; one says it
        logging.getLogger("pipeline.study").setLevel(logging.ERROR)
    selection = Selection(
        modalities=config.modalities, healthy=True if healthy else None, section=section
    )
    return training_cases(str(dataset_dir), [str(extra_dir)] if extra_dir else [], selection)


def training_data(
    cases: HealthyCases,
    config: RunConfig,
    run_dir: str | Path,
    *,
    resume: bool = False,
    brain_extraction: str | None = None,
) -> TrainingData:
    """Prepare the slices of healthy cases, as `anomap train` does.

    Args:
        resume: a run with these settings and cases may be there already.
        brain_extraction: a name in `EXTRACTORS`, for heads that are not skull-stripped.

    Raises:
        InputError: see `prepare`; or another training is at work in ``run_dir``, or it holds files
            that are not ours.
    """
    run = Path(str(run_dir))
    if distributed.is_first():
        claim(run, OF_A_RUN)
        if run.resolve() not in _held:
            _held[run.resolve()] = Lock(run, (run / CACHE, run / TENSORBOARD))
    data = prepare(
        cases,
        config,
        run,
        resume=resume,
        extract_brain=make_extractor(brain_extraction),
        execution=_execution(),
    )
    for name, reason in data.failed.items() if distributed.is_first() else ():
        logger.error("%s failed: %s", name, reason)
    return data


_held: dict[Path, Lock] = {}
"""Of run folders: MONAI calls one function after the other, so a run is held until the end."""


def trainer(
    data: TrainingData,
    config: RunConfig,
    run_dir: str | Path,
    device: str | torch.device | None,
    inferer: DiffusionInferer,
    max_epochs: int | None = None,
) -> Training:
    """What trains; `Training.run` leaves ``model.pt`` in ``run_dir``.

    Args:
        max_epochs: where MONAI's tools look for it; None, or as in ``config``.

    Raises:
        InputError: ``max_epochs`` is not that of ``config``, or ``device`` cannot be used.
    """
    if max_epochs not in (None, config.training.epochs):
        raise InputError(
            f"train#trainer#max_epochs is {max_epochs}, training.epochs {config.training.epochs}; "
            "give one of them"
        )
    execution = _execution(device)
    return Training(data, config, Path(str(run_dir)), execution=execution, inferer=inferer)


def complete(
    run_dir: str | Path,
    data: TrainingData,
    device: str | torch.device | None,
    brain_extraction: str | None = None,
) -> None:
    """Atlases and thresholds of a run, made by the first of the processes; see `complete_run`.

    The exit status is 1 where cases of ``data`` failed; the run is as good as without them.
    """
    if distributed.is_first():
        complete_run(
            Path(str(run_dir)),
            extract_brain=make_extractor(brain_extraction),
            execution=_execution(device),
        )
        print(f"run in {run_dir}")
    distributed.wait()
    if data.failed:
        raise SystemExit(1)


def _execution(device: str | torch.device | None = None) -> Execution:
    """On a device, with bars where somebody watches: in a log file each step of one is a line."""
    name = None if device is None else str(device)
    watched = sys.stderr is not None and sys.stderr.isatty()
    return Execution(progress=watched, device=name)


# --- inference and evaluation ---------------------------------------------------------------------


def end(dataset: CaseDataset, output_dir: str | Path) -> None:
    """Say where the results lie; exit status 1 where cases failed."""
    n_done = len(dataset.data) - len(dataset.failed)
    print(f"{count(n_done, 'case')} in {output_dir}")
    if dataset.failed:
        raise SystemExit(1)


def score(dataset: CaseDataset, output_dir: str | Path, seed: int = 0) -> None:
    """Score the maps against the labels beside the scans, as `anomap evaluate` does.

    Leaves ``cases.csv``, ``summary.json``, ``table.csv`` and ``table.md`` in ``output_dir``.

    Raises:
        InputError: no case could be scored.
    """
    out = Path(str(output_dir))
    cases = [item["case"] for item in dataset.data if "case" in item]
    cases = [case for case in cases if case.name not in dataset.failed]
    scores = evaluate_folder(out, cases, method=OURS, scoring=Scoring(seed=seed), execution=QUIET)
    if not scores.cases:
        raise InputError(
            f"no case could be scored; the first: {next(iter(scores.failures.values()))}"
        )
    for name, reason in scores.failures.items():
        logger.error("%s failed: %s", name, reason)
    summary = write_results(out, {OURS: scores}, OURS)
    print(format_table(summary))
    dataset.failed |= scores.failures
