"""What is known of the files that anomap writes as JSON: a page for people, schemas for programs.

``python docs/make_records.py`` writes ``docs/records.md`` and the JSON Schemas that ship with the
package anew, from the fields of `pipeline.files.record` and their docstrings.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

import pipeline.files.record
from pipeline.files.record.base import FileRecord, Record

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "records.md"
SCHEMAS = ROOT / "pipeline" / "files" / "record" / "schemas"
WORDS = {
    **{str: "text", int: "whole number", float: "number", bool: "true or false"},
    **{type(None): "null", Any: "anything"},
}
INTRODUCTION = """# Files that are written

<!-- Made by `python docs/make_records.py` from the fields of `pipeline.files.record`. -->

The JSON files of results, scores and runs, key by key. Each holds its version (`schema_version`)
and is checked when it is read: one of a later version, a torn one and one of something else are
refused with a line that says why. Files of former versions are read as today's. Numbers that JSON
cannot hold (NaN) are null.

For programs each file has a JSON Schema of its present version, which comes with the package:

```python
from importlib.resources import files

schema = files("pipeline.files.record") / "schemas" / "result.schema.json"
```

The settings of a run are no record: they stand in its `config.yaml`, each under its name.
"""
MUST = "must be there"


def file_records() -> list[type[FileRecord]]:
    """The files, in the order of their names."""
    package = pipeline.files.record
    found = set()
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for _, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(value, FileRecord) and value is not FileRecord:
                found.add(value)
    return sorted(found, key=lambda record: record.FILE)


# --- schemas --------------------------------------------------------------------------------------


def schema_path(record: type[FileRecord]) -> Path:
    """Where the schema of a file lies."""
    return SCHEMAS / f"{Path(record.FILE).stem}.schema.json"


def schema_text(record: type[FileRecord]) -> str:
    """The JSON Schema of a file as it is written now."""
    tree = record.model_json_schema()
    tree["properties"]["schema_version"]["const"] = record.version()
    head = {"$schema": GenerateJsonSchema.schema_dialect}
    tree = head | _readable(tree) | {"title": record.FILE}
    return json.dumps(tree, indent=1, ensure_ascii=False) + "\n"


def _readable(tree: Any) -> Any:
    """A schema without titles, which only repeat the names of fields; descriptions on one line."""
    if isinstance(tree, list):
        return [_readable(one) for one in tree]
    if not isinstance(tree, dict):
        return tree
    shown = {}
    for key, value in tree.items():
        if key == "description" and isinstance(value, str):
            shown[key] = _markdown(value)
        elif not (key == "title" and isinstance(value, str)):
            shown[key] = _readable(value)
    return shown


# --- the page -------------------------------------------------------------------------------------


def page() -> str:
    """``docs/records.md``."""
    records = file_records()
    rows = [f"| [`{one.FILE}`](#{_anchor(one.FILE)}) | {_sentence(one)} |" for one in records]
    parts = [INTRODUCTION, "\n".join(["| file | what it is |", "|---|---|", *rows]) + "\n"]
    shown: set[type[Record]] = set()
    for record in records:
        schema = schema_path(record).relative_to(ROOT).as_posix()
        parts.append(f"## {record.FILE}\n\nVersion {record.version()}; schema: `{schema}`.\n")
        parts.append(_described(record))
        for part in nested(record):
            if part not in shown:
                shown.add(part)
                parts.append(f"### {part.__name__}\n\n{_described(part)}")
    return "\n".join(parts)


def _described(record: type[Record]) -> str:
    """Docstring and fields of a record as markdown."""
    rows = ["| key | value | if missing | meaning |", "|---|---|---|---|"]
    for name, field in record.model_fields.items():
        meaning = _markdown(field.description or "")
        rows.append(f"| `{name}` | {_words(field.annotation)} | {_default(field)} | {meaning} |")
    if (further := _further(record)) is not None:
        rows.append(f"| any other | {_words(further)} | - | see above |")
    return _markdown(inspect.getdoc(record) or "", lines=True) + "\n\n" + "\n".join(rows) + "\n"


def _further(record: type[Record]) -> Any:
    """The type of the values of keys that have no field; None where there are none."""
    if record.model_config.get("extra") != "allow":
        return None
    return get_args(inspect.get_annotations(record, eval_str=True)["__pydantic_extra__"])[1]


def nested(record: type[Record]) -> Iterator[type[Record]]:
    """The records in a record, those of its fields first, each once."""
    waiting: list[type[Record]] = [record]
    seen: set[type[Record]] = set()
    while waiting:
        current = waiting.pop(0)
        types_ = [field.annotation for field in current.model_fields.values()]
        for inside in _records_of((*types_, _further(current))):
            if inside not in seen:
                seen.add(inside)
                waiting.append(inside)
                yield inside


def _records_of(annotations: tuple[Any, ...]) -> Iterator[type[Record]]:
    for annotation in annotations:
        if inspect.isclass(annotation) and issubclass(annotation, Record):
            yield annotation
        yield from _records_of(get_args(annotation))


def _words(annotation: Any) -> str:
    """A type for people who know JSON."""
    if annotation in WORDS:
        return WORDS[annotation]
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is None:
        return f"[{annotation.__name__}](#{_anchor(annotation.__name__)})"
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in inside)
    if origin is dict:
        return f"object: name to {_words(inside[1])}"
    if origin is tuple:
        return _list_in_words(inside)
    return _union_in_words(inside)


def _union_in_words(inside: tuple[Any, ...]) -> str:
    """One of several; a number may be whole."""
    kept = [one for one in inside if one is not int or float not in inside]
    return " or ".join(_words(one) for one in kept)


def _list_in_words(inside: tuple[Any, ...]) -> str:
    """A list of any length, or one of a place for each type."""
    if inside[-1] is Ellipsis:
        return f"list of {_words(inside[0])}"
    return f"[{', '.join(_words(one) for one in inside)}]"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return MUST
    value = field.get_default(call_default_factory=True)
    return f"`{json.dumps(value)}`"


def _sentence(record: type[Record]) -> str:
    return _markdown((inspect.getdoc(record) or "").splitlines()[0])


def _markdown(text: str, *, lines: bool = False) -> str:
    """A docstring as markdown; on one line, as cells of a table must be, or as it is."""
    text = text.replace("``", "`")
    return text if lines else " ".join(text.split()).replace("|", "\\|")


def _anchor(heading: str) -> str:
    """As both GitHub and the site make it of a heading."""
    return heading.lower().replace(".", "")


# --- both -----------------------------------------------------------------------------------------


def written() -> dict[Path, str]:
    """Every file that is made here, with its content."""
    schemas = {schema_path(record): schema_text(record) for record in file_records()}
    return {PAGE: page(), **schemas}


def main() -> None:
    """Write all, and delete schemas of files that are written no more."""
    made = written()
    SCHEMAS.mkdir(exist_ok=True)
    for path in SCHEMAS.glob("*.schema.json"):
        if path not in made:
            path.unlink()
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
