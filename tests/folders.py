"""What lies in a folder of results."""

from __future__ import annotations

from pathlib import Path


def names_in(folder: Path) -> set[str]:
    """Names of what is not hidden, as the list of our files is."""
    return {name for name in all_names_in(folder) if not name.startswith(".")}


def all_names_in(folder: Path) -> set[str]:
    """Names, those that are hidden too."""
    return {path.name for path in folder.iterdir()}
