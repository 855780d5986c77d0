"""A configuration as plain values and as YAML, and changes of it by dotted names."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import InputError
from pipeline.files.limits import MAX_CONFIG_BYTES
from pipeline.files.strict_json import read_text
from pipeline.files.texts import quoted
from pipeline.run.config import RunConfig
from pipeline.run.strict_yaml import parse_yaml


def override(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """A copy with some values changed; keys are dotted, as ``training.epochs``.

    Raises:
        InputError: an unknown key, or a value of the wrong type.
    """
    tree = to_dict(config)
    node: Any
    for dotted, value in values.items():
        *parents, last = dotted.split(".")
        node = tree
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if not isinstance(node, dict) or (
            last not in node and parents[-1:] != ["noise_parameters"]
        ):
            raise InputError(
                f"there is no setting {quoted(dotted)}; `config.yaml` of a run lists all"
            )
        node[last] = value
    return from_dict(tree)


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Nested dictionaries of plain values, for YAML."""
    return typing.cast(dict[str, Any], _plain(dataclasses.asdict(config)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def from_dict(tree: object, source: str = "config") -> RunConfig:
    """The record of nested dictionaries.

    Raises:
        InputError: an unknown or mistyped value; the message names ``source``.
    """
    return typing.cast(RunConfig, _build(RunConfig, tree, source))


def _build(kind: type, tree: Any, where: str) -> Any:
    if not isinstance(tree, dict):
        raise InputError(f"{where}: expected a table of settings, got {quoted(tree)}")
    hints = typing.get_type_hints(kind)
    unknown = sorted(str(name) for name in set(tree) - set(hints))
    if unknown:
        raise InputError(
            f"{where}: unknown setting {quoted(unknown[0])}; known: {', '.join(hints)}"
        )
    values = {
        name: _convert(hints[name], value, f"{where}: {name}") for name, value in tree.items()
    }
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, where)
    if isinstance(hint, types.UnionType):
        return None if value is None else _convert(_beside_none(hint), value, where)
    origin = typing.get_origin(hint)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(typing.get_args(hint)[0], item, where) for item in value)
    if origin is dict and isinstance(value, dict):
        return dict(value)
    return _scalar(hint, value, where)


def _beside_none(hint: types.UnionType) -> Any:
    """The type of what may also be None."""
    return next(part for part in typing.get_args(hint) if part is not type(None))


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and (number := _number(value)) is not None:
        return number
    if hint in (int, str, bool) and type(value) is hint:
        return value
    raise InputError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {quoted(value)}")


def _number(value: object) -> float | None:
    """A real number, or text of one, since YAML 1.1 reads 5e-4 as text; None for all else."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    return None


def differences(a: RunConfig, b: RunConfig) -> list[str]:
    """Dotted keys of the settings in which two configurations differ, with both values."""
    old, new = _flat(to_dict(a)), _flat(to_dict(b))
    changed = sorted(key for key in old | new if old.get(key) != new.get(key))
    return [f"{key} ({old.get(key)}, now {new.get(key)})" for key in changed]


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in tree.items():
        nested = _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {}
        result |= nested or {prefix + key: value}
    return result


def load_config(path: Path) -> RunConfig:
    """Read ``config.yaml``.

    Raises:
        InputError: it is missing or does not describe a run.
    """
    try:
        tree = parse_yaml(read_text(path, MAX_CONFIG_BYTES))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: not a readable configuration ({error})") from error
    return from_dict(tree, str(path))


def dump_config(config: RunConfig) -> str:
    """YAML text of a configuration."""
    return yaml.safe_dump(to_dict(config), sort_keys=False)
