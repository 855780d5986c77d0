"""``calibration.json``: what held-out healthy brains score, and the thresholds of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, field_validator

from pipeline.errors import InputError
from pipeline.files.names import CALIBRATION
from pipeline.files.record.base import FileRecord, Record, checked_rates


class MadeFor(Record):
    """What a map depends on beside the scan: thresholds hold for such maps alone."""

    weights_sha256: str | None = None
    """SHA-256 of the weights; null where the method has none."""
    atlases_sha256: str | None = None
    """SHA-256 of the atlases; null where the method uses none."""
    modalities: tuple[str, ...] | None = None
    """Channels, in this order; null where no run was at hand."""
    grid: dict[str, int | float] | None = None
    """The working grid: ``size`` (pixels a side), ``spacing_mm`` (of a pixel) and
    ``slice_spacing_mm``; null where no run was at hand."""
    diffusion: dict[str, Any] = Field(default_factory=dict)
    """Schedule and noise of the run; nothing where the method has no network."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of the method, as far as its map depends on them."""

    def differences(self, now: MadeFor) -> list[str]:
        """What differs in another one, as name and both values; of hashes the name alone."""
        then, today = (_flat(one.to_json()) for one in (self, now))
        unknown = [
            name
            for name in ("modalities", "grid")
            if None in (then.get(name, 0), today.get(name, 0))
        ]
        return [
            _difference(name, then.get(name), today.get(name))
            for name in sorted(then | today)
            if then.get(name) != today.get(name) and name.split(".")[0] not in unknown
        ]


def _difference(name: str, then: object, now: object) -> str:
    if name.endswith("_sha256"):
        return f"the {name.removeprefix('settings.').removesuffix('_sha256').replace('_', ' ')}"
    return f"{name.removeprefix('settings.')} ({then}, now {now})"


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted names."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


LEAST_FOR_P = 19
"""Healthy people from which a p-value is given: the lowest that can come out is then 0.05."""


class MethodCalibration(Record):
    """One method on the calibration cases, whose order is that of ``cases``."""

    thresholds: dict[str, float]
    """False-positive rate (as text, ``"0.01"``) to the value of the map, in its units, that this
    share of the healthy brain voxels exceeds; each case has the same weight."""
    left_out_rates: dict[str, tuple[float, ...]]
    """The same rates as measured on each case with the threshold of the others, in 0..1: what the
    stated rate means on a new subject. Nothing where there is one case only."""
    scores: tuple[float, ...] = ()
    """Of each case, as ``score`` of ``result.json``; none in a calibration that was made before
    they were kept."""
    made_for: MadeFor | None = None
    """What the maps depended on; null before version 3, which did not say it."""

    @field_validator("thresholds")
    @classmethod
    def _check_rates(cls, values: dict[str, float]) -> dict[str, float]:
        return checked_rates(values)

    @field_validator("left_out_rates")
    @classmethod
    def _check_left_out(cls, rates: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
        if not all(0 <= value <= 1 for values in rates.values() for value in values):
            raise ValueError("expected rates between 0 and 1")
        return rates

    @field_validator("scores")
    @classmethod
    def _check_scores(cls, scores: tuple[float, ...]) -> tuple[float, ...]:
        if not all(math.isfinite(score) for score in scores):
            raise ValueError("expected finite numbers")
        return scores

    def threshold(self, rate: float) -> float:
        """The threshold at a false-positive rate, log-linear between the tabulated ones.

        Raises:
            InputError: the rate lies outside the table.
        """
        rates = sorted(float(r) for r in self.thresholds)
        if not rates or not rates[0] <= rate <= rates[-1]:
            known = f"between {rates[0]:g} and {rates[-1]:g}" if rates else "of no value"
            raise InputError(f"a false-positive rate {known} is calibrated; got {rate:g}")
        values = [self.thresholds[f"{r:g}"] for r in rates]
        return float(np.interp(np.log(rate), np.log(rates), values))

    def p_value(self, score: float) -> float | None:
        """How often a healthy case scores as high as this one, by those that calibrate.

        (1 + number of them that do) / (1 + number of them), never below 1 / (1 + number), whatever
        the score (Vovk et al., "Algorithmic Learning in a Random World", 2005: conformal p-value).
        Uniform or larger for a new healthy case that is like them, if the recipe was not chosen on
        them. None from fewer than `LEAST_FOR_P` people, with whom none could be as low as 0.05.
        """
        if len(self.scores) < LEAST_FOR_P or not np.isfinite(score):
            return None
        return (1 + sum(healthy >= score for healthy in self.scores)) / (1 + len(self.scores))


class Looks(Record):
    """How a case looks, as far as a tumour hardly changes it; see `pipeline.detection.likeness`."""

    blocks: tuple[float | None, ...]
    """Median deviation from the atlas of the run in each block of the brain, in healthy standard
    deviations, from inferior, posterior and left upwards; null where there is hardly any brain."""
    noise: float
    """Logarithm of its noise, in units of the intensity range [-1, 1]."""

    @field_validator("blocks", "noise")
    @classmethod
    def _check_finite(cls, value: Any) -> Any:
        numbers = [n for n in (value if isinstance(value, tuple) else (value,)) if n is not None]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("expected finite numbers")
        return value


class Calibration(FileRecord):
    """Thresholds of every method, from the same healthy cases."""

    FILE: ClassVar[str] = CALIBRATION
    WHAT: ClassVar[str] = "a calibration"

    schema_version: int = 4
    """Of the layout of the file; 1 where a file does not say it."""
    methods: dict[str, MethodCalibration]
    """Name of the method to its thresholds."""
    cases: tuple[str, ...]
    """Names of the healthy cases; in a bundle numbers stand for them."""
    looks: tuple[Looks, ...] = ()
    """How they look, in the same order; none before version 4, and of a run without an atlas."""

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The calibration of a run.

        Raises:
            InputError: it is missing or not a calibration.
        """
        path = folder / cls.FILE
        if not path.is_file():
            raise InputError(
                f"{path}: not there; the run is not calibrated, finish it with --resume"
            )
        return cls.read(path)
