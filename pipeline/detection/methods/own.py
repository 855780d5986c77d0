"""Methods of one's own: a function of the slices, in the same tables as the others."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pipeline import entry_points
from pipeline.cases.grid import Grid
from pipeline.detection.case_work import CaseWork
from pipeline.detection.methods.kinds import RAW, PlainMethod
from pipeline.detection.methods.table import METHODS, RAW_METHODS, fixed, raw_of
from pipeline.errors import InputError, reason_of
from pipeline.files.texts import quoted
from pipeline.maps.scoring import Factor
from pipeline.run.model import Model

MapMaker = Callable[[Tensor, Tensor, Grid], Tensor]
"""``(slices, brain, grid) -> map``: ``(N, C, H, W)`` float32 in [-1, 1], background -1; ``(N, 1, H,
W)`` bool; the working grid; and a map ``(N, 1, H, W)``, finite, 0 or more, higher = more anomalous.
"""


def register_method(name: str, function: MapMaker, summary: str = "") -> None:
    """Make a method known to `benchmark` under a name, and ``<name>_raw`` beside it.

    It gets what every method gets: the same cases, grid, brain and noise seed, the steps that all
    share (filter, level of the case ...; not the raw one), thresholds from healthy people, and
    intervals.

    Args:
        name: letters, digits and ``_``; none of a method that is there already.
        function: see `MapMaker`.
        summary: a line for tables; "" takes the first of its docstring.

    Raises:
        InputError: the name is taken or cannot stand in one of a folder, or it is no function.
    """
    if not callable(function):
        raise InputError(f"method {quoted(name)}: expected a function, got {function!r}")
    if not name.isidentifier() or not name.isascii():
        raise InputError(f"method {quoted(name)}: expected letters, digits and _")
    if name in METHODS and _identity(function) != getattr(METHODS[name], "identity", ()):
        raise InputError(f"there is a method called {quoted(name)} already; take another name")
    said = summary or (inspect.getdoc(function) or name).splitlines()[0]
    method = PlainMethod(
        partial(fixed, RAW),
        said,
        further=partial(_mapped, name, function),
        identity=_identity(function),
        by_default=False,
    )
    METHODS[name] = method
    METHODS[f"{name}_raw"] = RAW_METHODS[f"{name}_raw"] = raw_of(method)


def known_method(word: str) -> str:
    """The name of a method that a user asks for, registered if it is one of their own.

    Args:
        word: a name of `METHODS`, of an entry point in the group ``anomap.methods``, or
            ``package.module:function``.

    Raises:
        InputError: there is none.
    """
    if word in METHODS:
        return word
    if entry_points.is_path_of_object(word):
        name = word.rpartition(":")[2].rpartition(".")[2]
        register_method(name, entry_points.load_object(word))
        return name
    plain = word.removesuffix("_raw")
    if (function := entry_points.load_of_group(entry_points.METHODS, plain)) is not None:
        register_method(plain, function)
        return word
    names = (*METHODS, *entry_points.names_of_group(entry_points.METHODS))
    raise InputError(
        f"no method is called {quoted(word)}; there are {', '.join(names)}, and functions of your "
        "own as package.module:function"
    )


def _identity(function: MapMaker) -> tuple[tuple[str, str], ...]:
    """What tells one function from another, for records: its name, and its source where known."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = repr(type(function))
    module = getattr(function, "__module__", "")
    named = f"{module}:{getattr(function, '__qualname__', type(function).__qualname__)}"
    digest = hashlib.sha256(source.encode()).hexdigest()
    return (("function", named), ("source_sha256", digest))


def _mapped(
    name: str, function: MapMaker, work: CaseWork, model: Model | None
) -> tuple[Factor, None]:
    """The factor of a function's map.

    Raises:
        InputError: it fails, or what it returns is no map.
    """
    prepared = work.prepared
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # Copies: what one method changes in place is not what the next one sees.
            made: Any = function(prepared.slices.clone(), prepared.brain.clone(), prepared.grid)
            anomaly_map = torch.as_tensor(made).detach().cpu().float()
        except Exception as error:  # whatever the function raises
            raise InputError(f"method {name}: failed, {reason_of(error)}") from error
    if anomaly_map.shape != prepared.brain.shape:
        raise InputError(
            f"method {name}: returned {tuple(anomaly_map.shape)}; expected a map "
            f"{tuple(prepared.brain.shape)} (N, 1, H, W)"
        )
    inside = anomaly_map[prepared.brain]
    if not torch.isfinite(inside).all() or bool((inside < 0).any()):
        raise InputError(f"method {name}: its map is below 0 or not a number within the brain")
    return Factor(torch.where(prepared.brain, anomaly_map, 0.0), 1.0, 0.0), None
