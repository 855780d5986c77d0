"""What held-out healthy brains score, and the thresholds that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline.cases.cohort import Case
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.methods import METHODS, model_for
from pipeline.errors import InputError
from pipeline.files.nifti import write_text
from pipeline.noise.noises import derive_seed
from pipeline.run.config import FALSE_POSITIVE_RATES
from pipeline.run.model import Model
from pipeline.scores.metrics import bootstrap_ci, top_mean

VOXELS_PER_CASE = 100_000


@dataclass(frozen=True)
class MethodCalibration:
    """One method on the calibration cases.

    Attributes:
        thresholds: false-positive rate (as text) to the value of the map that this share of the
            healthy brain voxels exceeds, each case with equal weight.
        left_out_rates: the same rates as measured on each case with the threshold of the others:
            what the stated rate means on a new subject.
        scores: of each case, `pipeline.scores.metrics.top_mean` of its brain, as of a new case;
            none in a calibration that was made before they were kept.
    """

    thresholds: dict[str, float]
    left_out_rates: dict[str, list[float]]
    scores: list[float] = field(default_factory=list)

    def threshold(self, rate: float) -> float:
        """The threshold at a false-positive rate, log-linear between the tabulated ones.

        Raises:
            InputError: the rate lies outside the table.
        """
        rates = sorted(float(r) for r in self.thresholds)
        if not rates[0] <= rate <= rates[-1]:
            raise InputError(
                f"a false-positive rate between {rates[0]:g} and {rates[-1]:g} is calibrated; "
                f"got {rate:g}"
            )
        values = [self.thresholds[f"{r:g}"] for r in rates]
        return float(np.interp(np.log(rate), np.log(rates), values))

    def p_value(self, score: float) -> float | None:
        """How often a healthy case scores as high as this one, by those that calibrate.

        (1 + number of them that do) / (1 + number of them), never below 1 / (1 + number), whatever
        the score (Vovk et al., "Algorithmic Learning in a Random World", 2005: conformal p-value).
        Uniform or larger for a new healthy case that is like them, if the recipe was not chosen on
        them. None where no scores are known.
        """
        if not self.scores or not np.isfinite(score):
            return None
        return (1 + sum(healthy >= score for healthy in self.scores)) / (1 + len(self.scores))


@dataclass(frozen=True)
class Calibration:
    """Thresholds of every method, from the same healthy cases.

    Attributes:
        methods: by name.
        cases: names of the healthy cases.
    """

    methods: dict[str, MethodCalibration]
    cases: tuple[str, ...]

    def rule(self, method: str, rate: float) -> str:
        """How a threshold was found, for people; with what it gave on cases left out."""
        text = (
            f"{100 * rate:.3g} % of the healthy brain voxels of {len(self.cases)} held-out cases "
            "exceed it"
        )
        left_out = self.methods[method].left_out_rates.get(f"{rate:g}")
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
    progress: bool = True,
) -> tuple[Calibration, dict[str, str]]:
    """Run methods on healthy cases and tabulate their thresholds.

    Voxels are those of the source grid, inside the brain and outside the exclude mask.

    Returns:
        The calibration, and case name -> reason for those that could not be read.

    Raises:
        InputError: no case could be read.
    """
    values: dict[str, list[np.ndarray]] = {name: [] for name in method_names}
    scores: dict[str, list[float]] = {name: [] for name in method_names}
    used: list[str] = []
    failed: dict[str, str] = {}
    total = len(cases) * len(method_names)
    with tqdm(total=total, desc="calibrating", unit="map", disable=not progress) as bar:
        for case in cases:
            try:
                prepared = transforms(case)
            except InputError as error:
                failed[case.name] = str(error)
                bar.update(len(method_names))
                continue
            if not prepared.source_healthy.any():
                failed[case.name] = f"case {case.name}: its exclude mask covers the whole brain"
                bar.update(len(method_names))
                continue
            voxels = _sample(prepared.source_healthy, derive_seed(seed, "calibration", case.name))
            for name in method_names:
                result = METHODS[name].compute(prepared, model_for(name, models), seed)
                anomaly_map = prepared.to_source(result.anomaly_map)
                values[name].append(np.sort(anomaly_map.reshape(-1)[voxels]))
                # Over the voxels that a new case is scored over, lesion mask or not.
                scores[name].append(top_mean(anomaly_map[prepared.source_brain]))
                bar.update()
            used.append(case.name)
    if not used:
        raise InputError(f"no healthy case to calibrate on: {next(iter(failed.values()), 'none')}")
    tables = {name: tabulate(samples, scores[name]) for name, samples in values.items()}
    return Calibration(tables, tuple(used)), failed


def _sample(healthy: np.ndarray, seed: int) -> np.ndarray:
    """Flat indices of at most `VOXELS_PER_CASE` healthy voxels."""
    indices = np.flatnonzero(healthy)
    if len(indices) > VOXELS_PER_CASE:
        indices = np.random.default_rng(seed).choice(indices, VOXELS_PER_CASE, replace=False)
    return indices


def tabulate(samples: Sequence[np.ndarray], scores: list[float]) -> MethodCalibration:
    """Thresholds from the values of each healthy case (any length), and their left-out rates."""
    thresholds = {f"{r:g}": _pooled_quantile(samples, 1 - r) for r in FALSE_POSITIVE_RATES}
    left_out: dict[str, list[float]] = {}
    for rate in FALSE_POSITIVE_RATES if len(samples) > 1 else ():
        rates = []
        for i, sample in enumerate(samples):
            others = [*samples[:i], *samples[i + 1 :]]
            rates.append(float((sample > _pooled_quantile(others, 1 - rate)).mean()))
        left_out[f"{rate:g}"] = rates
    return MethodCalibration(thresholds, left_out, scores)


def _pooled_quantile(samples: Sequence[np.ndarray], q: float) -> float:
    """Quantile of all samples together, each sample with the same total weight."""
    values = np.concatenate(samples)
    weights = np.concatenate([np.full(len(s), 1.0 / max(len(s), 1)) for s in samples])
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    position = np.searchsorted(cumulative, q * cumulative[-1])
    return float(values[order][min(position, len(values) - 1)])


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Write ``calibration.json``."""
    write_text(path, json.dumps(asdict(calibration), indent=1) + "\n")


def load_calibration(path: Path) -> Calibration:
    """Read ``calibration.json``.

    Raises:
        InputError: it is missing or not a calibration.
    """
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        methods = {name: MethodCalibration(**entry) for name, entry in tree["methods"].items()}
        return Calibration(methods, tuple(tree["cases"]))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: not there; the run is not calibrated, finish it with --resume"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a calibration ({error!r})") from error
