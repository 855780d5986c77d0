"""The cases that a user means, and what is said about those that are not used."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.cases.case import Case, Cohort
from pipeline.cases.layouts.names import PICTURE
from pipeline.cases.several import Paths, Selection, as_paths, find_all
from pipeline.cases.splits import healthy_for_training
from pipeline.errors import InputError

logger = logging.getLogger(__name__)

MAX_ALIKE = 5
"""So many cases that are not used for one reason are named."""


def find_said(paths: Paths, selection: Selection) -> Cohort:
    """As `find_all`; what was assumed and what cannot be used is logged, before any long work."""
    cohort = find_all(paths, selection)
    for note in cohort.notes:
        logger.warning("note: %s", note)
    say_unused(cohort.incomplete.items())
    return cohort


def with_modality(paths: Paths, selection: Selection, advice: str) -> Selection:
    """A selection with modalities: of pictures of which no name says one, that of pictures.

    Args:
        paths: where the cases are.
        selection: with modalities or not.
        advice: what to do where none is named and there are other images.

    Raises:
        InputError: no modality is named, and there are others than such pictures.
    """
    if selection.modalities:
        return selection
    cases = find_all(paths, selection).cases
    if any(set(case.images) != {PICTURE} for case in cases):
        raise InputError(advice)
    return replace(selection, modalities=(PICTURE,))


def find_healthy(paths: Paths, selection: Selection) -> list[Case]:
    """The cases that a model may learn from; why the others may not is logged.

    Raises:
        InputError: none is left.
    """
    return healthy_of(find_said(paths, selection))


def healthy_of(cohort: Cohort) -> list[Case]:
    """Those of a cohort that a model may learn from; why the others may not is logged.

    Raises:
        InputError: none is left.
    """
    healthy, refused = healthy_for_training(cohort)
    say_unused(refused.items())
    return healthy


def find_beside(paths: Paths, selection: Selection) -> Cohort:
    """Further cases beside those that a selection is about, by the same modalities and words.

    The section is that of datalists among the paths; names to leave out are not looked for.
    """
    wanted = as_paths(paths)
    lists = all(path.suffix.lower() == ".json" for path in wanted)
    section = selection.section if lists else None
    return find_said(wanted, replace(selection, section=section, leave_out=()))


def say_unused(reasons: Iterable[tuple[str, str]]) -> None:
    """Log the cases that are not used, a line each; of many with one reason the first few."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name, reason in reasons:
        alike[reason].append(name)
    for reason, names in alike.items():
        for name in names[:MAX_ALIKE]:
            logger.warning("not used: %s", reason if name in reason else f"{name}: {reason}")
        if (n_more := len(names) - MAX_ALIKE) > 0:
            logger.warning("not used: and %d more: %s", n_more, reason)


def check_modalities(selection: Selection, modalities: Sequence[str], run: Path) -> None:
    """See that a run was trained on the modalities that are asked for, if any are.

    Raises:
        InputError: it was not.
    """
    if selection.modalities is not None and selection.modalities != tuple(modalities):
        trained, asked = ", ".join(modalities), ", ".join(selection.modalities)
        raise InputError(f"{run}: trained on {trained}, but {asked} is asked for")
