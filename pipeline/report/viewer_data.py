"""Cases and their volumes as the template and the script of the viewer take them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.files.record.findings import Finding, Findings
from pipeline.findings.describe import millilitres, percent, sentence
from pipeline.report.results import Results
from pipeline.report.viewer import View

Words = Callable[[str], str]
"""What is made of a text for people before it stands on a page."""

FACTS = {
    "lesion_ml": ("lesion", "{:.1f} mL"),
    "dice_at_threshold": ("Dice at threshold", "{:.3f}"),
    "dice_oracle": ("Dice oracle", "{:.3f}"),
    "auprc": ("AUPRC", "{:.3f}"),
    "sensitivity": ("sensitivity", "{:.3f}"),
    "healthy_fp_ml": ("false positives", "{:.1f} mL"),
    "score": ("score", "{:.3g}"),
    "p_value": ("p, if healthy", "{:.2g}"),
    "healthy_cases": ("threshold of", "{:.0f} healthy brains"),
    "anomalous_ml": ("marked as anomalous", "{:.1f} mL"),
    "brain_ml": ("brain", "{:.0f} mL"),
    "anomalous_pixels": ("marked as anomalous", "{:.0f} pixels"),
    "brain_pixels": ("head", "{:.0f} pixels"),
}
"""Number of a case to its title and format."""


def viewer_data(
    results: Results,
    views: Sequence[View],
    others: Sequence[Results] = (),
    *,
    words: Words = str,
) -> dict[str, Any]:
    """What ``viewer.html.j2`` needs: cases for its list, data for its script, volumes.

    Args:
        results: of the main method.
        views: of its cases.
        others: of the further methods that the views show.
        words: what is made of notes.
    """
    by_method = {each.main: each for each in others}
    ids = (f"volume-{i}" for i in itertools.count())
    cases = [_noted(_case(results, view, by_method, ids), words) for view in views]
    methods = [results.main, *dict.fromkeys(other.name for v in views for other in v.others)]
    return {
        "cases": cases,
        "orders": _orders(results) if len(views) > 1 else [],
        "methods": methods,
        "finding_headings": FINDING_HEADINGS,
        "volumes": _volumes(views),
        "data": {"cases": cases, "methods": methods},
    }


def _noted(case: dict[str, Any], words: Words) -> dict[str, Any]:
    """A case with its notes, and those of other methods, as they shall stand there."""
    others = [_noted(other, words) for other in case.get("others", ())]
    return case | {"notes": [*map(words, case["notes"])]} | ({"others": others} if others else {})


def _volumes(views: Sequence[View]) -> list[dict[str, str]]:
    """Of all layers, in the order in which `_layers` gives them ids."""
    shown = [each for view in views for each in (view, *view.others)]
    data = [layer.data for each in shown for layer in each.layers]
    return [{"id": f"volume-{i}", "data": text} for i, text in enumerate(data)]


def _case(
    results: Results, view: View, others: Mapping[str, Results], ids: Iterator[str]
) -> dict[str, Any]:
    return {
        "name": view.name,
        "brief": _brief(results, view.name),
        "facts": _facts(results, view.name),
        "keys": _keys(results, view.name),
        "layers": _layers(view, ids),
        "peak_mm": view.peak_mm,
        "lesion_mm": view.lesion_mm,
        "threshold": view.threshold,
        "findings": _findings(view),
        "notes": [*view.notes, *results.results[view.name].notes],
        "others": [_other(others[other.name], view.name, other, ids) for other in view.others],
    }


def _other(results: Results, name: str, view: View, ids: Iterator[str]) -> dict[str, Any]:
    """A case by another method."""
    return {
        "method": view.name,
        "facts": _facts(results, name),
        "layers": _layers(view, ids),
        "peak_mm": view.peak_mm,
        "threshold": view.threshold,
        "findings": _findings(view),
        "notes": list(view.notes),
    }


def _findings(view: View) -> dict[str, Any] | None:
    """The parts of the mask as the table shows them; None where they were not described."""
    if view.findings is None:
        return None
    return {
        "summary": sentence(view.findings),
        "rows": [{"mm": one.centre_mm, "cells": _cells(one)} for one in view.findings.findings],
        "further": _further(view.findings),
    }


FINDING_HEADINGS = (
    *("#", "Volume", "Diameter", "Where", "Centre in the scan, mm", "in MNI, mm"),
    *("Map: mean", "peak", "Healthy above it"),
)
"""Of the table of findings; see `_cells`."""


def _cells(one: Finding) -> list[str]:
    shares = [f"{each.name} {100 * each.share:.0f} %" for each in one.places]
    where = (one.place or "") + (f" ({', '.join(shares)})" if len(shares) > 1 else "")
    return [
        *(str(one.number), millilitres(one.volume_ml), f"{one.diameter_mm:.0f} mm", where),
        *(_point(one.centre_mm), _point(one.centre_mni_mm)),
        *(f"{one.mean:.3g}", f"{one.peak:.3g}", percent(one.healthy_share_above_peak)),
    ]


def _point(mm: tuple[float, ...] | None) -> str:
    return "" if mm is None else ", ".join(f"{value:.0f}" for value in mm)


def _further(findings: Findings) -> str:
    if not findings.further:
        return ""
    return f"{findings.further} smaller ones, {millilitres(findings.further_ml)} together."


def _layers(view: View, ids: Iterator[str]) -> list[dict[str, Any]]:
    return [
        {
            "kind": layer.kind,
            "title": layer.title,
            "low": layer.low,
            "high": layer.high,
            "volume": next(ids),
        }
        for layer in view.layers
    ]


def _keys(results: Results, name: str) -> dict[str, str | float | None]:
    """What the list of cases can be ordered by; None goes last."""
    row = results.scores.get(name)
    numbers = {} if row is None else row.numbers
    score = results.score(name)
    return {
        "name": name,
        "quality": numbers.get(results.quality),
        "false": numbers.get("healthy_fp_ml"),
        "lesion": numbers.get("lesion_ml") or None,
        "score": score if math.isfinite(score) else None,
    }


def _brief(results: Results, name: str) -> str:
    """One line in the list of cases."""
    row = results.scores.get(name)
    if row is None:
        return _brief_of_unscored(results.results[name].anomalous_ml, results.score(name))
    if row.healthy:
        false_ml = row.numbers.get("healthy_fp_ml")
        return "healthy" if false_ml is None else f"healthy · {false_ml:.1f} mL false"
    quality = row.numbers.get(results.quality)
    lesion_ml = row.numbers.get("lesion_ml")
    parts = [
        "" if quality is None else f"Dice {quality:.2f}",
        "" if lesion_ml is None else f"{lesion_ml:.0f} mL",
    ]
    return " · ".join(filter(None, parts)) or "not healthy"


def _brief_of_unscored(anomalous_ml: float | None, score: float) -> str:
    parts = [
        f"score {score:.2f}" if math.isfinite(score) else "",
        "" if anomalous_ml is None else f"{anomalous_ml:.0f} mL marked",
    ]
    return " · ".join(filter(None, parts))


def _facts(results: Results, name: str) -> list[tuple[str, str]]:
    numbers = results.numbers(name)
    return [
        (title, pattern.format(numbers[key]))
        for key, (title, pattern) in FACTS.items()
        if key in numbers and not (key == "lesion_ml" and numbers[key] == 0)
    ]


def _orders(results: Results) -> list[dict[str, str]]:
    labelled = {
        "quality:up": "lowest Dice first",
        "quality:down": "highest Dice first",
        "false:down": "most false positives in healthy brains",
        "lesion:down": "largest lesion first",
    }
    always = {
        "score:down": "highest score first",
        "score:up": "lowest score first",
        "name:up": "name",
    }
    orders = (labelled if results.scores else {}) | always
    return [{"key": key, "title": title} for key, title in orders.items()]
