"""JSON that somebody else may have written: bounded, and read in one sense only."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.files.limits import MAX_NUMBER, MAX_RECORD_BYTES, MAX_RECORD_DEPTH
from pipeline.files.texts import cut, quoted

_TOO_DEEP = f"lists or objects lie more than {MAX_RECORD_DEPTH} deep in each other"


def read_text(path: Path, max_bytes: int) -> str:
    """The content of a UTF-8 file, line ends as they are, without a byte-order mark.

    Raises:
        OSError: it cannot be read.
        ValueError: it has more than ``max_bytes``, or is not UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"more than {max_bytes:,} bytes")
    return content.decode("utf-8-sig")


def parse_json(text: str) -> Any:
    """The value of a JSON text; NaN and infinities, which former versions wrote, are None.

    Raises:
        ValueError: it is no JSON, has a key twice in one object, a number beyond `MAX_NUMBER`, or
            is more than `MAX_RECORD_BYTES` long or `MAX_RECORD_DEPTH` deep.
    """
    if len(text) > MAX_RECORD_BYTES:
        raise ValueError(f"more than {MAX_RECORD_BYTES:,} characters")
    try:
        tree = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_float=_real,
            parse_constant=lambda name: None,
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_depth(tree)
    return tree


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {quoted(twice)} stands twice")
    return found


def _whole(text: str) -> int:
    # Python's own bound on digits comes with advice that helps nobody here.
    if len(text) > 2 * len(f"{MAX_NUMBER:.0f}") or abs(number := int(text)) > MAX_NUMBER:
        raise ValueError(f"the number {cut(text, 20)} is too large")
    return number


def _real(text: str) -> float:
    if not math.isfinite(number := float(text)) or abs(number) > MAX_NUMBER:
        raise ValueError(f"the number {cut(text, 20)} is too large")
    return number


def _check_depth(tree: Any) -> None:
    level = [tree]
    for _ in range(MAX_RECORD_DEPTH + 1):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)
