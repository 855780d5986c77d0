"""Paths to one cohort, by what a user says of the cases: the finder of the commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.cases.case import Case, Cohort
from pipeline.cases.find import find_cases
from pipeline.cases.layouts.names import canonical_modality
from pipeline.errors import InputError

Paths = Path | str | Sequence[Path | str]
"""One path or several: scans, case folders, cohorts, datalists."""


def as_paths(paths: Paths) -> list[Path]:
    """One path or several, as a list."""
    return [Path(paths)] if isinstance(paths, Path | str) else [Path(path) for path in paths]


@dataclass(frozen=True)
class Selection:
    """Which cases are meant, and what is said about them; see `find_cases`.

    A name alone stands for one name.

    Attributes:
        modalities: what each case must have, in any spelling; None takes all.
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

    def __post_init__(self) -> None:
        if self.modalities is not None:
            names = tuple(map(canonical_modality, _names(self.modalities)))
            object.__setattr__(self, "modalities", names)
        object.__setattr__(self, "leave_out", _names(self.leave_out))


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def find_all(paths: Paths, selection: Selection = Selection()) -> Cohort:
    """The cases of one or several paths, with names that differ, less those to leave out.

    Returns:
        A cohort whose root is the first path. Of several paths, one without a usable case is in
        ``incomplete`` under its own name, as is every case that lacks a modality.

    Raises:
        InputError: there is no case, two have one name, or a case to leave out is not there.
    """
    cohorts, unusable = _read(as_paths(paths), selection)
    (cohort,) = without([_joined(cohorts)], selection.leave_out)
    return replace(cohort, incomplete={**unusable, **cohort.incomplete})


def without(cohorts: Sequence[Cohort], names: Sequence[str]) -> list[Cohort]:
    """Cohorts without some cases.

    Raises:
        InputError: a name is in none of them, or nothing is left of one.
    """
    there = {case.name for cohort in cohorts for case in cohort.cases}
    if unknown := sorted(set(names) - there):
        raise InputError(f"--leave-out {unknown[0]}: no case of that name in {cohorts[0].root}")
    return [_without(cohort, names) for cohort in cohorts]


def _without(cohort: Cohort, names: Sequence[str]) -> Cohort:
    kept = tuple(case for case in cohort.cases if case.name not in names)
    if not kept:
        raise InputError(f"{cohort.root}: every case is left out; leave out fewer")
    return replace(cohort, cases=kept)


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


def _read(paths: Sequence[Path], selection: Selection) -> tuple[list[Cohort], dict[str, str]]:
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
