"""Folders of PNG or JPEG pictures, one slice each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.cases.layouts.named import named_part, with_masks_joined
from pipeline.cases.layouts.names import PICTURE
from pipeline.cases.layouts.part import Found, Layout, Part
from pipeline.files.images.formats import is_picture

_SLICE = re.compile(r"(.+?)[ _-](?:slice|sl|z)[ _-]?\d+", re.IGNORECASE)


def _with_subject(part: Part) -> Part:
    """Slices of one subject share it."""
    match = _SLICE.fullmatch(part.case)
    return replace(part, subject=match[1]) if match else part


def _read(root: Path, files: Sequence[Path], section: str | None) -> Found:
    parts = [_with_subject(named_part(root, path)) for path in files]
    note = "a picture counts as its own subject, unless its name ends in _slice<number>"
    return Found(with_masks_joined(parts), notes=(note,), unnamed_modality=PICTURE)


def _is_pictures(root: Path, files: Sequence[Path]) -> bool:
    return bool(files) and all(is_picture(path) for path in files)


PICTURES = Layout("pictures", _is_pictures, _read)
