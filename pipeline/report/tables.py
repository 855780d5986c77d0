"""Tables and charts of a report, and what made them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.detection.methods import METHODS
from pipeline.report.charts import Chart, curve_chart, row_chart, size_chart
from pipeline.report.results import Results, Row, is_finite, score_of
from pipeline.report.viewer import View
from pipeline.scores.evaluation import COLUMNS, SIZES_ML, pretty


def _value_and_ends(method: Mapping[str, Any], keys: Sequence[str]) -> tuple[Any, Any]:
    """A number of a method's summary and the ends of its interval, None where undefined."""
    value: Any = method
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        return value["mean"], value["ci95"]
    return value, method.get(f"{keys[0]}_ci95") if len(keys) == 1 else None


def _cell(method: Mapping[str, Any], heading: str) -> dict[str, str]:
    value, ends = _value_and_ends(method, COLUMNS[heading])
    interval = f"{pretty(heading, ends[0])} to {pretty(heading, ends[1])}" if ends else ""
    return {"text": pretty(heading, value), "interval": interval}


def method_table(results: Results) -> list[dict[str, Any]]:
    """A row a method."""
    return [
        {
            "name": name,
            "main": name == results.main,
            "about": METHODS[name].summary if name in METHODS else "",
            "cells": [_cell(method, heading) for heading in COLUMNS],
        }
        for name, method in results.summary.get("methods", {}).items()
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


def _methods(results: Results) -> dict[str, Mapping[str, Any]]:
    """Method -> its summary, the main method first."""
    methods = dict(results.summary.get("methods", {}))
    names = sorted(methods, key=lambda name: name != results.main)
    return {name: methods[name] for name in names}


def _curve_charts(results: Results) -> list[Chart | None]:
    methods = _methods(results)
    known = {name: results.curves[name] for name in methods if name in results.curves}

    def chart(title: str, area: str, x: tuple[str, str], y: tuple[str, str]) -> Chart | None:
        return curve_chart(
            title,
            {name: (curve[x[0]], curve[y[0]]) for name, curve in known.items()},
            {name: method.get("pooled", {}).get(area) for name, method in methods.items()},
            x_title=x[1],
            y_title=y[1],
        )

    recall, ppv = ("recall", "recall"), ("precision", "precision")
    rates = ("fpr", "false positive rate"), ("tpr", "true positive rate")
    return [chart("Precision and recall", "auprc", recall, ppv), chart("ROC", "auroc", *rates)]


def _strata(results: Results) -> list[tuple[float, float, float | None, int]]:
    strata = results.summary.get("methods", {}).get(results.main, {}).get("by_size", {})
    return [
        (*SIZES_ML[name], stratum.get(results.quality), stratum["n"])
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
    found = {}
    for name, method in _methods(results).items():
        value, ends = _value_and_ends(method, (key,))
        found[name] = (value, tuple(ends) if ends else None)
    return found


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
    records = {n: {**r, **results.scores.get(n, {})} for n, r in results.results.items()}
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


def _rounded(record: Row, key: str) -> str:
    value = record.get(key)
    return f"{value:.{CASE_COLUMNS[key][1]}f}" if is_finite(value) else "-"


def provenance(results: Results) -> list[tuple[str, str]]:
    """What made the numbers and the maps, as far as the files say it."""
    result: Mapping[str, Any] = next(iter(results.results.values()), {})
    made = result.get("provenance", {})
    evaluated = results.summary.get("made_by", {})
    software = result.get("software") or evaluated.get("software") or {}
    threshold = result.get("threshold") or {}
    entries = {
        "Cohort": results.summary.get("cohort"),
        "Command": result.get("command"),
        "Scored by": evaluated.get("command"),
        "Software": ", ".join(f"{name} {v}" for name, v in software.items() if v),
        "Seed": made.get("seed"),
        "Weights, SHA-256": made.get("weights_sha256"),
        "Atlases, SHA-256": made.get("atlases_sha256"),
        "Threshold": threshold.get("rule"),
        "Written": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }
    if entries["Scored by"] == entries["Command"]:
        del entries["Scored by"]
    return [(name, str(value)) for name, value in entries.items() if value not in (None, "")]


TILES = ("AUPRC", "Dice at threshold", "image AUROC", "healthy FP mL")


def tiles(results: Results) -> list[dict[str, str]]:
    """The few numbers that the page leads with."""
    method = results.summary.get("methods", {}).get(results.main)
    if method is None:
        return []
    found = [{"name": heading, **_cell(method, heading)} for heading in TILES]
    return [tile for tile in found if tile["text"] != "-"]
