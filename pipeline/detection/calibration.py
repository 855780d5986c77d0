"""What held-out healthy brains score, and the thresholds that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.cases.case import Case
from pipeline.cases.loop import Execution, each_case
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.case_work import CaseWork
from pipeline.detection.methods import METHODS
from pipeline.errors import InputError
from pipeline.files.record.calibration import Calibration, MethodCalibration
from pipeline.noise.noises import derive_seed
from pipeline.run.config import FALSE_POSITIVE_RATES
from pipeline.run.model import Model
from pipeline.scores.bootstrap import bootstrap_ci
from pipeline.scores.case_metrics import top_mean

VOXELS_PER_CASE = 100_000


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
            mean, *ends = (100 * value for value in bootstrap_ci(np.array(left_out)))
            text += f"; mean {mean:.2g} %, 95 % interval {ends[0]:.2g} to {ends[1]:.2g} %"
        text += ")"
    return text


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
    methods = {name: METHODS[name].ready(models) for name in method_names}

    def measure(case: Case) -> dict[str, _Measured]:
        work = CaseWork(transforms(case))
        prepared = work.prepared
        if not prepared.source_healthy.any():
            raise InputError(f"case {case.name}: its exclude mask covers the whole brain")
        voxels = _sample(prepared.source_healthy, derive_seed(seed, "calibration", case.name))
        measured = {}
        for name, method in methods.items():
            anomaly_map = prepared.to_source(method.compute(work, seed).anomaly_map)
            # The score is over the voxels that a new case is scored over, lesion mask or not.
            score = float(top_mean(anomaly_map[prepared.source_brain]))
            measured[name] = _Measured(np.sort(anomaly_map.reshape(-1)[voxels]), score)
        return measured

    by_name = {case.name: case for case in cases}
    outcomes = each_case(by_name, measure, description="calibrating", execution=execution)
    if not outcomes.done:
        first = next(iter(outcomes.failed.values()), "none")
        raise InputError(f"no healthy case to calibrate on: {first}")
    tables = {
        name: tabulate(
            [measured[name].values for measured in outcomes.done.values()],
            [measured[name].score for measured in outcomes.done.values()],
        )
        for name in method_names
    }
    return Calibration(methods=tables, cases=tuple(outcomes.done)), outcomes.failed


class _Measured(NamedTuple):
    """One method on a healthy case: sorted values of sampled voxels, and the case's score."""

    values: np.ndarray
    score: float


def _sample(healthy: np.ndarray, seed: int) -> np.ndarray:
    """Flat indices of at most `VOXELS_PER_CASE` healthy voxels."""
    indices = np.flatnonzero(healthy)
    if len(indices) > VOXELS_PER_CASE:
        indices = np.random.default_rng(seed).choice(indices, VOXELS_PER_CASE, replace=False)
    return indices


def tabulate(samples: Sequence[np.ndarray], scores: Sequence[float]) -> MethodCalibration:
    """Thresholds from the values of each healthy case, ``(n,)`` each, and their left-out rates."""
    thresholds = {f"{r:g}": _pooled_quantile(samples, 1 - r) for r in FALSE_POSITIVE_RATES}
    left_out: dict[str, tuple[float, ...]] = {}
    for rate in FALSE_POSITIVE_RATES if len(samples) > 1 else ():
        rates = []
        for i, sample in enumerate(samples):
            others = [*samples[:i], *samples[i + 1 :]]
            rates.append(float((sample > _pooled_quantile(others, 1 - rate)).mean()))
        left_out[f"{rate:g}"] = tuple(rates)
    return MethodCalibration(thresholds=thresholds, left_out_rates=left_out, scores=tuple(scores))


def _pooled_quantile(samples: Sequence[np.ndarray], q: float) -> float:
    """Quantile of all samples together, each sample with the same total weight."""
    values = np.concatenate(samples)
    weights = np.concatenate([np.full(len(s), 1.0 / max(len(s), 1)) for s in samples])
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    position = np.searchsorted(cumulative, q * cumulative[-1])
    return float(values[order][min(position, len(values) - 1)])
