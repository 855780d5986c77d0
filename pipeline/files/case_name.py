"""What a case may be called: its name becomes that of a folder, and stands in tables and pages."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Self

from pipeline.errors import InputError, printable

MAX_BYTES = 200
"""Of a name in UTF-8: file systems take 255, and temporary files have longer names."""

_REFUSED = {"Cc", "Zl", "Zp"}
_TURNS_TEXT = {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}


class CaseName(str):
    """A name that is fit for a folder: a `str` that was checked once.

    Raises:
        InputError: it is empty, hidden, too long, no text, or would lead to another folder.
    """

    __slots__ = ()

    def __new__(cls, name: str) -> Self:
        """The same text, checked; a `CaseName` is taken as it is."""
        if type(name) is not cls and (fault := _fault_of(name)) is not None:
            raise InputError(f"the name '{printable(name)[:80]}' {fault}")
        return super().__new__(cls, name)


def case_folder(folder: Path, name: str) -> Path:
    """The folder of a case, or of a method: always directly in ``folder``.

    Raises:
        InputError: see `CaseName`.
    """
    return folder / CaseName(name)


def checked_subject(name: str) -> str:
    """A subject's name, which stands in files but is none of a folder; "" is nobody's.

    Raises:
        InputError: it is too long or no text.
    """
    if name and (fault := _fault_of_text(name)) is not None:
        raise InputError(f"the subject '{printable(name)[:80]}' {fault}")
    return name


def folder_key(name: str) -> str:
    """What two names have in common that are one folder on some file systems."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _fault_of(name: str) -> str | None:
    """Why a name cannot be that of a folder; None where it can."""
    if not name.strip():
        return "is empty; give the case another"
    if (fault := _fault_of_text(name)) is not None:
        return fault
    if "/" in name or "\\" in name:
        return "has a separator of folders in it; give the case another"
    if name.startswith(".") or name != name.strip():
        return "begins with a dot, or begins or ends with a space; give the case another"
    return None


def _fault_of_text(name: str) -> str | None:
    """Why a name cannot stand in a file or a table; None where it can."""
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        return "is not UTF-8; rename it"
    if len(encoded) > MAX_BYTES:
        return f"has {len(encoded)} bytes, more than {MAX_BYTES}; shorten it"
    if any(unicodedata.category(c) in _REFUSED or c in _TURNS_TEXT for c in name):
        return "has a character in it that cannot be seen; rename it"
    return None
