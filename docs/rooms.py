"""The rooms of the package in the order of the data, from the contract that import-linter checks.

``python docs/rooms.py`` writes the table of README.md anew.
"""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIRST, LAST = "<!-- rooms -->\n", "<!-- /rooms -->"


@dataclass(frozen=True)
class Room:
    """A package below `pipeline`, or a module beside them.

    Attributes:
        name: below ``pipeline``.
        summary: the first line of its docstring.
        modules: dotted names below ``pipeline``, sorted; itself where it is a module.
    """

    name: str
    summary: str
    modules: tuple[str, ...]


def rooms() -> list[Room]:
    """All rooms, those that import nothing first."""
    tree = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (c for c in tree["tool"]["importlinter"]["contracts"] if c["name"] == "rooms")
    return [_room(name) for name in reversed(contract["layers"])]


def _room(name: str) -> Room:
    folder = ROOT / "pipeline" / name
    if not folder.is_dir():
        return Room(name, _summary(folder.with_suffix(".py")), (name,))
    paths = sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py")
    modules = (path.relative_to(folder.parent).with_suffix("").parts for path in paths)
    return Room(name, _summary(folder / "__init__.py"), tuple(".".join(parts) for parts in modules))


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return (docstring or "").splitlines()[0]


def table() -> str:
    """The rooms as markdown."""
    rows = ["| room | what it holds | modules |", "|---|---|---|"]
    for room in rooms():
        inside = [name.removeprefix(f"{room.name}.") for name in room.modules]
        modules = ", ".join(f"`{name}`" for name in inside if name != room.name)
        rows.append(f"| `{room.name}` | {room.summary} | {modules} |")
    return "\n".join(rows) + "\n"


def with_table(text: str) -> str:
    """A page with the table between its marks made anew."""
    before, _, rest = text.partition(FIRST)
    _, found, after = rest.partition(LAST)
    if not found:
        raise ValueError(f"the page lacks the marks {FIRST.strip()} and {LAST}")
    return f"{before}{FIRST}{table()}{LAST}{after}"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")
