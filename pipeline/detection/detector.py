"""A method with its run, its threshold and its seed: all that it takes to detect in a case."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from pipeline import __version__
from pipeline.cases.case import Case, ImageFile
from pipeline.cases.loading import BrainExtractor
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.detection.calibration import calibration_for, threshold_rule
from pipeline.detection.case_work import CaseWork
from pipeline.detection.likeness import LEAST_PEOPLE, looks_of, unlike
from pipeline.detection.methods.kinds import NetworkMethod, ReadyMethod
from pipeline.detection.methods.table import METHODS, NETWORK_METHODS
from pipeline.detection.recipe import MapResult, RestoredMap
from pipeline.errors import InputError
from pipeline.files.identity import file_state
from pipeline.files.images.pairs import files_of
from pipeline.files.record.calibration import Calibration, Looks, MethodCalibration
from pipeline.files.record.result import InputFile, Provenance, Threshold
from pipeline.run.model import Model


@dataclass(frozen=True, kw_only=True)
class Detector:
    """One method, ready to run on cases.

    Attributes:
        name: in `METHODS`.
        ready: the method with what it needs.
        threshold: where its maps are cut.
        seed: of the noise.
        check: raises InputError for a case that the weights were not made for.
        calibrated: what healthy cases gave; None where the method is not calibrated.
        likeness: says in what a case looks unlike those healthy ones; None where nobody can.
    """

    name: str
    ready: ReadyMethod
    threshold: Threshold
    seed: int
    check: Callable[[Prepared], None] | None = None
    calibrated: MethodCalibration | None = None
    likeness: Callable[[CaseWork], str | None] | None = None

    def unlike(self, work: CaseWork) -> str | None:
        """In what a case looks unlike the healthy ones that the threshold comes from, or None."""
        return self.likeness(work) if self.likeness is not None else None

    def compute(self, work: CaseWork) -> MapResult:
        """The map of a case on the working grid."""
        return self.ready.compute(work, self.seed)

    def provenance(self, inputs: Sequence[InputFile], transforms: CaseTransforms) -> Provenance:
        """All that the result of a case with these files depends on; see `input_files`."""
        return Provenance(
            anomap=__version__,
            method=self.name,
            settings=_as_json_gives_them(self.ready.settings),
            seed=self.seed,
            inputs=tuple(inputs),
            modalities=transforms.load.modalities,
            grid=asdict(transforms.grid),
            brain_extraction=_is_asked_for(transforms.load.extract_brain),
            threshold=self.threshold,
            min_component_ml=self.ready.min_component_ml,
            half_height=self.ready.half_height,
            weights_sha256=self.ready.weights_sha256,
            atlases_sha256=self.ready.atlases_sha256,
        )


@dataclass(frozen=True, kw_only=True)
class NetworkDetector(Detector):
    """One that restores with a network.

    Attributes:
        method: its recipe and noise.
        model: the run.
    """

    method: NetworkMethod
    model: Model

    def compute_with(self, network: nn.Module, device: torch.device, work: CaseWork) -> RestoredMap:
        """The map of a case on the working grid, with another network in place of the run's."""
        model = replace(self.model, network=network, device=device)
        return self.method.compute(work, model, self.seed)


def _is_asked_for(extractor: BrainExtractor | None) -> bool:
    """Whether heads have an extractor by name; the automatic one changes no result there was."""
    return extractor is not None and not extractor.is_automatic


def _as_json_gives_them(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with lists for tuples."""
    return dict(json.loads(json.dumps(dict(settings))))


def input_files(case: Case, known: Sequence[InputFile] = ()) -> tuple[InputFile, ...]:
    """The files of a case with what is in them.

    Args:
        known: as recorded earlier; a file that has not been touched since is not read again.

    Raises:
        InputError: a file cannot be read.
    """
    recorded = {file.path: file for file in known}
    files = []
    for role, image in case.roles.items():
        header, *voxels = files_of(image.path)
        files.append(_input_file(role, ImageFile(header, image.channel), recorded))
        files += [_input_file(f"{role} voxels", ImageFile(path), recorded) for path in voxels]
    return tuple(files)


def _input_file(role: str, file: ImageFile, recorded: Mapping[str, InputFile]) -> InputFile:
    path = file.path.resolve()
    known = recorded.get(str(path))
    described: dict[str, Any] = {"path": str(path), "channel": file.channel, "role": role}
    if not path.is_file():  # reading it will say so
        return InputFile(**described)
    try:
        state = file_state(path)
        if known is not None and known.sha256 is not None and known.was(state):
            return known.model_copy(update=described)
        return InputFile.of(path, **described)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def make_detector(
    name: str,
    models: Mapping[str, Model],
    calibration: Calibration,
    *,
    false_positive_rate: float | None = None,
    seed: int = 0,
) -> Detector:
    """A method with its threshold from the calibration.

    Args:
        name: in `METHODS`.
        models: runs by the noise that they restore from.
        false_positive_rate: None takes the model's, or 1 % where there is no model.

    Raises:
        InputError: the rate is not calibrated, the calibration is that of another recipe, or no run
            has what the method needs.
    """
    ready = METHODS[name].ready(models)
    calibrated = calibration_for(name, ready, calibration, models)
    return Detector(
        name=name,
        ready=ready,
        threshold=_threshold(name, ready, calibration, false_positive_rate),
        seed=seed,
        calibrated=calibrated,
        likeness=_likeness(calibration, models),
    )


def make_network_detector(
    name: str,
    model: Model,
    calibration: Calibration,
    *,
    false_positive_rate: float | None = None,
    seed: int = 0,
) -> NetworkDetector:
    """As `make_detector`, of a method with a network, here that of one run.

    Args:
        name: in `NETWORK_METHODS`.
        false_positive_rate: None takes the model's.

    Raises:
        InputError: the rate is not calibrated, the calibration is that of another recipe, or the
            run lacks an atlas that the method needs, or was trained with another noise.
    """
    method = NETWORK_METHODS[name]
    if method.noise != model.noise:
        raise InputError(
            f"{model.path}: trained with {model.noise} noise; {name} needs a {method.noise} run"
        )
    models = {model.noise: model}
    ready = method.ready(models)
    calibrated = calibration_for(name, ready, calibration, models)
    return NetworkDetector(
        name=name,
        ready=ready,
        threshold=_threshold(name, ready, calibration, false_positive_rate),
        seed=seed,
        calibrated=calibrated,
        likeness=_likeness(calibration, models),
        method=method,
        model=model,
    )


def _likeness(
    calibration: Calibration, models: Mapping[str, Model]
) -> Callable[[CaseWork], str | None] | None:
    model = next(iter(models.values()), None)
    if model is None or len(calibration.looks) < LEAST_PEOPLE:
        return None
    return functools.partial(_unlike, model=model, people=calibration.looks)


def _unlike(work: CaseWork, model: Model, people: Sequence[Looks]) -> str | None:
    return unlike(looks_of(work, model), people)


def _threshold(
    name: str, ready: ReadyMethod, calibration: Calibration, rate: float | None
) -> Threshold:
    if name not in calibration.methods:
        return Threshold(rule="not calibrated")
    chosen = ready.false_positive_rate if rate is None else rate
    value = calibration.methods[name].threshold(chosen)
    return Threshold(value=value, rule=threshold_rule(calibration, name, chosen))
