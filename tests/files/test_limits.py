"""The bounds are those that the documentation states, and each says what it is of."""

from __future__ import annotations

import re
from pathlib import Path

import limits as table_of_limits

from pipeline.files import limits


def test_the_page_states_every_bound() -> None:
    names = {name for name in vars(limits) if re.match("(MAX|MIN)_", name)}
    assert names == set(table_of_limits.bounds())
    text = table_of_limits.PAGE.read_text(encoding="utf-8")
    assert table_of_limits.page_with(text) == text, "python docs/limits.py"


def test_every_bound_is_kept_somewhere() -> None:
    root = Path(limits.__file__).parents[1]
    texts = [path.read_text(encoding="utf-8") for path in root.rglob("*.py")]
    names = table_of_limits.bounds()
    assert len(names) > 10
    for name in names:
        assert sum(name in text for text in texts) > 1, name
