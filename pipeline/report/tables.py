"""Tables and charts of a report, and what made them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.detection.methods import METHODS
from pipeline.files.record.result import CaseResult
from pipeline.files.record.summary import Mean, MethodSummary
from pipeline.report.charts import Chart, curve_chart, row_chart, size_chart
from pipeline.report.results import Results, Row, is_finite, score_of
from pipeline.report.viewer import View
from pipeline.scores.evaluation import COLUMNS, SIZES_ML, pretty


def _cell(method: MethodSummary, heading: str) -> dict[str, str]:
    value = COLUMNS[heading](method)
    interval = ""
    if value.ci95 is not None:
        interval = f"{pretty(heading, value.ci95[0])} to {pretty(heading, value.ci95[1])}"
    return {"text": pretty(heading, value.mean), "interval": interval}


def method_table(results: Results) -> list[dict[str, Any]]:
    """A row a method."""
    return [
        {
            "name": name,
            "main": name == results.main,
            "about": METHODS[name].summary if name in METHODS else "",
            "cells": [_cell(method, heading) for heading in COLUMNS],
        }
        for name, method in results.method_summaries.items()
    ]


def charts(results: Results, views: Sequence[View]) -> list[Chart]:
    """Those for which there are numbers."""
    index = {view.name: i for i, view in enumerate(views)}
    quality = results.quality
    dice = "Dice at the threshold" if quality == "dice_at_threshold" else "Dice, oracle"
    of_sizes = size_chart(
        [
            (name, row["lesion_ml"], row[quality], index.get(name))
            for name, row in results.scores.items()
        ],
        _strata(results),
        y_title=dice,
    )
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
        x_title="mL called in a healthy brain",
    )
    all_charts = (*_curve_charts(results), of_sizes, of_methods, of_healthy)
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


def _strata(results: Results) -> list[tuple[float, float, float | None, int]]:
    method = results.method_summaries.get(results.main)
    strata = {} if method is None else method.by_size
    return [
        (*SIZES_ML[name], getattr(stratum, results.quality), stratum.n)
        for name, stratum in strata.items()
        if name in SIZES_ML
    ]


def _values(
    results: Results, key: str, index: Mapping[str, int]
) -> dict[str, list[tuple[str, float, int | None]]]:
    """Of each case; those of the main method with their place in the viewer."""
    return {
        name: [
            (case, row[key], index.get(case) if name == results.main else None)
            for case, row in results.rows.get(name, {}).items()
        ]
        for name in _methods(results)
    }


def _means(results: Results, key: str) -> dict[str, Any]:
    values = {name: _value(method, key) for name, method in _methods(results).items()}
    return {name: (value.mean, value.ci95) for name, value in values.items()}


def _value(method: MethodSummary, key: str) -> Mean:
    if key == "healthy_fp_ml":
        return Mean(mean=method.healthy_fp_ml, ci95=method.healthy_fp_ml_ci95)
    return method.means[key]


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
    "anomalous_ml": ("called mL", 1),
    "seconds": ("seconds", 2),
}


def case_table(results: Results, views: Sequence[View]) -> dict[str, Any]:
    """Every case, the worst first, with the columns that any of them has."""
    index = {view.name: i for i, view in enumerate(views)}
    records = {name: record_of(results, name) for name in results.results}
    used = [k for k in CASE_COLUMNS if any(is_finite(r.get(k)) for r in records.values())]

    def place(name: str) -> tuple[bool, float, float]:
        quality = records[name].get(results.quality)
        known = is_finite(quality)
        return not known, float(quality or 0) if known else 0.0, -score_of(results, name)

    rows = [
        {"name": name, "case": index.get(name), "cells": [_rounded(records[name], k) for k in used]}
        for name in sorted(records, key=place)
    ]
    return {"headings": [CASE_COLUMNS[key][0] for key in used], "rows": rows}


def record_of(results: Results, name: str) -> Row:
    """What is known of a case: the row of its scores, and what its result alone says."""
    result = results.results[name]
    stated = {key: getattr(result, key) for key in _OF_RESULT}
    return {**stated, **results.scores.get(name, {})}


_OF_RESULT = ("score", "p_value", "anomalous_ml", "brain_ml", "seconds")


def _rounded(record: Row, key: str) -> str:
    value = record.get(key)
    return f"{value:.{CASE_COLUMNS[key][1]}f}" if is_finite(value) else "-"


def provenance(results: Results) -> list[tuple[str, str]]:
    """What made the numbers and the maps, as far as the files say it."""
    result = next(iter(results.results.values()), CaseResult())
    made = result.provenance
    summary = results.summary
    scored_by = None if summary is None else summary.made_by
    software = result.software or (scored_by.software if scored_by is not None else None)
    versions = {} if software is None else software.to_json()
    entries = {
        "Cohort": None if summary is None else summary.cohort,
        "Command": result.command,
        "Scored by": None if scored_by is None else scored_by.command,
        "Software": ", ".join(f"{name} {v}" for name, v in versions.items() if v),
        "Seed": None if made is None else made.seed,
        "Weights, SHA-256": None if made is None else made.weights_sha256,
        "Atlases, SHA-256": None if made is None else made.atlases_sha256,
        "Threshold": None if result.threshold is None else result.threshold.rule,
        "Written": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }
    if entries["Scored by"] == entries["Command"]:
        del entries["Scored by"]
    return [(name, str(value)) for name, value in entries.items() if value not in (None, "")]


TILES = ("AUPRC", "Dice at threshold", "image AUROC", "healthy FP mL")


def tiles(results: Results) -> list[dict[str, str]]:
    """The few numbers that the page leads with."""
    method = results.method_summaries.get(results.main)
    if method is None:
        return []
    found = [{"name": heading, **_cell(method, heading)} for heading in TILES]
    return [tile for tile in found if tile["text"] != "-"]
