"""Which methods are run: those that are asked for and can be computed with the runs at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from pipeline.detection.methods.kinds import FINISH
from pipeline.detection.methods.own import known_method
from pipeline.detection.methods.table import LADDER, METHODS, RAW_METHODS
from pipeline.run.model import Model

_STEPS = LADDER[:-1]


def select_methods(asked: str | Sequence[str] | None) -> list[str]:
    """Method names from what a user asks for: None (the default ones), "all", "ladder", or names.

    "raw": the default ones without the steps that all methods share.

    Raises:
        InputError: an unknown name.
    """
    if asked is None:
        return _default()
    words = asked.split(",") if isinstance(asked, str) else asked
    names = [word.strip() for word in words]
    if len(names) == 1 and (group := _group(names[0])):
        return group
    return [known_method(name) for name in names]


def _default() -> list[str]:
    return [name for name, method in METHODS.items() if method.by_default]


def _group(name: str) -> list[str]:
    """The methods of a word for several; none of any other word."""
    if name == "all":
        return [name for name in METHODS if name not in {*_STEPS, *RAW_METHODS}]
    if name == "raw":
        return [f"{one}_raw" for one in _default()]
    return list(LADDER) if name == "ladder" else []


def runnable(names: Sequence[str], models: Mapping[str, Model]) -> tuple[list[str], dict[str, str]]:
    """The methods whose network is at hand, and name -> reason for the others.

    Args:
        models: by the noise they were trained with.
    """
    ready, left_out = [], {}
    for name in names:
        if (reason := METHODS[name].missing(models)) is not None:
            left_out[name] = reason
        elif name in _STEPS and _changes_nothing(name, models):
            left_out[name] = "changes nothing in the recipe of this run"
        else:
            ready.append(name)
    return ready, left_out


def _changes_nothing(step: str, models: Mapping[str, Model]) -> bool:
    """Whether the recipe of a run is the same with a step of the ladder as without."""
    if (place := LADDER.index(step)) == 0:
        return False
    full = (models.get("simplex") or next(iter(models.values()))).config.detection
    here, before = (METHODS[LADDER[i]].recipe(full) for i in (place, place - 1))
    powers = [f.name for f in fields(full) if f.name.endswith("_power")]
    return all(getattr(here, key) == getattr(before, key) for key in (*powers, *FINISH))
