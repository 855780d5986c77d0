"""What a folder of results holds: maps, scores, curves; read, and never computed."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.cases.case import Case
from pipeline.cases.find import find_cases
from pipeline.detection.methods import OURS
from pipeline.errors import InputError
from pipeline.files.names import ANOMALY_MAP, CASE_SCORES, DATALIST, MAPS
from pipeline.files.record.result import CaseResult
from pipeline.files.record.summary import Curve, Curves, MethodSummary, Summary
from pipeline.scores.evaluation import method_of

Row = Mapping[str, Any]
"""A row of cases.csv, numbers as floats, NaN where empty."""


@dataclass(frozen=True)
class Results:
    """What a folder holds.

    Attributes:
        maps: method -> folder of ``<case>/anomaly.nii.gz``.
        main: the method that the page is about.
        summary, curves: of `scores.evaluation.write_results`; none where nothing was scored.
        rows: method -> case -> row of ``cases.csv``.
        cases: name -> where images and label lie, as far as the folder says it.
        results: case -> ``result.json`` of the main method.
    """

    folder: Path
    maps: Mapping[str, Path]
    main: str
    results: Mapping[str, CaseResult]
    summary: Summary | None = None
    curves: Mapping[str, Curve] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Row]] = field(default_factory=dict)
    cases: Mapping[str, Case] = field(default_factory=dict)

    @property
    def scores(self) -> Mapping[str, Row]:
        """Case -> row of the main method."""
        return self.rows.get(self.main, {})

    @property
    def method_summaries(self) -> Mapping[str, MethodSummary]:
        """Method -> its scores; none where nothing was scored."""
        return {} if self.summary is None else self.summary.methods

    @property
    def quality(self) -> str:
        """The Dice that cases are ordered by: at the threshold, where there is one."""
        key = "dice_at_threshold"
        known = any(is_finite(row.get(key)) for row in self.scores.values())
        return key if known else "dice_oracle"


def read_results(folder: Path, *, labels: Path | None = None, method: str | None = None) -> Results:
    """Everything but the volumes; arguments and errors as in `report.write_report`."""
    maps = _method_folders(folder)
    main = method or (OURS if OURS in maps else next(iter(maps)))
    if main not in maps:
        raise InputError(f"{folder}: no maps of {main!r}; there are {', '.join(maps)}")
    results = read_case_results(maps[main])
    summary = Summary.of(folder)
    if summary is not None and main not in summary.methods:
        summary = None
    curves = Curves.of(folder)
    return Results(
        folder,
        maps,
        main,
        results,
        summary,
        {} if curves is None else curves.methods,
        {} if summary is None else _read_rows(folder / CASE_SCORES),
        {case.name: case for case in _find_cases(folder, labels, results)},
    )


def read_case_results(folder: Path) -> dict[str, CaseResult]:
    """Case -> its record, an empty one where a method of somebody else wrote none.

    Args:
        folder: of one method's ``<case>/``.
    """
    return {path.name: CaseResult.of(path) or CaseResult() for path in case_folders(folder)}


def _find_cases(
    folder: Path, labels: Path | None, results: Mapping[str, CaseResult]
) -> Sequence[Case]:
    """The cases with the images that the maps were made from; none where they are gone."""
    used = next((tuple(result.inputs) for result in results.values() if result.inputs), None)
    if labels is not None:
        return find_cases(labels, modalities=used).cases
    try:
        return find_cases(folder / DATALIST, modalities=used).cases
    except InputError:
        return ()


def _method_folders(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that detect or benchmark left")
    if (folder / MAPS).is_dir():
        found = {path.name: path for path in sorted((folder / MAPS).iterdir())}
        found = {name: path for name, path in found.items() if case_folders(path)}
        summary = Summary.of(folder)
        order = [] if summary is None else list(summary.methods)
        if found:
            return {name: found[name] for name in sorted(found, key=lambda n: _place(n, order))}
    if case_folders(folder):
        return {method_of(folder): folder}
    raise InputError(f"{folder}: no maps in it; expected <case>/anomaly.nii.gz, as detect leaves")


def _place(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)


def case_folders(folder: Path) -> list[Path]:
    """Those of its folders that hold a map."""
    return sorted(path.parent for path in folder.glob(f"*/{ANOMALY_MAP}"))


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


def is_finite(value: Any) -> bool:
    """Whether it is a number, and not NaN or infinite."""
    return isinstance(value, int | float) and math.isfinite(value)


def chosen_cases(results: Results, limit: int) -> list[str]:
    """Cases that get a viewer: all, or the worst and the best tumours and some healthy ones."""
    names = list(results.results)
    if len(names) <= limit:
        return names
    by_score = sorted(names, key=lambda name: -score_of(results, name))
    ill = [n for n in by_score if is_finite(results.scores.get(n, {}).get(results.quality))]
    well = [n for n in by_score if n not in ill]
    if not ill:
        return by_score[:limit]
    n_well = min(len(well), max(limit // 4, limit - len(ill)))
    ill.sort(key=lambda name: results.scores[name][results.quality])
    n_ill = min(limit - n_well, len(ill))
    worst = ill[: (n_ill + 1) // 2]
    return sorted([*worst, *ill[len(ill) - n_ill + len(worst) :], *well[:n_well]])


def cohort_name(results: Results) -> str:
    """The cohort's name, without the folders that it lies in."""
    cohort = results.summary.cohort if results.summary is not None else ""
    return last_names(cohort or str(results.folder.resolve()))


def last_names(paths: str) -> str:
    """Of paths separated by commas."""
    return ", ".join(Path(part).name for part in paths.split(", ")) or paths


def best_others(results: Results, limit: int) -> list[str]:
    """The other methods with maps, those of the highest AUPRC first."""

    def area(name: str) -> float:
        method = results.method_summaries.get(name)
        value = None if method is None else method.means["auprc"].mean
        return -math.inf if value is None else value

    others = [name for name in results.maps if name != results.main]
    return sorted(others, key=lambda name: -area(name))[:limit]


def score_of(results: Results, name: str) -> float:
    """The score of a case by the main method, minus infinity where there is none."""
    row = results.scores.get(name)
    value = results.results[name].score if row is None else row.get("score")
    return float(value) if value is not None and is_finite(value) else -math.inf
