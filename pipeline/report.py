"""A folder of results to one self-contained HTML page with an interactive viewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from tqdm import tqdm

from pipeline.evaluation import COLUMNS
from pipeline.methods import OURS
from pipeline.nifti import make_folder, write_text
from pipeline.results import Results, chosen_cases, is_finite, read_results, score_of
from pipeline.tables import case_table, charts, method_table, provenance, tiles
from pipeline.viewer import View, map_top, view_case

PAGE = "report.html"
MAX_VIEWS = 20
ASSETS = files("pipeline") / "assets"


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
        "score": score_of(results, name),
    }
    return {"name": name} | {key: v if is_finite(v) else None for key, v in keys.items()}


def _brief(results: Results, name: str) -> str:
    """One line in the list of cases."""
    row = results.scores.get(name)
    if row is None:
        ml, score = results.results[name].get("anomalous_ml"), score_of(results, name)
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
    record = {**results.results[name], **results.scores.get(name, {})}
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


def _title(results: Results) -> str:
    """The cohort's name, without the folders that it lies in."""
    cohort = str(results.summary.get("cohort") or results.folder.resolve())
    return ", ".join(Path(part).name for part in cohort.split(", ")) or cohort


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
