"""``calibration.json``: what held-out healthy brains score, and the thresholds of it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import field_validator

from pipeline.errors import InputError
from pipeline.files.names import CALIBRATION
from pipeline.files.record.base import FileRecord, Record, checked_rates


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

    @field_validator("thresholds")
    @classmethod
    def _check_rates(cls, values: dict[str, float]) -> dict[str, float]:
        return checked_rates(values)

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
        them. None where no scores are known.
        """
        if not self.scores or not np.isfinite(score):
            return None
        return (1 + sum(healthy >= score for healthy in self.scores)) / (1 + len(self.scores))


class Calibration(FileRecord):
    """Thresholds of every method, from the same healthy cases."""

    FILE: ClassVar[str] = CALIBRATION
    WHAT: ClassVar[str] = "a calibration"

    schema_version: int = 2
    """Of the layout of the file; 1 where a file does not say it."""
    methods: dict[str, MethodCalibration]
    """Name of the method to its thresholds."""
    cases: tuple[str, ...]
    """Names of the healthy cases; in a bundle numbers stand for them."""

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
