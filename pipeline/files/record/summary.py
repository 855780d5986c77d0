"""``summary.json`` and ``curves.json``: what methods reach on a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, Field

from pipeline.files.names import CURVES, SUMMARY
from pipeline.files.record.base import FileRecord, Record
from pipeline.files.record.result import Software, Threshold

Interval = tuple[float | None, float | None]
"""Both ends of a 95 % bootstrap interval over subjects."""


class Mean(Record):
    """A mean over cases; null where undefined."""

    mean: float | None
    ci95: Interval | None = None


class Pooled(Record):
    """Over the brain voxels of all cases together."""

    auroc: float | None
    auprc: float | None
    dice_oracle: float | None
    """At the one threshold that is best for all cases; it needs the labels."""
    threshold_oracle: float | None


class Region(Record):
    """Of a part of the tumour: ``whole_tumour``, ``tumour_core`` or ``enhancing``."""

    auroc: Mean
    sensitivity: Mean


class Stratum(Record):
    """Tumour cases of one range of volumes."""

    n: int
    dice_oracle: float | None
    dice_at_threshold: float | None
    auprc: float | None


class MethodSummary(Record):
    """One method on a cohort.

    Every metric of `pipeline.scores.case_metrics.METRICS` that is a mean over cases is a further
    key, with a `Mean`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Mean]

    threshold: Threshold
    """Of the masks; its value is null where cases differ."""
    image_auroc: float | None
    """Of the case's score, tumour cases against healthy ones."""
    image_auroc_ci95: Interval | None
    slice_auroc: float | None
    healthy_fp_ml: float | None
    """Mean volume that is called in healthy brains, in millilitres."""
    healthy_fp_ml_ci95: Interval | None
    pooled: Pooled
    regions: dict[str, Region]
    by_size: dict[str, Stratum]
    """Range of volumes to the cases in it."""
    n_healthy: int
    n_tumour: int
    failed: dict[str, str] = Field(default_factory=dict)
    """Case to reason."""
    evaluations_per_slice: float | None
    seconds_per_case: float | None

    @property
    def means(self) -> dict[str, Mean]:
        """Every metric by name."""
        return dict(self.__pydantic_extra__)


class MadeBy(Record):
    """The command that scored, and its software."""

    command: str
    software: Software


class Summary(FileRecord):
    """Scores of methods on a cohort; null where undefined."""

    WHAT: ClassVar[str] = "a summary of scores"

    schema_version: int = 2
    cohort: str
    n_cases: int
    """Scored by one method at least."""
    methods: dict[str, MethodSummary]
    made_by: MadeBy | None = None

    @classmethod
    def of(cls, folder: Path) -> Summary | None:
        """That of a folder, None where there is none.

        Raises:
            InputError: there is one that cannot be read.
        """
        return cls.read_if_there(folder / SUMMARY)


class Curve(Record):
    """Curves over the brain voxels of all cases, empty where undefined; values in 0..1."""

    fpr: tuple[float, ...]
    """With ``tpr`` the ROC curve."""
    tpr: tuple[float, ...]
    recall: tuple[float, ...]
    """With ``precision`` the precision-recall curve."""
    precision: tuple[float, ...]


class Curves(FileRecord):
    """Curves of each method."""

    WHAT: ClassVar[str] = "curves of scores"

    schema_version: int = 2
    methods: dict[str, Curve]

    @classmethod
    def of(cls, folder: Path) -> Curves | None:
        """Those of a folder, None where there are none.

        Raises:
            InputError: there are some that cannot be read.
        """
        return cls.read_if_there(folder / CURVES)

    @classmethod
    def migrate(cls, tree: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 had the same keys and no version."""
        return tree
