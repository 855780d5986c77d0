"""A folder of results to one self-contained HTML page with an interactive viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from tqdm import tqdm

from pipeline.cases.loop import Execution
from pipeline.detection.methods import OURS
from pipeline.errors import InputError
from pipeline.files.names import REPORT
from pipeline.files.nifti import make_folder, write_text
from pipeline.files.record.result import CaseResult
from pipeline.report.results import (
    Results,
    best_others,
    chosen_cases,
    cohort_name,
    is_finite,
    read_case_results,
    read_results,
    score_of,
)
from pipeline.report.tables import case_table, charts, method_table, provenance, record_of, tiles
from pipeline.report.viewer import View, map_top, view_case, view_map
from pipeline.scores.evaluation import COLUMNS

MAX_VIEWS = 20
MAX_OTHERS = 3
"""Methods whose maps the viewer carries beside the main one's: some 0.1 MB each a case."""
ASSETS = files("pipeline.report") / "assets"


def write_report(
    folder: Path,
    *,
    labels: Path | None = None,
    method: str | None = None,
    compare: Sequence[str] | None = None,
    max_views: int = MAX_VIEWS,
    execution: Execution = Execution(),
) -> Path:
    """Write ``report.html`` into a folder that benchmark, evaluate or detect left.

    Args:
        labels: where images and labels lie, if the folder does not say it.
        method: that the page is about; None takes ours, or the first.
        compare: methods that the viewer can show instead; None takes the `MAX_OTHERS` best.
        max_views: so many cases get a viewer at most.

    Returns:
        The page.

    Raises:
        InputError: the folder holds no maps, or not those of ``method`` or ``compare``.
    """
    results = read_results(folder, labels=labels, method=method)
    others = best_others(results, MAX_OTHERS) if compare is None else compare
    of_others = [of_method(results, other) for other in others if other != results.main]
    make_folder(folder)
    names = chosen_cases(results, max_views)
    tops = [_shared_top(each, names) for each in (results, *of_others)]
    views = []
    for name in tqdm(names, desc="report", unit="case", disable=not execution.progress):
        folder_of, record = results.maps[results.main] / name, results.results[name]
        view = view_case(folder_of, record, results.cases.get(name), top=tops[0])
        maps = tuple(
            view_map(each.maps[each.main] / name, each.results[name], each.main, top=top)
            for each, top in zip(of_others, tops[1:], strict=True)
            if name in each.results
        )
        views.append(replace(view, others=maps))
    write_text(folder / REPORT, render(results, views))
    return folder / REPORT


def of_method(results: Results, method: str) -> Results:
    """The same folder with another method's records.

    Raises:
        InputError: there are no maps of it.
    """
    if method not in results.maps:
        known = ", ".join(results.maps)
        raise InputError(f"{results.folder}: no maps of {method!r}; there are {known}")
    return replace(results, main=method, results=read_case_results(results.maps[method]))


def _shared_top(results: Results, names: Sequence[str]) -> float:
    """The end of the colour scale of a method's maps, above every mask's cut."""
    shown = [name for name in names if name in results.results]
    thresholds = [results.results[name].threshold for name in shown]
    known = [t.value for t in thresholds if t is not None and t.value is not None]
    cuts = [cut for name in shown if (cut := results.results[name].mask_cut) is not None]
    folder = results.maps[results.main]
    top = map_top([folder / name for name in shown], max(known, default=None))
    return max([top, *cuts])


# --- the viewer's part ---------------------------------------------------------------------------


def viewer_data(results: Results, views: Sequence[View]) -> dict[str, Any]:
    """What ``viewer.html.j2`` needs: cases for its list, data for its script, volumes."""
    cases: list[dict[str, Any]] = []
    volumes: list[dict[str, str]] = []

    def laid(view: View) -> list[dict[str, Any]]:
        """Its layers, with their volumes put among those of the page."""
        names = [f"volume-{len(volumes) + j}" for j in range(len(view.layers))]
        volumes.extend(
            {"id": name, "data": layer.data} for name, layer in zip(names, view.layers, strict=True)
        )
        return [
            {
                "kind": layer.kind,
                "title": layer.title,
                "low": layer.low,
                "high": layer.high,
                "volume": name,
            }
            for name, layer in zip(names, view.layers, strict=True)
        ]

    for view in views:
        cases.append(
            {
                "name": view.name,
                "brief": _brief(results, view.name),
                "facts": _facts(results, view.name),
                "keys": _keys(results, view.name),
                "layers": laid(view),
                "peak_mm": view.peak_mm,
                "lesion_mm": view.lesion_mm,
                "threshold": view.threshold,
                "notes": [*view.notes, *results.results[view.name].notes],
                "others": [
                    {
                        "method": other.name,
                        "facts": _facts(of_method(results, other.name), view.name),
                        "layers": laid(other),
                        "peak_mm": other.peak_mm,
                        "threshold": other.threshold,
                        "notes": list(other.notes),
                    }
                    for other in view.others
                ],
            }
        )
    methods = [results.main, *dict.fromkeys(other.name for v in views for other in v.others)]
    return {
        "cases": cases,
        "orders": _orders(results) if len(views) > 1 else [],
        "methods": methods,
        "volumes": volumes,
        "data": {"cases": cases, "methods": methods},
    }


def _keys(results: Results, name: str) -> dict[str, Any]:
    """What the list of cases can be ordered by; None goes last."""
    row = results.scores.get(name, {})
    keys = {
        "quality": row.get(results.quality),
        "false": row.get("healthy_fp_ml"),
        "lesion": row.get("lesion_ml") or None,
        "score": score_of(results, name),
    }
    return {"name": name} | {key: v if is_finite(v) else None for key, v in keys.items()}


def _brief(results: Results, name: str) -> str:
    """One line in the list of cases."""
    row = results.scores.get(name)
    if row is None:
        ml, score = results.results[name].anomalous_ml, score_of(results, name)
        parts = [
            f"score {score:.2f}" if is_finite(score) else "",
            "" if ml is None else f"{ml:.0f} mL called",
        ]
        return " · ".join(filter(None, parts))
    if row["healthy"] == "True":
        false = row["healthy_fp_ml"]
        return "healthy" + (f" · {false:.1f} mL false" if is_finite(false) else "")
    quality = row[results.quality]
    return f"Dice {quality:.2f} · " * is_finite(quality) + f"{row['lesion_ml']:.0f} mL"


FACTS = {
    "lesion_ml": ("lesion", "{:.1f} mL"),
    "dice_at_threshold": ("Dice at threshold", "{:.3f}"),
    "dice_oracle": ("Dice oracle", "{:.3f}"),
    "auprc": ("AUPRC", "{:.3f}"),
    "sensitivity": ("sensitivity", "{:.3f}"),
    "healthy_fp_ml": ("false positives", "{:.1f} mL"),
    "score": ("score", "{:.3g}"),
    "p_value": ("p, if healthy", "{:.2g}"),
    "anomalous_ml": ("called", "{:.1f} mL"),
    "brain_ml": ("brain", "{:.0f} mL"),
}


def _facts(results: Results, name: str) -> list[tuple[str, str]]:
    record = record_of(results, name)
    return [
        (title, pattern.format(record[key]))
        for key, (title, pattern) in FACTS.items()
        if is_finite(record.get(key)) and not (key == "lesion_ml" and record[key] == 0)
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


# --- the page ------------------------------------------------------------------------------------


def environment() -> jinja2.Environment:
    """Templates of ``assets/``, everything escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.report", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def asset(name: str) -> str:
    """The text of a file of ``assets/``."""
    return (ASSETS / name).read_text(encoding="utf-8")


def render_viewer(folder: Path, result: CaseResult, title: str) -> str:
    """A page with the viewer of one case alone, from the folder that a detection left."""
    results = Results(folder.parent, {OURS: folder.parent}, OURS, {title: result})
    viewer = viewer_data(results, [replace(view_case(folder, result), name=title)])
    template = environment().get_template("viewer_alone.html.j2")
    return template.render(asset=asset, title=title, viewer=viewer)


def render(results: Results, views: Sequence[View]) -> str:
    """The page."""
    method = results.method_summaries.get(results.main)
    failed = {} if method is None else method.failed
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            asset=asset,
            title=cohort_name(results),
            results=results,
            n_cases=len(results.results),
            tiles=tiles(results),
            viewer=viewer_data(results, views),
            headings=list(COLUMNS),
            methods=method_table(results),
            charts=charts(results, views),
            cases=case_table(results, views),
            failed=failed,
            provenance=provenance(results),
        )
    )
