"""What all records share: read with one line of refusal, written whole, versioned."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import InputError, LaterVersionError
from pipeline.files.limits import MAX_QUOTED, MAX_RECORD_BYTES
from pipeline.files.strict_json import parse_json, read_text
from pipeline.files.texts import brief, cut, quoted
from pipeline.files.writing import write_text


class Record(BaseModel):
    """A part of a file: frozen, its keys known, its values of the stated types.

    Numbers that JSON cannot hold are written, and read, as null. The docstring of each field is
    what ``docs/records.md`` and the schemas say of it.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="null", use_attribute_docstrings=True
    )

    def to_json(self) -> dict[str, Any]:
        """Plain values as they are written."""
        return dict(json.loads(self.model_dump_json(by_alias=True)))


class FileRecord(Record):
    """A whole file; a subclass gives its version and knows the former ones."""

    FILE: ClassVar[str]
    """Name of such a file."""
    WHAT: ClassVar[str]
    """What it is, for messages."""

    INDENT: ClassVar[int | None] = 1
    """Of the text; None where nobody reads the numbers."""

    schema_version: int
    """Of the layout of the file; 1 where a file does not say it."""

    @classmethod
    def version(cls) -> int:
        """Of the files that are written now."""
        return int(cls.model_fields["schema_version"].default)

    @classmethod
    def migrate(cls, tree: dict[str, Any], version: int) -> dict[str, Any]:
        """The content of a file of a former version as that of today; by default the same keys.

        Raises:
            ValueError: it is no such content.
        """
        return tree

    @classmethod
    def parse(cls, text: str, source: Path) -> Self:
        """The record that a text holds.

        Raises:
            InputError: it is no JSON object, of a later version, or not such a record.
        """
        try:
            tree = parse_json(text)
            version = _version_of(tree)
            if version <= cls.version():
                current = {**cls.migrate(tree, version), "schema_version": cls.version()}
                return cls.model_validate_json(json.dumps(current), strict=True)
        except ValidationError as error:
            reason = _first(error)
        except ValueError as error:
            reason = brief(error)
        else:
            raise LaterVersionError(
                f"{source}: {cls.WHAT} of version {version}; this anomap reads up to version "
                f"{cls.version()}: use a later one"
            )
        raise InputError(f"{source}: not {cls.WHAT} ({reason}); delete or redo it")

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record of a file.

        Raises:
            InputError: it is missing or not such a record.
        """
        try:
            text = read_text(path, MAX_RECORD_BYTES)
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such file; expected {cls.WHAT}") from error
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: not {cls.WHAT} ({brief(error)}); delete or redo it"
            ) from error
        return cls.parse(text, path)

    @classmethod
    def of(cls, folder: Path) -> Self | None:
        """That of a folder, under its usual name; None where there is none.

        Raises:
            InputError: there is one that cannot be read.
        """
        path = folder / cls.FILE
        return cls.read(path) if path.exists() else None

    def text(self) -> str:
        """The content of the file."""
        return (
            json.dumps(self.to_json(), indent=self.INDENT, ensure_ascii=False, allow_nan=False)
            + "\n"
        )

    def write(self, path: Path) -> None:
        """Write the file whole, or not at all.

        Raises:
            InputError: the folder cannot be written to.
        """
        write_text(path, self.text())


def checked_rates(values: dict[str, float]) -> dict[str, float]:
    """Values by a rate that is written as ``%g`` writes it; a lower rate has no lower value.

    Raises:
        ValueError: a key is no rate between 0 and 1, or a value is not finite, or lower than that
            of a higher rate.
    """
    checked = {}
    for key, value in values.items():
        rate = float(key)
        if not 0 < rate < 1 or not math.isfinite(value):
            raise ValueError(
                f"expected rates between 0 and 1 with finite values, got {quoted(key)}: {value}"
            )
        checked[f"{rate:g}"] = value
    for low, high in itertools.pairwise(sorted(checked, key=float)):
        if checked[low] < checked[high]:
            raise ValueError(
                f"expected a value of {low} that is not below that of {high}, got "
                f"{checked[low]:g} and {checked[high]:g}"
            )
    return checked


def _version_of(tree: Any) -> int:
    """What the content of a file says of its version.

    Raises:
        ValueError: it is no content of a record.
    """
    if not isinstance(tree, dict):
        raise ValueError(f"expected a JSON object, got {type(tree).__name__}")
    version = tree.get("schema_version", 1)
    if type(version) is not int or version < 1:
        raise ValueError(f"schema_version: expected a whole number from 1, got {quoted(version)}")
    return version


def _first(error: ValidationError) -> str:
    """The first of the faults, as where and what."""
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or "the whole"
    message = str(fault["msg"])
    given = fault.get("input")
    if fault["type"] not in ("missing", "extra_forbidden") and not isinstance(given, dict | list):
        message += f", got {quoted(given)}"
    return brief(f"{cut(where, MAX_QUOTED)}: {message[0].lower()}{message[1:]}")
