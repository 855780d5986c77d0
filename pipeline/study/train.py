"""``anomap train``: from folders of healthy scans to a run that can detect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.cases.case import Cohort
from pipeline.cases.extraction.choice import make_extractor
from pipeline.cases.loop import Execution
from pipeline.cases.several import Paths, Selection, as_paths, without
from pipeline.errors import InputError, printable
from pipeline.files.folder.lock import locked
from pipeline.files.folder.ownership import OF_A_RUN, claim
from pipeline.files.names import CACHE, CONFIG, TENSORBOARD
from pipeline.run.config import RunConfig
from pipeline.run.finished import is_recorded, record_files
from pipeline.run.model import usable_device
from pipeline.run.presets import preset_config
from pipeline.run.settings import load_config, override
from pipeline.study.completion import complete_run, is_complete
from pipeline.study.selection import find_beside, find_said, healthy_of, with_modality
from pipeline.training import engine
from pipeline.training.data import HealthyCases

WHICH_MODALITY = "say which modality to train on: --modality flair, t1, t1ce, t2 or image"


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
        selection: which cases; its modalities are needed, but of pictures.
        execution: progress, device, allowed failures.

    Raises:
        InputError: no modality, too few cases, or the folder holds another run, is in use by
            another training, holds files that are not ours or has too little room.
    """
    run = Path(run_dir)
    selection = with_modality(data, selection, WHICH_MODALITY)
    config = run_config(options, selection)
    if options.resume and _is_finished(run, config):
        if not is_recorded(run):  # killed in its last step, or of a former version
            with locked(run, within=(run / CACHE, run / TENSORBOARD)):
                record_files(run)
        return TrainedRun(run, was_finished=True)
    claim(run, OF_A_RUN)
    usable_device(execution.device)
    extract_brain = make_extractor(options.brain_extraction)
    meant = replace(selection, modalities=config.modalities)
    healthy = training_cases(data, options.extra, meant)
    with locked(run, within=(run / CACHE, run / TENSORBOARD)):
        failed = engine.train(
            healthy,
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
        raise InputError(WHICH_MODALITY)
    preset = preset_config(options.preset, selection.modalities)
    return override(preset, dict(options.settings))


def _is_finished(run: Path, config: RunConfig) -> bool:
    """Whether all files are there as they were written, for these settings."""
    if not (run / CONFIG).is_file() or not is_complete(run):
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
    incomplete = {name: why for cohort in cohorts for name, why in cohort.incomplete.items()}
    return HealthyCases(cases, only_trained, incomplete)


def _complete(paths: Paths, cohort: Cohort) -> Cohort:
    """A cohort to which every path gave something: a model of half the people is none."""
    for path in (printable(str(path)) for path in as_paths(paths)):
        if path in cohort.incomplete:
            raise InputError(cohort.incomplete[path])
    return cohort
