"""A path as somebody gives it, to one that names what it leads to."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import InputError, printable


def located(path: Path | str, base: Path | None = None) -> Path:
    """An absolute path without ``..``, ``.`` and ``~``; links keep their own names.

    Args:
        path: as somebody gives it.
        base: that a relative one starts from; None is the working directory.

    Raises:
        InputError: it is not UTF-8, or has a zero byte in it.
    """
    whole = _of_home(Path(path))
    if not whole.is_absolute():
        whole = (working_directory() if base is None else base) / whole
    checked_path(whole)
    parts = whole.parts
    if ".." not in parts:
        return whole
    # What stands above a ".." may be a link: its target is what the ".." is of.
    last = len(parts) - parts[::-1].index("..")
    return Path(os.path.realpath(Path(*parts[:last])), *parts[last:])


def is_file(path: Path) -> bool:
    """Whether a file is there, or a link to one; False where nobody can know."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, a folder that may not be entered
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder is there, or a link to one; False where nobody can know."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _of_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # there is no such user
        return path


def working_directory() -> Path:
    """Where relative paths start from.

    Raises:
        InputError: it was removed.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise InputError(f"the working directory is gone ({error.strerror})") from error


def checked_path(path: Path) -> Path:
    """The same path, which records and messages can hold.

    Raises:
        InputError: it is not UTF-8, or has a zero byte in it.
    """
    text = str(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{printable(text)}: the name of the file, or of a folder above it, is not UTF-8; "
            "rename it"
        ) from error
    if "\0" in text:
        raise InputError(f"{printable(text)}: a path cannot have a zero byte in it")
    return path
