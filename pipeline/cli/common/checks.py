"""What is seen at once in arguments, before anything slow is imported."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from pipeline import entry_points
from pipeline.cli.common.parsers import meant, names_of
from pipeline.errors import InputError
from pipeline.files.folder.ownership import claim
from pipeline.files.paths import located
from pipeline.files.texts import quoted
from pipeline.run.words import (
    FALSE_POSITIVE_RATES,
    GROUPS,
    METHODS,
    NAMED,
    SHIPPED,
    STEPS,
    no_weights_for,
)


def check_there(paths: list[Path]) -> None:
    """See at once, before anything slow is imported, that one of the paths is there, and not empty.

    Raises:
        InputError: none is.
    """
    there = [path for path in paths if _may_be_there(path)]
    if paths and not there:
        raise InputError(f"{paths[0]}: no such file or folder")
    if there and not any(map(_may_hold_files, there)):
        raise InputError(f"{there[0]}: an empty folder; there is no file in it")


def _may_hold_files(path: Path) -> bool:
    """Whether it is a file, or there is one at any depth below it; links may lead to some."""
    root = located(path)
    return not root.is_dir() or any(
        files or any((Path(folder) / name).is_symlink() for name in folders)
        for folder, folders, files in os.walk(root)
    )


def check_model(model: Path | None, option: str = "--model ") -> None:
    """See that ``--model`` is there, or a name of weights that come with anomap.

    Raises:
        InputError: it is not.
    """
    if model is None or str(model).lower() in NAMED or _may_be_there(model):
        return
    raise InputError(
        f"{option}{model}: no such run or bundle{meant(str(model).lower(), NAMED)}; expected a "
        f"folder, a zipped bundle, or {', '.join(NAMED)}"
    )


def _check_weights(modalities: Sequence[str] | None) -> None:
    """See that weights come with anomap for one of the modalities that a user names.

    Raises:
        InputError: there are none.
    """
    if modalities and not set(modalities) & set(SHIPPED):
        raise InputError(no_weights_for(modalities))


def check_detection(arguments: argparse.Namespace) -> None:
    """See that weights and threshold that a detection is asked for are there.

    Raises:
        InputError: they are not.
    """
    check_model(arguments.model)
    if arguments.model is None:
        _check_weights(arguments.modality)
    check_rate(arguments.false_positive_rate)


def check_rate(rate: float | None) -> None:
    """See that a false-positive rate is one that is calibrated.

    Raises:
        InputError: it is not.
    """
    low, high = min(FALSE_POSITIVE_RATES), max(FALSE_POSITIVE_RATES)
    if rate is not None and not low <= rate <= high:
        raise InputError(
            f"a false-positive rate between {low:g} and {high:g} is calibrated; got {rate:g}"
        )


def check_methods(text: str | None) -> None:
    """See that the methods of ``--methods`` are known, or are functions of one's own.

    Raises:
        InputError: one is not.
    """
    if text is None or text.strip() in GROUPS:
        return
    known = (*METHODS, *STEPS, *entry_points.names_of_group(entry_points.METHODS))
    for word in names_of(text):
        if word.removesuffix("_raw") in known or entry_points.is_path_of_object(word):
            continue
        raise InputError(
            f"no method is called {quoted(word)}{meant(word, known)}; there are "
            f"{', '.join(known)}, and functions of your own as package.module:function"
        )


def check_out(*folders: Path) -> None:
    """See that folders for results can be written to, before anything slow is imported.

    Raises:
        InputError: one cannot.
    """
    for folder in folders:
        claim(folder)


def _may_be_there(path: Path) -> bool:
    try:
        return located(path).exists()
    except OSError:  # that reading it will name
        return True
