"""Which methods are run: those that are asked for and can be computed with the runs at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.detection.methods import LADDER, METHODS, NETWORK_METHODS
from pipeline.errors import InputError
from pipeline.run.model import Model

_STEPS = LADDER[1:-1]


def select_methods(asked: str | Sequence[str] | None) -> list[str]:
    """Method names from what a user asks for: None (the default ones), "all", "ladder", or names.

    Raises:
        InputError: an unknown name.
    """
    if asked is None:
        return [name for name, method in METHODS.items() if method.by_default]
    words = asked.split(",") if isinstance(asked, str) else asked
    names = [word.strip() for word in words]
    if names == ["all"]:
        return [name for name in METHODS if name not in _STEPS]
    if names == ["ladder"]:
        return list(LADDER)
    _check_known(names)
    return names


def _check_known(names: Sequence[str]) -> None:
    for name in names:
        if name not in METHODS:
            raise InputError(f"no method is called {name!r}; there are {', '.join(METHODS)}")


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
    here = NETWORK_METHODS[step]
    before = NETWORK_METHODS[LADDER[LADDER.index(step) - 1]]
    full = models[here.noise].config.detection
    return here.recipe(full) == before.recipe(full)
