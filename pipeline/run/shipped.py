"""What the weights are that come with anomap: of whom, how large, and what they cannot find."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InputError
from pipeline.files.limits import MAX_CONFIG_BYTES
from pipeline.files.names import (
    BUNDLE_CARD,
    BUNDLE_METADATA,
    CALIBRATION,
    CONFIG,
    WEIGHTS,
)
from pipeline.files.record.calibration import LEAST_FOR_P, Calibration
from pipeline.files.strict_json import read_text
from pipeline.files.texts import quoted
from pipeline.run.locate import MODELS, bundle_dir
from pipeline.run.strict_yaml import parse_yaml
from pipeline.run.words import NAMED

_PEOPLE = re.compile(r"healthy brains: (\d+) trained on, (\d+) for validation")


@dataclass(frozen=True)
class ShippedWeights:
    """Weights that come with anomap.

    Attributes:
        name: for ``--model``.
        modalities: what they take.
        megabytes: of the weights and the atlases.
        learned_from: number of healthy people of the atlases; None where the card does not say it.
        calibrated_on: number of healthy people of the thresholds.
        data: their source and licence.
        spacing_mm, slice_spacing_mm: of the working grid.
        median_mm: edge of the map's filter.
        smallest_ml: parts of a mask below it are dropped.
    """

    name: str
    modalities: tuple[str, ...]
    megabytes: float
    learned_from: int | None
    calibrated_on: int
    data: str
    spacing_mm: float
    slice_spacing_mm: float
    median_mm: float
    smallest_ml: float

    def lines(self) -> list[str]:
        """For people."""
        p_value = (
            f"from these {self.calibrated_on}"
            if self.calibrated_on >= LEAST_FOR_P
            else f"none: it needs {LEAST_FOR_P} people"
        )
        learned = "?" if self.learned_from is None else str(self.learned_from)
        return [
            f"{self.name}: {', '.join(self.modalities)}, {self.megabytes:.1f} MB",
            f"  healthy brains: {learned} of the atlas, {self.calibrated_on} of the thresholds; "
            f"p-value {p_value}",
            f"  data: {self.data}",
            f"  not found: what is small beside the grid ({self.spacing_mm:g} x "
            f"{self.slice_spacing_mm:g} mm) and the map's median filter ({self.median_mm:g} mm), "
            f"and parts under {self.smallest_ml:g} mL",
        ]


def shipped_weights(names: Iterable[str] = ()) -> list[ShippedWeights]:
    """Weights that come with this copy of anomap.

    Args:
        names: keys of `NAMED`; none takes all.

    Raises:
        InputError: an unknown name, or a file of theirs cannot be read.
    """
    wanted = tuple(names) or tuple(NAMED)
    for name in wanted:
        if name not in NAMED:
            raise InputError(f"no weights are called {quoted(name)}; there are {', '.join(NAMED)}")
    return [
        _weights_of(name, bundle_dir(NAMED[name]))
        for name in wanted
        if (bundle_dir(NAMED[name]) / MODELS / WEIGHTS).is_file()
    ]


def _weights_of(name: str, bundle: Path) -> ShippedWeights:
    models = bundle / MODELS
    try:
        config = parse_yaml(read_text(models / CONFIG, MAX_CONFIG_BYTES))
        grid, recipe = config["grid"], config["detection"]
        metadata = json.loads((bundle / BUNDLE_METADATA).read_text(encoding="utf-8"))
        card = (bundle / BUNDLE_CARD).read_text(encoding="utf-8")
        people = _PEOPLE.search(card)
        size = sum(path.stat().st_size for path in models.iterdir())
        return ShippedWeights(
            name=name,
            modalities=tuple(config["modalities"]),
            megabytes=size / 1e6,
            learned_from=None if people is None else int(people[1]),
            calibrated_on=len(Calibration.read(models / CALIBRATION).cases),
            data=str(metadata["data_source"]).partition("; see")[0],
            spacing_mm=float(grid["spacing_mm"]),
            slice_spacing_mm=float(grid["slice_spacing_mm"]),
            median_mm=float(recipe["median_mm"]),
            smallest_ml=float(recipe["min_component_ml"]),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{bundle}: cannot be read ({error!r}); install anomap again") from error
