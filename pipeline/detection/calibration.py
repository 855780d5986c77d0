"""What held-out healthy brains score, and the thresholds that follow from it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from pipeline.cases.case import Case
from pipeline.cases.loop import Apart, Execution, Outcomes, each_case
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.case_work import CaseWork, measured_map
from pipeline.detection.likeness import looks_of
from pipeline.detection.methods.kinds import ReadyMethod
from pipeline.detection.methods.table import METHODS
from pipeline.errors import InputError
from pipeline.files.names import CALIBRATION
from pipeline.files.record.calibration import Calibration, Looks, MadeFor, MethodCalibration
from pipeline.noise.noises import derive_seed
from pipeline.run.model import Model, diffusion_settings
from pipeline.run.words import FALSE_POSITIVE_RATES
from pipeline.scores.case_metrics import top_mean
from pipeline.scores.intervals import mean_ci
from pipeline.scores.quantiles import PooledSamples

logger = logging.getLogger(__name__)

VOXELS_PER_CASE, VOXELS_IN_ALL = 100_000, 20_000_000
"""So many values of a map are kept of a case, and of all: of more than 200 cases fewer of each. The
values of a method take 80 MB at most."""
OF_THE_MASK = ("min_component_ml", "half_height", "false_positive_rate")
"""Settings of a recipe that its map does not depend on."""


def threshold_rule(calibration: Calibration, method: str, rate: float) -> str:
    """How a threshold was found, for people; with what it gave on cases left out."""
    text = (
        f"{100 * rate:.3g} % of the healthy brain voxels of {len(calibration.cases)} held-out "
        "cases exceed it"
    )
    left_out = calibration.methods[method].left_out_rates.get(f"{rate:g}")
    if left_out:
        low, high = 100 * min(left_out), 100 * max(left_out)
        text += f" ({low:.2g} % to {high:.2g} % of a case that is left out"
        if len(left_out) > 2:
            mean, *ends = (100 * value for value in mean_ci(np.array(left_out), 0, 1))
            text += f"; mean {mean:.2g} %, 95 % interval {ends[0]:.2g} to {ends[1]:.2g} %"
        text += ")"
    return text


def made_for(ready: ReadyMethod, models: Mapping[str, Model]) -> MadeFor:
    """What the maps of a method depend on beside the scan.

    Args:
        models: runs by the noise that they restore from; the method is ready with one of them.
    """
    first = next((model.config for model in models.values()), None)
    own = [m.config for m in models.values() if m.weights_sha256 == ready.weights_sha256]
    return MadeFor(
        weights_sha256=ready.weights_sha256,
        atlases_sha256=ready.atlases_sha256,
        modalities=None if first is None else first.modalities,
        grid=None if first is None else asdict(first.grid),
        diffusion=diffusion_settings(own[0]) if own else {},
        settings={k: v for k, v in ready.settings.items() if k not in OF_THE_MASK},
    )


def calibration_for(
    name: str, ready: ReadyMethod, calibration: Calibration, models: Mapping[str, Model]
) -> MethodCalibration | None:
    """What healthy cases gave for a method; None where it is not calibrated.

    Raises:
        InputError: it was measured with other weights, or another recipe.
    """
    if (table := calibration.methods.get(name)) is None:
        return None
    path = next((str(model.path / CALIBRATION) for model in models.values()), "the calibration")
    if table.made_for is None:
        _note_unbound(path)
    elif changed := table.made_for.differences(made_for(ready, models)):
        raise InputError(
            f"{path}: its thresholds of {name} were made for other settings or files: "
            f"{', '.join(changed)}; finish the run with `anomap train ... --resume`, or undo the "
            "change"
        )
    return table


@functools.cache
def _note_unbound(path: str) -> None:
    logger.warning(
        "note: %s: does not say for which weights and recipe it was made (of a former version); "
        "used as it is",
        path,
    )


@dataclass(frozen=True)
class Sampling:
    """Which voxels of healthy cases are kept.

    Attributes:
        seed: of the draw, and of the noise of the methods.
        n_cases: that are measured in all, each the fewer voxels the more; 0 where those are given.
    """

    seed: int = 0
    n_cases: int = 0


def calibrate(
    cases: Sequence[Case],
    method_names: Sequence[str],
    models: Mapping[str, Model],
    transforms: CaseTransforms,
    *,
    seed: int = 0,
    execution: Execution = Execution(),
) -> tuple[Calibration, dict[str, str]]:
    """Run methods on healthy cases and tabulate their thresholds.

    Voxels are those of the source grid, inside the brain and outside the exclude mask.

    Args:
        models: runs by the noise that they restore from.

    Returns:
        The calibration, and case name -> reason for those that failed.

    Raises:
        InputError: no case could be used, or no run has what a method needs.
        TooManyFailuresError: more cases failed than are allowed.
    """
    outcomes = measure_healthy(
        cases, method_names, models, transforms, sampling=Sampling(seed), execution=execution
    )
    if not outcomes.done:
        first = next(iter(outcomes.failed.values()), "none")
        raise InputError(f"no healthy case to calibrate on: {first}")
    return calibration_from(outcomes.done, method_names, models), outcomes.failed


def measure_healthy(
    cases: Sequence[Case],
    method_names: Sequence[str],
    models: Mapping[str, Model],
    transforms: CaseTransforms,
    *,
    sampling: Sampling = Sampling(),
    execution: Execution = Execution(),
) -> Outcomes[dict[str, Measured]]:
    """Run methods on healthy cases, and keep values of their maps.

    Raises:
        InputError: no run has what a method needs.
        TooManyFailuresError: more cases failed than are allowed.
    """
    methods = {name: METHODS[name].ready(models) for name in method_names}
    n_voxels = max(1, min(VOXELS_PER_CASE, VOXELS_IN_ALL // max(1, sampling.n_cases or len(cases))))

    def measure(case: Case) -> dict[str, Measured]:
        work = CaseWork(transforms(case))
        prepared = work.prepared
        if not prepared.source_healthy.any():
            raise InputError(f"case {case.name}: its exclude mask covers the whole brain")
        voxels = _sample(
            prepared.source_healthy,
            n_voxels,
            derive_seed(sampling.seed, "calibration", prepared.content),
        )
        looks = next((looks_of(work, model) for model in models.values()), None)
        measured = {}
        for name, method in methods.items():
            anomaly_map = measured_map(prepared, method.compute(work, sampling.seed).anomaly_map)
            # The score is over the voxels that a new case is scored over, lesion mask or not.
            score = float(top_mean(anomaly_map[prepared.source_brain]))
            measured[name] = Measured(np.sort(anomaly_map.reshape(-1)[voxels]), score, looks)
        return measured

    by_name = {case.name: case for case in cases}
    return each_case(by_name, Apart(measure), description="calibrating", execution=execution)


def calibration_from(
    measured: Mapping[str, Mapping[str, Measured]],
    method_names: Sequence[str],
    models: Mapping[str, Model],
) -> Calibration:
    """Thresholds from what `measure_healthy` kept of each case."""
    tables = {
        name: tabulate(
            [one[name].values for one in measured.values()],
            [one[name].score for one in measured.values()],
        ).model_copy(update={"made_for": made_for(METHODS[name].ready(models), models)})
        for name in method_names
    }
    looks = [next((m.looks for m in one.values()), None) for one in measured.values()]
    seen = tuple(one for one in looks if one is not None)
    return Calibration(
        methods=tables, cases=tuple(measured), looks=seen if len(seen) == len(measured) else ()
    )


class Measured(NamedTuple):
    """One method on a healthy case.

    Attributes:
        values: of sampled voxels, sorted.
        score: of the case.
        looks: of the case, the same for all methods.
    """

    values: np.ndarray
    score: float
    looks: Looks | None = None


def _sample(healthy: np.ndarray, n_most: int, seed: int) -> np.ndarray:
    """Flat indices of at most so many healthy voxels."""
    indices = np.flatnonzero(healthy)
    if len(indices) > n_most:
        indices = np.random.default_rng(seed).choice(indices, n_most, replace=False)
    return indices


def tabulate(samples: Sequence[np.ndarray], scores: Sequence[float]) -> MethodCalibration:
    """Thresholds from the values of each healthy case, ``(n,)`` each, and their left-out rates."""
    pooled = PooledSamples(samples)
    thresholds = {f"{rate:g}": pooled.quantile(1 - rate) for rate in FALSE_POSITIVE_RATES}
    left_out: dict[str, tuple[float, ...]] = {}
    for rate in FALSE_POSITIVE_RATES if len(samples) > 1 else ():
        cuts = pooled.quantiles_without(1 - rate)
        rates = [float((own > cut).mean()) for own, cut in zip(samples, cuts, strict=True)]
        left_out[f"{rate:g}"] = tuple(rates)
    return MethodCalibration(thresholds=thresholds, left_out_rates=left_out, scores=tuple(scores))
