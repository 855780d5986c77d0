"""A folder of results to one self-contained HTML page with an interactive viewer."""

from __future__ import annotations

import csv
import datetime
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from tqdm import tqdm

from pipeline.cases import Case, find_cases
from pipeline.charts import Chart, curve_chart, row_chart, size_chart
from pipeline.errors import InputError
from pipeline.evaluation import COLUMNS, DATALIST, SIZES_ML, method_of, pretty, read_result
from pipeline.methods import METHODS, OURS
from pipeline.nifti import make_folder, write_text
from pipeline.viewer import View, map_top, view_case

PAGE = "report.html"
MAX_VIEWS = 20
ASSETS = files("pipeline") / "assets"

Row = Mapping[str, Any]
"""A row of cases.csv, numbers as floats, NaN where empty."""


@dataclass(frozen=True)
class Results:
    """What a folder holds.

    Attributes:
        maps: method -> folder of ``<case>/anomaly.nii.gz``.
        main: the method that the page is about.
        summary, curves: of `evaluation.write_results`; empty where nothing was scored.
        rows: method -> case -> row of ``cases.csv``.
        cases: name -> where images and label lie, as far as the folder says it.
        results: case -> ``result.json`` of the main method.
    """

    folder: Path
    maps: Mapping[str, Path]
    main: str
    results: Mapping[str, Mapping[str, Any]]
    summary: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Row]] = field(default_factory=dict)
    cases: Mapping[str, Case] = field(default_factory=dict)

    @property
    def scores(self) -> Mapping[str, Row]:
        """Case -> row of the main method."""
        return self.rows.get(self.main, {})

    @property
    def quality(self) -> str:
        """The Dice that cases are ordered by: at the threshold, where there is one."""
        key = "dice_at_threshold"
        return key if any(_finite(row.get(key)) for row in self.scores.values()) else "dice_oracle"


def write_report(
    folder: Path,
    *,
    labels: Path | None = None,
    method: str | None = None,
    max_views: int = MAX_VIEWS,
    progress: bool = True,
) -> Path:
    """Write ``report.html`` into a folder that benchmark, evaluate or detect left.

    Args:
        labels: where images and labels lie, if the folder does not say it.
        method: that the page is about; None takes ours, or the first.
        max_views: so many cases get a viewer at most.

    Returns:
        The page.

    Raises:
        InputError: the folder holds no maps, or not those of ``method``.
    """
    results = read_results(folder, labels=labels, method=method)
    make_folder(folder)
    names = chosen_cases(results, max_views)
    top = map_top([results.maps[results.main] / name for name in names])
    views = [
        view_case(
            results.maps[results.main] / name,
            results.results[name],
            results.cases.get(name),
            top=top,
        )
        for name in tqdm(names, desc="report", unit="case", disable=not progress)
    ]
    write_text(folder / PAGE, render(results, views))
    return folder / PAGE


# --- what is there -------------------------------------------------------------------------------


def read_results(folder: Path, *, labels: Path | None = None, method: str | None = None) -> Results:
    """Everything but the volumes; arguments and errors as in `write_report`."""
    maps = _method_folders(folder)
    main = method or (OURS if OURS in maps else next(iter(maps)))
    if main not in maps:
        raise InputError(f"{folder}: no maps of {main!r}; there are {', '.join(maps)}")
    records = {path.name: read_result(path) for path in _case_folders(maps[main])}
    source = labels or folder / DATALIST
    cases = find_cases(source).cases if labels or source.is_file() else ()
    summary = _read_json(folder / "summary.json")
    if summary and main not in summary.get("methods", {}):
        summary = {}
    return Results(
        folder,
        maps,
        main,
        records,
        summary,
        _read_json(folder / "curves.json").get("methods", {}),
        _read_rows(folder / "cases.csv") if summary else {},
        {case.name: case for case in cases},
    )


def _method_folders(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that detect or benchmark left")
    if (folder / "maps").is_dir():
        found = {path.name: path for path in sorted((folder / "maps").iterdir())}
        found = {name: path for name, path in found.items() if _case_folders(path)}
        order = list(_read_json(folder / "summary.json").get("methods", {}))
        if found:
            return {name: found[name] for name in sorted(found, key=lambda n: _place(n, order))}
    if _case_folders(folder):
        return {method_of(folder): folder}
    raise InputError(f"{folder}: no maps in it; expected <case>/anomaly.nii.gz, as detect leaves")


def _place(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)


def _case_folders(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/anomaly.nii.gz"))


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); delete or redo it") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def _read_rows(path: Path) -> dict[str, dict[str, Row]]:
    rows: dict[str, dict[str, Row]] = {}
    if not path.is_file():
        return rows
    with path.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            if not row.get("error"):
                rows.setdefault(row["method"], {})[row["case"]] = {
                    key: _value(text) for key, text in row.items()
                }
    return rows


def _value(text: str | None) -> Any:
    try:
        return float(text) if text else math.nan
    except ValueError:
        return text


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


# --- which cases, in which order -----------------------------------------------------------------


def chosen_cases(results: Results, limit: int) -> list[str]:
    """Cases that get a viewer: all, or the worst and the best tumours and some healthy ones."""
    names = [name for name in results.results if not results.scores or name in results.scores]
    if not names:
        raise InputError(f"{results.folder}: no case of {results.main} has both a map and scores")
    if len(names) <= limit:
        return names
    by_score = sorted(names, key=lambda name: -_score(results, name))
    ill = [n for n in by_score if _finite(results.scores.get(n, {}).get(results.quality))]
    well = [n for n in by_score if n not in ill]
    if not ill:
        return by_score[:limit]
    n_well = min(len(well), max(limit // 4, limit - len(ill)))
    ill.sort(key=lambda name: results.scores[name][results.quality])
    n_ill = min(limit - n_well, len(ill))
    worst = ill[: (n_ill + 1) // 2]
    return sorted([*worst, *ill[len(ill) - n_ill + len(worst) :], *well[:n_well]])


def _score(results: Results, name: str) -> float:
    value = results.scores.get(name, results.results[name]).get("score", math.nan)
    return float(value) if _finite(value) else -math.inf


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


# --- the viewer's part ---------------------------------------------------------------------------


def viewer_data(results: Results, views: Sequence[View]) -> dict[str, Any]:
    """What ``viewer.html.j2`` needs: cases for its list, data for its script, volumes."""
    cases, volumes = [], []
    for i, view in enumerate(views):
        layers = []
        for j, layer in enumerate(view.layers):
            volumes.append({"id": f"volume-{i}-{j}", "data": layer.data})
            layers.append(
                {
                    "kind": layer.kind,
                    "title": layer.title,
                    "low": layer.low,
                    "high": layer.high,
                    "volume": f"volume-{i}-{j}",
                }
            )
        cases.append(
            {
                "name": view.name,
                "brief": _brief(results, view.name),
                "facts": _facts(results, view.name),
                "keys": _keys(results, view.name),
                "layers": layers,
                "peak_mm": view.peak_mm,
                "lesion_mm": view.lesion_mm,
                "threshold": view.threshold,
                "notes": [*view.notes, *results.results[view.name].get("notes", [])],
            }
        )
    orders = _orders(results) if len(views) > 1 else []
    return {"cases": cases, "orders": orders, "volumes": volumes, "data": {"cases": cases}}


def _keys(results: Results, name: str) -> dict[str, Any]:
    """What the list of cases can be ordered by; None goes last."""
    row = results.scores.get(name, {})
    keys = {
        "quality": row.get(results.quality),
        "false": row.get("healthy_fp_ml"),
        "lesion": row.get("lesion_ml") or None,
        "score": _score(results, name),
    }
    return {"name": name} | {key: v if _finite(v) else None for key, v in keys.items()}


def _brief(results: Results, name: str) -> str:
    """One line in the list of cases."""
    row = results.scores.get(name)
    if row is None:
        ml, score = results.results[name].get("anomalous_ml"), _score(results, name)
        parts = [
            f"score {score:.2f}" if _finite(score) else "",
            f"{ml:.0f} mL called" if ml else "",
        ]
        return " · ".join(filter(None, parts))
    if row["healthy"] == "True":
        false = row["healthy_fp_ml"]
        return "healthy" + (f" · {false:.1f} mL false" if _finite(false) else "")
    return f"Dice {row[results.quality]:.2f} · {row['lesion_ml']:.0f} mL"


FACTS = {
    "lesion_ml": ("lesion", "{:.1f} mL"),
    "dice_at_threshold": ("Dice at threshold", "{:.3f}"),
    "dice_oracle": ("Dice oracle", "{:.3f}"),
    "auprc": ("AUPRC", "{:.3f}"),
    "sensitivity": ("sensitivity", "{:.3f}"),
    "healthy_fp_ml": ("false positives", "{:.1f} mL"),
    "score": ("score", "{:.3g}"),
    "anomalous_ml": ("called", "{:.1f} mL"),
    "brain_ml": ("brain", "{:.0f} mL"),
}


def _facts(results: Results, name: str) -> list[tuple[str, str]]:
    record = {**results.results[name], **results.scores.get(name, {})}
    return [
        (title, pattern.format(record[key]))
        for key, (title, pattern) in FACTS.items()
        if _finite(record.get(key)) and not (key == "lesion_ml" and record[key] == 0)
    ]


# --- tables and charts ---------------------------------------------------------------------------


def _cell(method: Mapping[str, Any], heading: str) -> dict[str, str]:
    value: Any = method
    for key in COLUMNS[heading]:
        value = value.get(key) if isinstance(value, Mapping) else None
    ends = method.get(f"{COLUMNS[heading][0]}_ci95")
    if isinstance(value, Mapping):
        value, ends = value["mean"], value["ci95"]
    interval = f"{pretty(heading, ends[0])} to {pretty(heading, ends[1])}" if ends else ""
    return {"text": pretty(heading, value), "interval": interval}


def _method_table(results: Results) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "main": name == results.main,
            "about": METHODS[name].summary if name in METHODS else "",
            "cells": [_cell(method, heading) for heading in COLUMNS],
        }
        for name, method in results.summary.get("methods", {}).items()
    ]


def _charts(results: Results, views: Sequence[View]) -> list[Chart]:
    methods = dict(results.summary.get("methods", {}))
    names = [results.main, *(name for name in methods if name != results.main)]
    index = {view.name: i for i, view in enumerate(views)}
    pooled = {name: methods[name].get("pooled", {}) for name in names if name in methods}

    def curves(x: str, y: str) -> dict[str, tuple[list[float], list[float]]]:
        known = {name: results.curves[name] for name in names if name in results.curves}
        return {name: (curve[x], curve[y]) for name, curve in known.items()}

    def values(key: str) -> dict[str, list[tuple[str, float, int | None]]]:
        return {
            name: [
                (case, row[key], index.get(case) if name == results.main else None)
                for case, row in results.rows.get(name, {}).items()
            ]
            for name in names
        }

    def means(key: str) -> dict[str, Any]:
        found = {}
        for name in pooled:
            value, ends = methods[name].get(key), methods[name].get(f"{key}_ci95")
            if isinstance(value, Mapping):
                value, ends = value["mean"], value["ci95"]
            found[name] = (value, tuple(ends) if ends else None)
        return found

    quality = results.quality
    dice_title = "Dice at the threshold" if quality == "dice_at_threshold" else "Dice, oracle"
    strata = methods.get(results.main, {}).get("by_size", {})
    charts = [
        curve_chart(
            "Precision and recall",
            curves("recall", "precision"),
            {name: area.get("auprc") for name, area in pooled.items()},
            x_title="recall",
            y_title="precision",
        ),
        curve_chart(
            "ROC",
            curves("fpr", "tpr"),
            {name: area.get("auroc") for name, area in pooled.items()},
            x_title="false positive rate",
            y_title="true positive rate",
        ),
        size_chart(
            [
                (name, row["lesion_ml"], row[quality], index.get(name))
                for name, row in results.scores.items()
            ],
            [
                (*SIZES_ML[name], stratum.get(quality), stratum["n"])
                for name, stratum in strata.items()
                if name in SIZES_ML
            ],
            y_title=dice_title,
        ),
        row_chart(
            f"{dice_title}, by method",
            values(quality),
            means(quality),
            x_title="Dice",
            x_high=1.0,
        ),
        row_chart(
            "False positives in healthy brains",
            values("healthy_fp_ml"),
            means("healthy_fp_ml"),
            x_title="mL called in a healthy brain",
        ),
    ]
    return [chart for chart in charts if chart is not None]


CASE_COLUMNS = {
    "lesion_ml": ("lesion mL", 1),
    "score": ("score", 3),
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


def _case_table(results: Results, views: Sequence[View]) -> dict[str, Any]:
    """Every case, the worst first, with the columns that any of them has."""
    index = {view.name: i for i, view in enumerate(views)}
    records = {n: {**r, **results.scores.get(n, {})} for n, r in results.results.items()}
    used = [k for k in CASE_COLUMNS if any(_finite(r.get(k)) for r in records.values())]

    def place(name: str) -> tuple[bool, float, float]:
        quality = records[name].get(results.quality)
        known = _finite(quality)
        return not known, float(quality or 0) if known else 0.0, -_score(results, name)

    rows = [
        {"name": name, "case": index.get(name), "cells": [_rounded(records[name], k) for k in used]}
        for name in sorted(records, key=place)
    ]
    return {"headings": [CASE_COLUMNS[key][0] for key in used], "rows": rows}


def _rounded(record: Row, key: str) -> str:
    value = record.get(key)
    return f"{value:.{CASE_COLUMNS[key][1]}f}" if _finite(value) else "-"


# --- the page ------------------------------------------------------------------------------------


def _provenance(results: Results) -> list[tuple[str, str]]:
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


def _tiles(results: Results) -> list[dict[str, str]]:
    """The few numbers that the page leads with."""
    method = results.summary.get("methods", {}).get(results.main)
    if method is None:
        return []
    tiles = [{"name": heading, **_cell(method, heading)} for heading in TILES]
    return [tile for tile in tiles if tile["text"] != "-"]


def _title(results: Results) -> str:
    """The cohort's name, without the folders that it lies in."""
    cohort = str(results.summary.get("cohort") or results.folder.resolve())
    return Path(cohort).name or cohort


def environment() -> jinja2.Environment:
    """Templates of ``assets/``, everything escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def asset(name: str) -> str:
    """The text of a file of ``assets/``."""
    return (ASSETS / name).read_text(encoding="utf-8")


def render_viewer(folder: Path, result: Mapping[str, Any], title: str) -> str:
    """A page with the viewer of one case alone, from the folder that a detection left."""
    results = Results(folder.parent, {OURS: folder.parent}, OURS, {title: result})
    viewer = viewer_data(results, [replace(view_case(folder, result), name=title)])
    template = environment().get_template("viewer_alone.html.j2")
    return template.render(asset=asset, title=title, viewer=viewer)


def render(results: Results, views: Sequence[View]) -> str:
    """The page."""
    failed = results.summary.get("methods", {}).get(results.main, {}).get("failed", {})
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            asset=asset,
            title=_title(results),
            results=results,
            n_cases=len(results.results),
            tiles=_tiles(results),
            viewer=viewer_data(results, views),
            headings=list(COLUMNS),
            methods=_method_table(results),
            charts=_charts(results, views),
            cases=_case_table(results, views),
            failed=failed,
            provenance=_provenance(results),
        )
    )
