"""Tables and charts of a report, and what made them."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.detection.methods.table import METHODS
from pipeline.files.record.result import CaseResult, Provenance, Software, Threshold
from pipeline.files.record.summary import Mean, MethodSummary, Summary
from pipeline.files.texts import without_folders
from pipeline.report.charts import CaseValue, Chart, SizeMean, curve_chart, row_chart, size_chart
from pipeline.report.results import Results, last_names
from pipeline.scores.metrics import roc_curve
from pipeline.scores.summary import SIZES_ML
from pipeline.scores.tables import COLUMNS, pretty


@dataclass(frozen=True)
class Cell:
    """A number of a heading of `COLUMNS` as text, and its interval, "" where there is none."""

    heading: str
    text: str
    interval: str


@dataclass(frozen=True)
class MethodRow:
    """A method in the table of methods.

    Attributes:
        main: the page is about it.
        about: what it does; "" for a method of somebody else.
    """

    name: str
    main: bool
    about: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class CaseLine:
    """A case in `CaseTable`; ``case`` is its index in the viewer, None where it is not there."""

    name: str
    case: int | None
    cells: tuple[str, ...]


@dataclass(frozen=True)
class CaseTable:
    """Every case with the columns that any of them has."""

    headings: tuple[str, ...]
    rows: tuple[CaseLine, ...]


def _cell(method: MethodSummary, heading: str) -> Cell:
    value = COLUMNS[heading](method)
    interval = ""
    if value.ci95 is not None:
        interval = f"{pretty(heading, value.ci95[0])} to {pretty(heading, value.ci95[1])}"
    return Cell(heading, pretty(heading, value.mean), interval)


def method_table(results: Results) -> list[MethodRow]:
    """A row a method."""
    return [
        MethodRow(
            name,
            name == results.main,
            METHODS[name].summary if name in METHODS else "",
            tuple(_cell(method, heading) for heading in COLUMNS),
        )
        for name, method in results.method_summaries.items()
    ]


def charts(results: Results, shown: Sequence[str]) -> list[Chart]:
    """Those for which there are numbers.

    Args:
        shown: names of the cases in the viewer, in its order.
    """
    index = {name: i for i, name in enumerate(shown)}
    quality = results.quality
    dice = "Dice at the threshold" if quality == "dice_at_threshold" else "Dice, oracle"
    volumes = {name: row.numbers.get("lesion_ml", 0.0) for name, row in results.scores.items()}
    dices = _values(results, quality, index).get(results.main, [])
    of_sizes = size_chart(dices, volumes, _strata(results), y_title=dice)
    of_methods = row_chart(
        f"{dice}, by method",
        _values(results, quality, index),
        _means(results, quality),
        x_title="Dice",
        x_high=1.0,
    )
    of_healthy = row_chart(
        "False positives in healthy brains",
        _values(results, "healthy_fp_ml", index),
        _means(results, "healthy_fp_ml"),
        x_title="mL marked in a healthy brain",
    )
    of_images = _image_chart(results)
    all_charts = (of_images, *_curve_charts(results), of_sizes, of_methods, of_healthy)
    return [chart for chart in all_charts if chart is not None]


def _methods(results: Results) -> dict[str, MethodSummary]:
    """Method -> its summary, the main method first."""
    methods = results.method_summaries
    names = sorted(methods, key=lambda name: name != results.main)
    return {name: methods[name] for name in names}


def _curve_charts(results: Results) -> list[Chart | None]:
    methods = _methods(results)
    known = {name: results.curves[name] for name in methods if name in results.curves}
    return [
        curve_chart(
            "Precision and recall",
            {name: (curve.recall, curve.precision) for name, curve in known.items()},
            {name: method.pooled.auprc for name, method in methods.items()},
            x_title="recall",
            y_title="precision",
        ),
        curve_chart(
            "ROC",
            {name: (curve.fpr, curve.tpr) for name, curve in known.items()},
            {name: method.pooled.auroc for name, method in methods.items()},
            x_title="false positive rate",
            y_title="true positive rate",
        ),
    ]


def _image_chart(results: Results) -> Chart | None:
    """How whole images are told apart, where some of them have no lesion label."""
    methods = _methods(results)
    if not any(method.n_image_level for method in methods.values()):
        return None
    curves = {}
    for name in methods:
        rows = [row for row in results.rows.get(name, {}).values() if "score" in row.numbers]
        scores = np.array([row.numbers["score"] for row in rows])
        ill = np.array([row.healthy is False for row in rows], dtype=bool)
        fpr, tpr = roc_curve(scores, ill)
        curves[name] = (fpr.tolist(), tpr.tolist())
    return curve_chart(
        "ROC of whole images",
        curves,
        {name: method.image_auroc for name, method in methods.items()},
        x_title="false positive rate",
        y_title="true positive rate",
        of_images=True,
    )


def _strata(results: Results) -> list[SizeMean]:
    method = results.method_summaries.get(results.main)
    strata = {} if method is None else method.by_size
    return [
        SizeMean(*SIZES_ML[name], getattr(stratum, results.quality), stratum.n)
        for name, stratum in strata.items()
        if name in SIZES_ML
    ]


def _values(results: Results, key: str, index: Mapping[str, int]) -> dict[str, list[CaseValue]]:
    """Of each case that has one; those of the main method with their place in the viewer."""
    return {
        name: [
            CaseValue(case, row.numbers[key], index.get(case) if name == results.main else None)
            for case, row in results.rows.get(name, {}).items()
            if key in row.numbers
        ]
        for name in _methods(results)
    }


def _means(results: Results, key: str) -> dict[str, Mean]:
    return {name: _mean(method, key) for name, method in _methods(results).items()}


def _mean(method: MethodSummary, key: str) -> Mean:
    if key == "healthy_fp_ml":
        return Mean(mean=method.healthy_fp_ml, ci95=method.healthy_fp_ml_ci95)
    return method.mean_of(key)


CASE_COLUMNS = {
    "lesion_ml": ("lesion mL", 1),
    "score": ("score", 3),
    "p_value": ("p, if healthy", 3),
    "auroc": ("AUROC", 3),
    "auprc": ("AUPRC", 3),
    "dice_oracle": ("Dice oracle", 3),
    "dice_at_threshold": ("Dice at threshold", 3),
    "sensitivity": ("sensitivity", 3),
    "precision": ("precision", 3),
    "healthy_fp_ml": ("false mL, healthy", 1),
    "anomalous_ml": ("marked mL", 1),
    "anomalous_pixels": ("marked pixels", 0),
    "seconds": ("seconds", 2),
}


def case_table(results: Results, shown: Sequence[str]) -> CaseTable:
    """Every case, the worst first, with the columns that any of them has.

    Args:
        shown: names of the cases in the viewer, in its order.
    """
    index = {name: i for i, name in enumerate(shown)}
    numbers = {name: results.numbers(name) for name in results.results}
    used = [key for key in CASE_COLUMNS if any(key in known for known in numbers.values())]

    def place(name: str) -> tuple[float, float]:
        return numbers[name].get(results.quality, math.inf), -results.score(name)

    rows = (
        CaseLine(name, index.get(name), tuple(_rounded(numbers[name], key) for key in used))
        for name in sorted(numbers, key=place)
    )
    return CaseTable(tuple(CASE_COLUMNS[key][0] for key in used), tuple(rows))


def _rounded(numbers: Mapping[str, float], key: str) -> str:
    return f"{numbers[key]:.{CASE_COLUMNS[key][1]}f}" if key in numbers else "-"


def provenance(results: Results, *, with_paths: bool = False) -> list[tuple[str, str]]:
    """What made the numbers and the maps, as far as the files say it.

    Args:
        with_paths: the folder of the cohort, and the commands, which name folders.
    """
    result = next(iter(results.results.values()), CaseResult())
    entries = _scoring(results.summary) | _detection(result)
    if entries["Scored by"] == entries["Command"]:
        del entries["Scored by"]
    if result.software is not None:
        entries["Software"] = _versions(result.software)
    entries["Written"] = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    if not with_paths:
        entries |= {"Cohort": last_names(entries.get("Cohort", "")), "Command": "", "Scored by": ""}
        entries |= {"Threshold": without_folders(entries["Threshold"])}
    return [(name, entries[name]) for name in PROVENANCE if entries.get(name)]


PROVENANCE = (
    *("Cohort", "Command", "Scored by", "Software", "Seed", "Weights, SHA-256"),
    *("Atlases, SHA-256", "Threshold", "Written"),
)
"""Entries in the order of the page."""


def _scoring(summary: Summary | None) -> dict[str, str]:
    if summary is None:
        return {"Scored by": ""}
    made_by = summary.made_by
    if made_by is None:
        return {"Cohort": summary.cohort, "Scored by": ""}
    versions = _versions(made_by.software)
    return {"Cohort": summary.cohort, "Scored by": made_by.command, "Software": versions}


def _detection(result: CaseResult) -> dict[str, str]:
    made = result.provenance or Provenance()
    threshold = result.threshold or Threshold()
    return {
        "Command": result.command or "",
        "Seed": "" if made.seed is None else str(made.seed),
        "Weights, SHA-256": made.weights_sha256 or "",
        "Atlases, SHA-256": made.atlases_sha256 or "",
        "Threshold": threshold.rule or "",
    }


def _versions(software: Software) -> str:
    return ", ".join(f"{name} {version}" for name, version in software.to_json().items() if version)


TILES = ("AUPRC", "Dice at threshold", "image AUROC", "healthy FP mL")


def tiles(results: Results) -> list[Cell]:
    """The few numbers that the page leads with."""
    method = results.method_summaries.get(results.main)
    if method is None:
        return []
    cells = [_cell(method, heading) for heading in TILES]
    return [cell for cell in cells if cell.text != "-"]
