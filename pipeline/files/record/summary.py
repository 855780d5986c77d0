"""``summary.json`` and ``curves.json``: what methods reach on a cohort."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from pipeline.files.names import CURVES, SUMMARY
from pipeline.files.record.base import FileRecord, Record
from pipeline.files.record.result import Software, Threshold

Interval = tuple[float | None, float | None]
"""Both ends of a 95 % interval over cases: Student's t for means, the bootstrap for image AUROC."""


class Mean(Record):
    """A mean over the cases where a metric is defined."""

    mean: float | None
    """Null where there is no such case."""
    ci95: Interval | None = None
    """Both ends of its 95 % interval over cases; null where undefined."""


class Difference(Record):
    """How much more the first method has of a metric than another, on the cases of both."""

    n: int
    """Number of cases where both have a value."""
    mean: float
    """Mean of the first's value less the other's."""
    ci95: Interval | None = None
    """Both ends of its 95 % interval over cases (paired, Student's t); null of one case."""
    wins: int
    """Number of cases where the first has more."""
    losses: int
    """Number of cases where it has less."""


class Pooled(Record):
    """Over the brain voxels of all cases together."""

    auroc: float | None
    """Area under the ROC curve."""
    auprc: float | None
    """Average precision."""
    dice_oracle: float | None
    """Dice at the one threshold that is best for all cases; it needs the labels."""
    threshold_oracle: float | None
    """That threshold, in units of the map."""


class Region(Record):
    """How well a part of the tumour is found."""

    auroc: Mean
    """Of its voxels against those without any lesion."""
    sensitivity: Mean
    """Share of it in the mask."""


class Stratum(Record):
    """Tumour cases of one range of volumes."""

    n: int
    """Number of such cases."""
    dice_oracle: float | None
    """Mean Dice, at each case's best threshold; null where undefined."""
    dice_at_threshold: float | None
    """Mean Dice of the masks; null where undefined."""
    auprc: float | None
    """Mean average precision; null where undefined."""


class MethodSummary(Record):
    """One method on a cohort; every number is null where it is undefined.

    Every further key is a metric of single cases with its mean: ``auroc``, ``auprc``,
    ``dice_oracle`` (at each case's best threshold), ``dice_at_threshold`` (of the masks),
    ``sensitivity``, ``specificity`` and ``precision`` (of the masks), ``lesion_sensitivity`` and
    ``lesion_f1`` (of whole lesions), ``false_findings`` (parts of the mask without a lesion, a
    case), ``healthy_fp_rate`` (share of a healthy brain in the mask), ``tumour_fp_ml``
    (millilitres of the mask outside the tumour).
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Mean]

    threshold: Threshold
    """Of the masks; its value is null where cases differ."""
    image_auroc: float | None
    """Of the case's score, tumour cases (labelled or not) against healthy ones."""
    image_auroc_ci95: Interval | None
    """Both ends of its 95 % interval over cases."""
    slice_auroc: float | None
    """Of the slice's score (as that of a case), slices with a lesion against those without."""
    healthy_fp_ml: float | None
    """Mean volume that is called in healthy brains, in millilitres."""
    healthy_fp_ml_ci95: Interval | None
    """Both ends of its 95 % interval over cases."""
    pooled: Pooled
    """All cases in one curve."""
    regions: dict[str, Region]
    """Part of the tumour (``whole_tumour``, ``tumour_core``, ``enhancing``) to its metrics."""
    by_size: dict[str, Stratum]
    """Range of whole-tumour volumes (``<10 mL``) to the tumour cases in it."""
    n_healthy: int
    """Number of scored cases without a lesion."""
    n_tumour: int
    """Number of scored cases with one."""
    n_image_level: int = 0
    """Of those with one, the cases without a lesion label: they count in ``image_auroc`` alone."""
    failed: dict[str, str] = Field(default_factory=dict)
    """Name of a case that could not be scored to the reason."""
    evaluations_per_slice: float | None
    """Of the network, mean over the cases that say it."""
    seconds_per_case: float | None
    """Mean over the cases that say it."""

    def mean_of(self, metric: str) -> Mean:
        """A metric; undefined where a file does not hold it."""
        return self.means.get(metric, Mean(mean=None))

    @property
    def means(self) -> dict[str, Mean]:
        """Every metric by name."""
        return dict(self.__pydantic_extra__)


class MadeBy(Record):
    """The command that scored, and its software."""

    command: str
    """As a shell takes it."""
    software: Software
    """That ran it."""


class Summary(FileRecord):
    """Scores of methods on a cohort."""

    FILE: ClassVar[str] = SUMMARY
    WHAT: ClassVar[str] = "a summary of scores"

    schema_version: int = 3
    """Of the layout of the file; 1 where a file does not say it."""
    cohort: str
    """Where the cases lie."""
    n_cases: int
    """Number of cases that one method at least could be scored on."""
    methods: dict[str, MethodSummary]
    """Name of the method to its scores."""
    compared_with: str | None = None
    """The method that ``differences`` are of: the first; null where nothing says it."""
    differences: dict[str, dict[str, Difference]] = Field(default_factory=dict)
    """Name of another method to metric to how much more the first has."""
    made_by: MadeBy | None = None
    """What scored; null where it does not say."""


class Curve(Record):
    """Curves over the brain voxels of all cases, empty where undefined; values in 0..1."""

    fpr: tuple[float, ...]
    """False-positive rates of the ROC curve, ascending."""
    tpr: tuple[float, ...]
    """True-positive rate at each of them."""
    recall: tuple[float, ...]
    """Of the precision-recall curve, ascending."""
    precision: tuple[float, ...]
    """At each of them."""

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.fpr) != len(self.tpr) or len(self.recall) != len(self.precision):
            raise ValueError("expected as many values of fpr as of tpr, of recall as of precision")
        return self


class Curves(FileRecord):
    """Curves of each method."""

    FILE: ClassVar[str] = CURVES
    INDENT: ClassVar[int | None] = None
    WHAT: ClassVar[str] = "curves of scores"

    schema_version: int = 2
    """Of the layout of the file; 1 where a file does not say it."""
    methods: dict[str, Curve]
    """Name of the method to its curves."""
