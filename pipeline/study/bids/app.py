"""``anomap bids``: a BIDS data set to a BIDS derivative, as BIDS-Apps are called."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.cases.loop import Execution, each_case
from pipeline.cases.several import Selection, find_all
from pipeline.detection.detect import DetectedCases
from pipeline.errors import InputError
from pipeline.files.case_name import case_folder
from pipeline.files.folder.ownership import claim
from pipeline.files.names import BIDS_DESCRIPTION, RESULT
from pipeline.files.paths import located
from pipeline.files.record.result import CaseResult
from pipeline.files.writing import make_folder
from pipeline.report.page import write_report
from pipeline.study.bids.derivatives import (
    RESULTS,
    Source,
    describe_dataset,
    write_derivatives,
    write_group,
)
from pipeline.study.detect import DetectOptions, detect
from pipeline.study.follow.table import results_below


@dataclass(frozen=True)
class Labels:
    """Whom a command is for; nothing is everybody.

    Attributes:
        participants: with or without ``sub-``.
        sessions: with or without ``ses-``.
    """

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()


def participant_level(
    bids_dir: Path | str,
    out: Path | str,
    *,
    labels: Labels = Labels(),
    options: DetectOptions = DetectOptions(),
    selection: Selection = Selection(),
    execution: Execution = Execution(),
) -> DetectedCases:
    """Detect in the scans of participants and write them as a derivative.

    Args:
        bids_dir: root of the data set; nothing is written there.
        out: root of the derivative.
        labels: whose scans.
        options: as of `detect`.
        selection: its modalities, and what else `detect` takes.
        execution: as of `detect`.

    Raises:
        InputError: it is no BIDS data set, a label is not there, or as `detect`.
    """
    root, out = located(Path(bids_dir)), Path(out)
    there = _names_in(root, selection)
    chosen = _chosen([*there.usable, *there.others], labels)
    claim(out)
    make_folder(out)
    describe_dataset(out, root)
    others = [name for name in there.usable if name not in chosen]
    if len(others) == len(there.usable):
        reasons = "; ".join(f"{name}: {there.others[name]}" for name in chosen)
        raise InputError(f"none of those participants has a scan that can be used: {reasons}")
    detected = detect(
        root,
        out / RESULTS,
        options=options,
        selection=replace(selection, leave_out=tuple(others)),
        execution=execution,
    )

    def write(name: str) -> None:
        folder = case_folder(out / RESULTS, name)
        result = CaseResult.read(folder / RESULT)
        write_derivatives(out, _source(root, result), folder, result)

    failed = {n: why for n, why in detected.failed.items() if n in chosen or n not in there.others}
    made = each_case(
        {name: name for name in detected.done}, write, description="BIDS", execution=execution
    )
    return replace(detected, folder=out, done=tuple(made.done), failed={**failed, **made.failed})


def group_level(
    bids_dir: Path | str, out: Path | str, *, execution: Execution = Execution()
) -> DetectedCases:
    """The table of all results of a derivative, and the report.

    Raises:
        InputError: there is no result.
    """
    root, out = located(Path(bids_dir)), Path(out)
    read = results_below(out / RESULTS)
    if not read.done and not read.failed:
        raise InputError(
            f"{out}: no results of participants; make them first: anomap bids {bids_dir} {out} "
            "participant"
        )
    describe_dataset(out, root)
    write_group(out, [_row(root, result) for result in read.done.values()])
    report = write_report(out / RESULTS, execution=execution)
    return DetectedCases(out, tuple(read.done), {**read.failed, **report.failed})


@dataclass(frozen=True)
class _There:
    """Names of the cases of a data set, and why others cannot be used."""

    usable: tuple[str, ...]
    others: Mapping[str, str]


def _names_in(root: Path, selection: Selection) -> _There:
    if not (root / BIDS_DESCRIPTION).is_file():
        raise InputError(
            f"{root}: no BIDS data set; expected {BIDS_DESCRIPTION} in it (anomap detect takes "
            "other folders)"
        )
    cohort = find_all(root, selection)
    if cohort.layout != "bids":
        raise InputError(
            f"{root}: its names are not those of BIDS (sub-<label>_..._<suffix>) but of a "
            f"{cohort.layout} folder; anomap detect takes it"
        )
    return _There(tuple(case.name for case in cohort.cases), cohort.incomplete)


def _chosen(names: Sequence[str], labels: Labels) -> list[str]:
    wanted = {
        "sub": {label.removeprefix("sub-") for label in labels.participants},
        "ses": {label.removeprefix("ses-") for label in labels.sessions},
    }
    said = [(name, _entities(name)) for name in names]
    for key, option in (("sub", "--participant-label"), ("ses", "--session-label")):
        _check_there(option, wanted[key], {e[key] for _, e in said if key in e})
    chosen = [name for name, entities in said if _is_wanted(entities, wanted)]
    if not chosen:
        raise InputError("no participant has a scan of such a session; see anomap cases")
    return chosen


def _is_wanted(entities: Mapping[str, str], wanted: Mapping[str, set[str]]) -> bool:
    return all(not names or entities.get(key) in names for key, names in wanted.items())


def _check_there(option: str, wanted: set[str], there: set[str]) -> None:
    if missing := sorted(wanted - there):
        names = ", ".join(sorted(there)[:20]) or "none"
        raise InputError(f"{option} {missing[0]}: not in the data set; there are {names}")


def _entities(name: str) -> dict[str, str]:
    return dict(field.split("-", 1) for field in name.split("_") if "-" in field)


def _source(root: Path, result: CaseResult) -> Source:
    """The scan of a result, the first of several modalities."""
    return Source(root, Path(next(iter(result.inputs.values()))))


def _row(root: Path, result: CaseResult) -> Mapping[str, Any]:
    source = _source(root, result)
    image = source.path.name
    with contextlib.suppress(ValueError):  # the data set lies elsewhere now
        image = source.relative
    entities = source.entities
    return {
        "participant_id": f"sub-{entities.get('sub', result.case)}",
        "session_id": f"ses-{entities['ses']}" if "ses" in entities else None,
        "image": image,
        "score": result.score,
        "p_value": result.p_value,
        "healthy_cases": result.healthy_cases,
        "anomalous_volume": result.anomalous_ml,
        "brain_volume": result.brain_ml,
        "notes": "; ".join(result.notes),
    }
