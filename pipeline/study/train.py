"""``anomap train``: from folders of healthy scans to a run that can detect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.cases.brain_extraction import make_extractor
from pipeline.cases.case import Cohort
from pipeline.cases.loop import Execution
from pipeline.cases.several import Paths, Selection, as_paths, without
from pipeline.errors import InputError, LaterVersionError
from pipeline.files.names import ATLASES, CALIBRATION, CONFIG, WEIGHTS
from pipeline.files.record.calibration import Calibration
from pipeline.run.config import RunConfig
from pipeline.run.model import usable_device
from pipeline.run.presets import preset_config
from pipeline.run.settings import load_config, override
from pipeline.study.completion import complete_run
from pipeline.study.selection import find_beside, find_said, healthy_of
from pipeline.training import engine
from pipeline.training.data import HealthyCases

FINISHED = (WEIGHTS, ATLASES, CALIBRATION)
"""Files of a run that needs no more training."""


@dataclass(frozen=True)
class TrainOptions:
    """How a run is trained.

    Attributes:
        preset: a name in `pipeline.run.presets.PRESETS`.
        settings: dotted key to value, over the preset's: ``training.epochs``, ``seed`` ...
        extra: healthy cases that are only trained on: no atlas, no threshold of them.
        brain_extraction: a name in `EXTRACTORS`, for heads that are not skull-stripped.
        resume: go on with a broken-off training, or leave a finished one as it is.
    """

    preset: str = "tiny"
    settings: Mapping[str, Any] = field(default_factory=dict)
    extra: tuple[Path, ...] = ()
    brain_extraction: str | None = None
    resume: bool = False


@dataclass(frozen=True)
class TrainedRun:
    """A run that can detect.

    Attributes:
        path: its folder.
        failed: case -> reason of those that could not be used.
        was_finished: nothing had to be done.
    """

    path: Path
    failed: dict[str, str] = field(default_factory=dict)
    was_finished: bool = False


def train(
    data: Paths,
    run_dir: Path | str,
    *,
    options: TrainOptions = TrainOptions(),
    selection: Selection = Selection(),
    execution: Execution = Execution(),
) -> TrainedRun:
    """Train on healthy cases, then make atlases and thresholds of held-out healthy ones.

    Args:
        data: folders or datalists; a case with a lesion label never enters.
        run_dir: gets ``config.yaml``, ``model.pt``, ``atlases.npz``, ``calibration.json``,
            ``datalist.json``, ``run.json``, ``loss.csv``, ``tensorboard/``.
        options: preset, settings, further cases.
        selection: which cases; its modalities are needed.
        execution: progress, device, allowed failures.

    Raises:
        InputError: no modality, too few cases, or the folder holds another run.
    """
    run = Path(run_dir)
    config = run_config(options, selection)
    if options.resume and _is_finished(run, config):
        return TrainedRun(run, was_finished=True)
    usable_device(execution.device)
    extract_brain = make_extractor(options.brain_extraction)
    meant = replace(selection, modalities=config.modalities)
    failed = engine.train(
        training_cases(data, options.extra, meant),
        config,
        run,
        resume=options.resume,
        extract_brain=extract_brain,
        execution=execution,
    )
    completed = complete_run(run, extract_brain=extract_brain, execution=execution)
    return TrainedRun(run, failed | completed.failed)


def run_config(options: TrainOptions, selection: Selection) -> RunConfig:
    """Every setting of the run that is asked for.

    Raises:
        InputError: no modality is named, an unknown preset or setting, a bad value.
    """
    if not selection.modalities:
        raise InputError("say which modality to train on: --modality flair, t1, t1ce or t2")
    preset = preset_config(options.preset, selection.modalities)
    return override(preset, dict(options.settings))


def _is_finished(run: Path, config: RunConfig) -> bool:
    if not all((run / name).is_file() for name in FINISHED):
        return False
    try:
        Calibration.of(run)
    except LaterVersionError:
        raise
    except InputError:  # torn: it is made anew
        return False
    return load_config(run / CONFIG) == config


def training_cases(data: Paths, extra: Sequence[Path | str], selection: Selection) -> HealthyCases:
    """The healthy cases to learn and measure from, and those that are only trained on.

    Raises:
        InputError: a path holds nothing, no case is left, two have one name, or a name to leave out
            is in neither.
    """
    cohorts = [_complete(data, find_said(data, replace(selection, leave_out=())))]
    if extra:
        cohorts.append(_complete(extra, find_beside(extra, selection)))
    cases, *further = (healthy_of(one) for one in without(cohorts, selection.leave_out))
    only_trained = [case for some in further for case in some]
    if repeated := sorted({c.name for c in cases} & {c.name for c in only_trained}):
        raise InputError(f"--extra: a case named {repeated[0]!r} was already found elsewhere")
    return HealthyCases(cases, only_trained)


def _complete(paths: Paths, cohort: Cohort) -> Cohort:
    """A cohort to which every path gave something: a model of half the people is none."""
    for path in map(str, as_paths(paths)):
        if path in cohort.incomplete:
            raise InputError(cohort.incomplete[path])
    return cohort
