"""Paths to one cohort, by what a user says of the cases: the finder of the commands."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.cases.case import Case, Cohort
from pipeline.cases.find import find_cases, notes_of_capitals
from pipeline.cases.layouts.names import canonical_modality
from pipeline.errors import InputError, NamelessError, reason_of

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
        overrule: a single file is of the one modality given, whatever its name says.
    """

    modalities: tuple[str, ...] | None = None
    healthy: bool | None = None
    section: str | None = None
    label_scheme: str | None = None
    leave_out: tuple[str, ...] = ()
    overrule: bool = False

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
    cases = _by_name(cohorts)
    notes = [note for cohort in cohorts for note in cohort.notes]
    return Cohort(
        root=cohorts[0].root,
        cases=tuple(cases.values()),
        left_out={path: why for cohort in cohorts for path, why in cohort.left_out.items()},
        layout=", ".join(dict.fromkeys(cohort.layout for cohort in cohorts)),
        notes=tuple(dict.fromkeys([*notes, *notes_of_capitals(cases.values())])),
        incomplete=_incomplete(cohorts, {case.name for case in cases.values()}),
    )


def _incomplete(cohorts: Sequence[Cohort], taken: set[str]) -> dict[str, str]:
    """Reasons by name, and by root and name where that is another's too."""
    counts = Counter(name for cohort in cohorts for name in cohort.incomplete)
    return {
        name if counts[name] == 1 and name not in taken else f"{cohort.root}: {name}": reason
        for cohort in cohorts
        for name, reason in cohort.incomplete.items()
    }


def _by_name(cohorts: Sequence[Cohort]) -> dict[str, Case]:
    """The cases of several cohorts, each once though two paths lead to it; errors as `find_all`."""
    found: dict[str, Case] = {}
    for cohort in cohorts:
        for case in cohort.cases:
            other = found.setdefault(case.name, case)
            if _places(other) != _places(case):
                one, another = sorted((_places(other)[0], _places(case)[0]))
                raise InputError(
                    f"{another}: a case named {case.name!r} was already found elsewhere, as {one}; "
                    "give the folders in separate commands, or rename one"
                )
    return found


def _places(case: Case) -> list[str]:
    """Of the images, sorted, links followed."""
    return sorted(os.path.realpath(file.path) for file in case.images.values())


def _read(paths: Sequence[Path], selection: Selection) -> tuple[list[Cohort], dict[str, str]]:
    """The cohorts of the paths, and the path -> reason of those that hold nothing."""
    cohorts: list[Cohort] = []
    unusable: dict[str, str] = {}
    nameless: list[Path] = []
    for path in paths:
        try:
            cohort = find_cases(
                path,
                modalities=selection.modalities,
                healthy=selection.healthy,
                section=selection.section,
                label_scheme=selection.label_scheme,
                overrule=selection.overrule,
            )
        except Exception as error:  # whatever it is, it does not stop the other paths
            if len(paths) == 1:
                raise
            unusable[str(path)] = reason_of(error)
            nameless += error.paths if isinstance(error, NamelessError) else ()
        else:
            cohorts.append(cohort)
    if not cohorts:
        message = next(iter(unusable.values()), "no path is given")
        raise NamelessError(message, nameless) if nameless else InputError(message)
    return cohorts, unusable
