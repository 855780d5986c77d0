"""What other packages add by entry points, and functions that are named ``module:name``."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, reason_of
from pipeline.files.texts import quoted

NOISES, METHODS = "anomap.noises", "anomap.methods"
"""Groups of entry points."""


def names_of_group(group: str) -> tuple[str, ...]:
    """Names that installed packages add to a group; nothing of theirs is imported."""
    return tuple(sorted({entry.name for entry in importlib.metadata.entry_points(group=group)}))


def load_of_group(group: str, name: str) -> Any:
    """What an installed package adds to a group under a name; None where none does.

    Raises:
        InputError: it cannot be imported, or two packages add the name.
    """
    entries = {entry.value: entry for entry in importlib.metadata.entry_points(group=group)
               if entry.name == name}  # fmt: skip
    if not entries:
        return None
    if len(entries) > 1:
        places = ", ".join(sorted(entries))
        raise InputError(f"{quoted(name)} is added to {group} twice: {places}; uninstall one")
    ((value, entry),) = entries.items()
    try:
        return entry.load()
    except Exception as error:  # whatever another package raises when it is imported
        raise InputError(
            f"{group}: {name} = {value} cannot be loaded: {reason_of(error)}"
        ) from error


def is_path_of_object(text: str) -> bool:
    """Whether a text may be ``package.module:name``."""
    module, colon, name = text.partition(":")
    words = [*module.split("."), *name.split(".")]
    return bool(colon) and all(word.isidentifier() for word in words)


def load_object(text: str) -> Any:
    """What ``package.module:name`` names; modules of the current folder are found too.

    Raises:
        InputError: it cannot be imported, or holds no such name.
    """
    module_name, _, path = text.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found = importlib.import_module(module_name)
        for name in path.split("."):
            found = getattr(found, name)
    except Exception as error:  # whatever the module raises
        raise InputError(f"{text}: cannot be loaded: {reason_of(error)}") from error
    finally:
        sys.path.remove(here)
    return found
