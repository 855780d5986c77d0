"""Several paths to one cohort: the one finder behind every command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.cases.case import Case, Cohort
from pipeline.cases.find import find_cases
from pipeline.errors import InputError


@dataclass(frozen=True)
class Selection:
    """Which cases are meant, and what is said about them; see `find_cases`.

    Attributes:
        modalities: what each case must have; None takes all.
        healthy: True where all are people without a lesion; None leaves it to folders and labels.
        section: the key of a datalist to read; None reads all.
        label_scheme: what label values mean; None goes by name and value.
        leave_out: names of cases not to use.
    """

    modalities: tuple[str, ...] | None = None
    healthy: bool | None = None
    section: str | None = None
    label_scheme: str | None = None
    leave_out: tuple[str, ...] = ()


def find_all(paths: Sequence[Path | str], selection: Selection = Selection()) -> Cohort:
    """The cases of one or several paths, with names that differ, less those to leave out.

    Returns:
        A cohort whose root is the first path. Of several paths, one without a usable case is in
        ``incomplete`` under its own name, as is every case that lacks a modality.

    Raises:
        InputError: there is no case, two have one name, or a case to leave out is not there.
    """
    cohorts, unusable = _read(paths, selection)
    joined = _joined(cohorts)
    names = {case.name for case in joined.cases}
    if unknown := sorted(set(selection.leave_out) - names):
        raise InputError(f"--leave-out {unknown[0]}: no case of that name in {paths[0]}")
    return replace(
        joined,
        cases=tuple(case for case in joined.cases if case.name not in selection.leave_out),
        incomplete={**unusable, **joined.incomplete},
    )


def _joined(cohorts: Sequence[Cohort]) -> Cohort:
    """Several cohorts as one with the root of the first; errors as `find_all`."""
    return Cohort(
        root=cohorts[0].root,
        cases=tuple(_by_name(cohorts).values()),
        left_out={path: why for cohort in cohorts for path, why in cohort.left_out.items()},
        layout=", ".join(dict.fromkeys(cohort.layout for cohort in cohorts)),
        notes=tuple(dict.fromkeys(note for cohort in cohorts for note in cohort.notes)),
        incomplete={name: why for cohort in cohorts for name, why in cohort.incomplete.items()},
    )


def _by_name(cohorts: Sequence[Cohort]) -> dict[str, Case]:
    """The cases of several cohorts; errors as `find_all`."""
    found: dict[str, Case] = {}
    for cohort in cohorts:
        for case in cohort.cases:
            if case.name in found:
                raise InputError(
                    f"{cohort.root}: a case named {case.name!r} was already found elsewhere; give "
                    "the folders in separate commands, or rename one"
                )
            found[case.name] = case
    return found


def _read(paths: Sequence[Path | str], selection: Selection) -> tuple[list[Cohort], dict[str, str]]:
    """The cohorts of the paths, and the path -> reason of those that hold nothing."""
    cohorts: list[Cohort] = []
    unusable: dict[str, str] = {}
    for path in paths:
        try:
            cohort = find_cases(
                path,
                modalities=selection.modalities,
                healthy=selection.healthy,
                section=selection.section,
                label_scheme=selection.label_scheme,
            )
        except InputError as error:
            if len(paths) == 1:
                raise
            unusable[str(path)] = str(error)
        else:
            cohorts.append(cohort)
    if not cohorts:
        raise InputError(next(iter(unusable.values()), "no path is given"))
    return cohorts, unusable
