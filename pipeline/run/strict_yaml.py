"""YAML of plain values that somebody else may have written: bounded, read in one sense only."""

from __future__ import annotations

from typing import Any

import yaml

from pipeline.files.limits import MAX_CONFIG_BYTES, MAX_RECORD_DEPTH
from pipeline.files.texts import brief, quoted


class _Plain(yaml.SafeLoader):
    """No aliases, which make large things of small texts, no tags, no key twice."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A value, at whatever depth."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _fault(event, f"an alias ({quoted(event.anchor)}); write the value out")
        if (tag := getattr(event, "tag", None)) is not None:
            raise _fault(event, f"a tag ({quoted(tag)}); write a plain value")
        if self.depth > MAX_RECORD_DEPTH:
            raise _fault(event, f"lists or tables more than {MAX_RECORD_DEPTH} deep in each other")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's own
        """A table whose keys are texts or numbers, each once."""
        names: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in names:
                raise _fault(key, f"the key {quoted(key.value)} twice, or one that is no text")
            names.add(key.value)
        return super().construct_mapping(node, deep)


def _fault(where: Any, what: str) -> yaml.YAMLError:
    return yaml.YAMLError(f"line {where.start_mark.line + 1}: {what}")


def parse_yaml(text: str) -> Any:
    """The value of a YAML text: texts, numbers, lists and tables.

    Raises:
        ValueError: it is no such text, or more than `MAX_CONFIG_BYTES` long or `MAX_RECORD_DEPTH`
            deep.
    """
    if len(text) > MAX_CONFIG_BYTES:
        raise ValueError(f"more than {MAX_CONFIG_BYTES:,} characters")
    try:
        return yaml.load(text, Loader=_Plain)
    except (yaml.YAMLError, ValueError, ArithmeticError) as error:
        # Of a number or a date that is none, PyYAML raises what Python does.
        raise ValueError(brief(error)) from error
