"""The table of bounds in ``docs/security.md``, of ``pipeline/files/limits.py``."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

from pipeline.files import limits

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "security.md"
FIRST, LAST = "<!-- limits -->\n", "<!-- /limits -->"


def bounds() -> dict[str, tuple[float, str]]:
    """Name to value and docstring."""
    body = ast.parse(Path(limits.__file__).read_text(encoding="utf-8")).body
    found = {}
    for node, text in itertools.pairwise(body):
        if isinstance(node, ast.Assign) and isinstance(text, ast.Expr):
            name = ast.unparse(node.targets[0])
            found[name] = getattr(limits, name), ast.literal_eval(text.value)
    return found


def table() -> str:
    """A row a bound."""
    rows = [
        f"| `{name}` | {written(name, value)} | {' '.join(text.split())} |"
        for name, (value, text) in bounds().items()
    ]
    return "\n".join(["| bound | value | of what |", "|---|---:|---|", *rows, ""])


def written(name: str, value: float) -> str:
    """With its unit where that is bytes."""
    if not name.endswith("_BYTES"):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return f"{value / limits.MIB:g} MiB"


def page_with(text: str) -> str:
    """The page with the table of today."""
    before, _, rest = text.partition(FIRST)
    return before + FIRST + table() + LAST + rest.partition(LAST)[2]


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
