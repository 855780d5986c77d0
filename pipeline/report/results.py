"""What a folder of results holds: maps, scores, curves; read, and never computed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.cases.case import Case
from pipeline.cases.find import find_cases
from pipeline.cases.loop import QUIET, Outcomes, each_case
from pipeline.detection.methods.table import OURS
from pipeline.errors import InputError, printable
from pipeline.files.case_name import case_folder
from pipeline.files.names import ANOMALY_MAP, DATALIST, DICOM_CASES, MAPS
from pipeline.files.record.result import CaseResult
from pipeline.files.record.summary import Curve, Curves, MethodSummary, Summary
from pipeline.scores.case_rows import CaseRow, read_rows
from pipeline.scores.evaluate import method_of


@dataclass(frozen=True)
class Results:
    """What a folder holds.

    Attributes:
        maps: method -> folder of ``<case>/anomaly.nii.gz``.
        main: the method that the page is about.
        results: case -> ``result.json`` of the main method.
        summary, curves: of `scores.tables.write_results`; none where nothing was scored.
        rows: method -> case -> row of ``cases.csv``, of those that could be scored.
        cases: name -> where images and label lie, as far as the folder says it.
        unreadable: case of the main method -> why its ``result.json`` cannot be read.
    """

    folder: Path
    maps: Mapping[str, Path]
    main: str
    results: Mapping[str, CaseResult]
    summary: Summary | None = None
    curves: Mapping[str, Curve] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, CaseRow]] = field(default_factory=dict)
    cases: Mapping[str, Case] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @property
    def scores(self) -> Mapping[str, CaseRow]:
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
        known = any(key in row.numbers for row in self.scores.values())
        return key if known else "dice_oracle"

    def numbers(self, name: str) -> dict[str, float]:
        """What is known of a case: its scores, and what its result alone says."""
        result = self.results[name]
        stated = {key: getattr(result, key) for key in _OF_RESULT}
        stated["healthy_cases"] = result.healthy_cases or None
        known = {key: v for key, v in stated.items() if v is not None and math.isfinite(v)}
        row = self.scores.get(name)
        return known if row is None else {**known, **row.numbers}

    def score(self, name: str) -> float:
        """The score of a case by the main method, minus infinity where there is none."""
        row = self.scores.get(name)
        value = self.results[name].score if row is None else row.numbers.get("score")
        return value if value is not None and math.isfinite(value) else -math.inf

    def of_method(self, method: str) -> Results:
        """The same folder with another method's records.

        Raises:
            InputError: there are no maps of it.
        """
        if method not in self.maps:
            known = ", ".join(self.maps)
            raise InputError(f"{self.folder}: no maps of {method!r}; there are {known}")
        read = read_case_results(self.maps[method])
        return replace(self, main=method, results=read.done, unreadable=read.failed)


_OF_RESULT = (
    *(
        "score",
        "p_value",
        "healthy_cases",
        "anomalous_ml",
        "brain_ml",
        "anomalous_pixels",
        "brain_pixels",
    ),
    "seconds",
)


def read_results(folder: Path, *, labels: Path | None = None, method: str | None = None) -> Results:
    """Everything but the volumes.

    Args:
        folder: that benchmark, evaluate or detect left.
        labels: where images and labels lie, if the folder does not say it.
        method: that it is about; None takes ours, or the first.

    Raises:
        InputError: the folder holds no maps, or not those of ``method``, or no result can be read.
    """
    maps = _method_folders(folder)
    main = method or (OURS if OURS in maps else next(iter(maps)))
    results = Results(folder, maps, main, {}).of_method(main)
    if not results.results:
        raise InputError(next(iter(results.unreadable.values())))
    cases = {case.name: case for case in _find_cases(folder, labels, results.results)}
    summary, curves = Summary.of(folder), Curves.of(folder)
    if curves is not None:
        results = replace(results, curves=curves.methods)
    if summary is not None and main in summary.methods:
        results = replace(results, summary=summary, rows=_rows(folder))
    return replace(results, cases=cases)


def read_case_results(folder: Path) -> Outcomes[CaseResult]:
    """The record of every case, an empty one where a method of somebody else wrote none.

    Args:
        folder: of one method's ``<case>/``.
    """
    return each_case(
        {printable(path.name): path for path in case_folders(folder)},
        lambda path: CaseResult.of(case_folder(path.parent, path.name)) or CaseResult(),
        description="read",
        execution=QUIET,
    )


def _rows(folder: Path) -> dict[str, dict[str, CaseRow]]:
    """Method -> case -> row, of those that could be scored."""
    rows: dict[str, dict[str, CaseRow]] = {}
    for row in read_rows(folder):
        if not row.error:
            rows.setdefault(row.method, {})[row.case] = row
    return rows


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
        found = {printable(path.name): path for path in sorted((folder / MAPS).iterdir())}
        found = {name: path for name, path in found.items() if case_folders(path)}
        summary = Summary.of(folder)
        order = [] if summary is None else list(summary.methods)
        if found:
            return {name: found[name] for name in sorted(found, key=lambda n: _place(n, order))}
    if case_folders(folder):
        return {method_of(folder): folder}
    raise InputError(f"{folder}: no maps in it; expected <case>/anomaly.nii.gz, as detect leaves")


def _place(name: str, order: Sequence[str]) -> tuple[int, str]:
    """By the order of the summary, then by name."""
    return (order.index(name) if name in order else len(order), name)


def case_folders(folder: Path) -> list[Path]:
    """Those of its folders that hold a map; hidden ones are nobody's."""
    return sorted(path.parent for path in folder.glob(f"[!.]*/{ANOMALY_MAP}"))


def chosen_cases(results: Results, limit: int) -> list[str]:
    """Cases that get a viewer: all, or the worst and the best tumours and some healthy ones.

    Of tumours without a label those of the highest and of the lowest score.
    """
    names = list(results.results)
    if len(names) <= limit:
        return names
    by_score = sorted(names, key=lambda name: -results.score(name))
    tumours = {
        name: row.numbers.get(results.quality, math.inf)
        for name, row in results.scores.items()
        if results.quality in row.numbers or row.is_marked is False
    }
    ill = [name for name in by_score if name in tumours]
    well = [name for name in by_score if name not in tumours]
    if not ill:
        return by_score[:limit]
    n_well = min(len(well), max(limit // 4, limit - len(ill)))
    ill.sort(key=lambda name: tumours[name])
    n_ill = min(limit - n_well, len(ill))
    worst = ill[: (n_ill + 1) // 2]
    return sorted([*worst, *ill[len(ill) - n_ill + len(worst) :], *well[:n_well]])


def cohort_name(results: Results) -> str:
    """The cohort's name, without the folders that it lies in; of one case the case's.

    Where nobody named a cohort it is the folder that all scans lie in.
    """
    if results.summary is not None and results.summary.cohort:
        return last_names(results.summary.cohort)
    if len(results.results) == 1:
        return next(iter(results.results))
    scans = [path for result in results.results.values() for path in result.inputs.values()]
    common = Path(os.path.commonpath(scans)) if scans and all(map(os.path.isabs, scans)) else None
    if common is None or common.name in ("", DICOM_CASES):
        return results.folder.resolve().name
    return common.name


def last_names(paths: str) -> str:
    """Of paths separated by commas; one that is there may have commas in its name."""
    if paths and Path(paths).exists():
        return Path(paths).name or paths
    return ", ".join(Path(part).name for part in paths.split(", ")) or paths


def best_others(results: Results, limit: int) -> list[str]:
    """The other methods with maps, those of the highest AUPRC, or image AUROC, first."""

    def areas(name: str) -> tuple[float, ...]:
        method = results.method_summaries.get(name)
        known = () if method is None else (method.mean_of("auprc").mean, method.image_auroc)
        return tuple(math.inf if value is None else -value for value in known) or (math.inf,)

    others = [name for name in results.maps if name != results.main]
    return sorted(others, key=areas)[:limit]
