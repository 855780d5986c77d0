"""Names, JSON and YAML: right ones with one thing wrong, and noise."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from foreign.drawn_bytes import chance, damaged, one_of

# --- names ----------------------------------------------------------------------------------------

_CHARACTERS = (
    "abcXYZ019 ._-",
    "äöüßéñ",
    "脳腫瘍",
    "🧠👩‍🔬",
    "\u0301\u200b\u200d\ufeff\u202e\u2066\u2028\u2029",
    "\0\a\b\t\n\r\x1b\x7f\x85",
    "/\\:*?\"<>|'`$&;",
    "\udc80\udcff\ud800",
)
_RESERVED = ("CON", "nul", "COM1", "aux.txt", "LPT9", "desktop.ini", ".", "..", "...", "~", "-rf")


def any_name(rng: Random) -> str:
    """What somebody, or something, calls a case."""
    return one_of(rng, _plain_name, _plain_name, _odd_name, _odd_name, _reserved, _long_name)


def _plain_name(rng: Random) -> str:
    return rng.choice(("sub-01", "case 7", "Patient_042", "a", "BraTS-GLI-00001-000", "Müller"))


def _odd_name(rng: Random) -> str:
    alphabet = "".join(rng.sample(_CHARACTERS, rng.choice((1, 1, 2))))
    name = "".join(rng.choice(alphabet) for _ in range(rng.choice((0, 1, 2, 5, 20))))
    return _plain_name(rng) + name if chance(rng, 0.5) else name


def _reserved(rng: Random) -> str:
    return rng.choice(_RESERVED) + rng.choice(("", " ", ".", "/", "/..", "/x"))


def _long_name(rng: Random) -> str:
    return rng.choice(("a", "é", "脳", "🧠")) * rng.choice((60, 99, 100, 199, 200, 201, 255, 5000))


# --- trees of plain values -----------------------------------------------------------------------


def odd_value(rng: Random) -> Any:
    """A value that hardly anything expects."""
    return rng.choice(
        (
            *(None, True, False, 0, -1, 1.5, 2**31, 2**64, 10**400, -(10**30), 1e308),
            *(math.nan, math.inf, -math.inf, "", "text", "1", "nan", " ", "a\nb", "\x1b[31m"),
            *("\0", "\ud800", "../../x", "x" * 100_000, "=cmd|' /C calc'!A0", "<script>"),
            *([], {}, [[]], {"": {}}, [None], [1, "a"], {"value": []}, [0] * 1000),
        )
    )


_DEEP = "DEEP"
"""Stands for lists in lists, more than any program goes down, until the tree is a text."""


def _with_depth(rng: Random, text: str) -> str:
    n = rng.choice((50, 500, 5000))
    opened, closed = rng.choice((("[", "]"), ('{"a":', "}")))
    return text.replace(json.dumps(_DEEP), opened * n + "1" + closed * n)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container of a tree with each of its keys."""
    if isinstance(tree, dict):
        inner: list[Any] = list(tree.items())
    elif isinstance(tree, list):
        inner = list(enumerate(tree))
    else:
        return []
    return [(tree, key) for key, _ in inner] + [p for _, value in inner for p in _places(value)]


def mutated(rng: Random, tree: Any) -> Any:
    """A copy with one thing changed: a value, a key that is missing, or one too many."""
    tree = copy.deepcopy(tree)
    places = _places(tree)
    if not places or chance(rng, 0.03):
        return odd_value(rng)
    parent, key = rng.choice(places)
    action = rng.randrange(6)
    if action == 0:
        del parent[key]
    elif action == 1 and isinstance(parent, dict):
        parent[any_name(rng) if chance(rng, 0.5) else f"{key}x"] = parent[key]
    elif action == 2:
        other, other_key = rng.choice(places)
        parent[key] = copy.deepcopy(other[other_key])
    else:
        parent[key] = odd_value(rng) if not chance(rng, 0.05) else _DEEP
    return tree


def json_bytes(rng: Random, tree: Any) -> bytes:
    """JSON of a tree, right or mutated, in some encoding, whole or torn."""
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        tree = mutated(rng, tree)
    text = _with_depth(rng, json.dumps(tree, ensure_ascii=chance(rng, 0.5)))
    if chance(rng, 0.03):
        text = text.replace("1", rng.choice(("1e400", "1" * 5000, "-1", "01", "NaN")), 1)
    if chance(rng, 0.02):
        n = rng.choice((1000, 100_000))
        text = rng.choice(("[" * n, '{"a":' * n, "[" * n + "]" * n))
    return _encoded(rng, text)


def _encoded(rng: Random, text: str) -> bytes:
    encoding = rng.choice(("utf-8",) * 12 + ("utf-8-sig", "utf-16", "latin-1", "utf-32"))
    content = text.encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass")
    return damaged(rng, content) if chance(rng, 0.1) else content


# --- YAML ----------------------------------------------------------------------------------------

_ODD_YAML = (
    *("!!python/object/apply:os.system ['true']", "!!int x", "!!float x", "!!binary '*'"),
    *(
        "!!timestamp x",
        "2001-99-99",
        "2001-01-01",
        "12:30:45",
        "0x1F",
        "0b11",
        "1_000",
        "!!set {a}",
    ),
    *(".nan", ".inf", "-.inf", "~", "yes", "*a", "&a [*a]", "{[1, 2]: 3}", "{? {a: 1} : 2}"),
    *("!!omap [a: 1]", "!!pairs [a: 1]", "'\\0'", '"\\0"', '"\\ud800"', "<<", "|\n  a\n  b", "- -"),
    *(
        "!<tag:yaml.org,2002:bool> x",
        "!!bool x",
        "!!null x",
        "!!merge x",
        "@",
        "`",
        "%",
        "9" * 5000,
    ),
    *("1e400", "1e-400", "-0", "''", "[" * 100, "[" * 5000, "{a: " * 500, "---", "..."),
    *("\t", "\0"),
)


def yaml_bytes(rng: Random, lines: list[str], anchors: bool = True) -> bytes:
    """YAML text of lines ``key: value``, with one or two of them changed."""
    lines = list(lines)
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        at = rng.randrange(len(lines))
        key, _, value = lines[at].partition(":")
        change: Callable[[Random], str] = rng.choice(_LINE_CHANGES)
        lines[at] = change(rng).replace("KEY", key).replace("VALUE", value.strip())
    if anchors and chance(rng, 0.02):
        lines += _bomb_of_anchors(rng)
    return _encoded(rng, "\n".join(lines) + "\n")


def _odd_line(rng: Random) -> str:
    return f"KEY: {rng.choice(_ODD_YAML)}"


def _plain_line(rng: Random) -> str:
    return "KEY: " + json.dumps(odd_value(rng))


_LINE_CHANGES: tuple[Callable[[Random], str], ...] = (
    _odd_line,
    _odd_line,
    _plain_line,
    _plain_line,
    lambda rng: "",
    lambda rng: "KEY: VALUE\nKEY: VALUE",
    lambda rng: "  KEY: VALUE",
    lambda rng: "KEY: [VALUE]",
    lambda rng: "KEY: {a: VALUE}",
    lambda rng: "KEYx: VALUE",
    lambda rng: "<<: VALUE",
    lambda rng: "- VALUE",
    lambda rng: "? KEY",
    lambda rng: f"{rng.choice(_ODD_YAML)}: VALUE",
)


def _bomb_of_anchors(rng: Random) -> list[str]:
    """Few bytes that are very many values: each list holds the one before nine times."""
    names = "abcdefgh"[: rng.choice((3, 6, 8))]
    lines = [f"{names[0]}: &{names[0]} [x, x, x, x, x, x, x, x, x]"]
    for before, name in itertools.pairwise(names):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    return [*lines, f"modalities: *{names[-1]}"] if chance(rng, 0.5) else lines


def settings_lines(tree: Mapping[str, Any]) -> list[str]:
    """A tree of settings as lines of YAML in its flow style, nested tables below their key."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            lines.append(f"{key}:")
            lines += [f"  {inner}: {json.dumps(v)}" for inner, v in value.items()]
        else:
            lines.append(f"{key}: {json.dumps(value)}")
    return lines
