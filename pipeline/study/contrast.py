"""The modality of scans whose names say none, told by their voxels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.grid import Grid
from pipeline.cases.loading import BrainExtractor
from pipeline.cases.transforms import CaseTransforms
from pipeline.errors import InputError, NamelessError
from pipeline.files.images.formats import is_picture
from pipeline.maps.contrast.recognise import CONFIDENT, recognise

logger = logging.getLogger(__name__)

MAX_LOOKED_AT = 5
"""Scans of one command, of those whose names say nothing; all must be of one contrast."""


def told_contrast(error: NamelessError, extract_brain: BrainExtractor | None) -> str:
    """The modality of scans whose names say none, where it is told for certain.

    Args:
        error: that named the scans.
        extract_brain: for whole heads.

    Raises:
        InputError: the contrast is not told for certain, or the scans differ in it.
        NamelessError: they are pictures, or not all there is.
    """
    if not error.paths or any(map(is_picture, error.paths)):
        raise error
    return _common(error.paths, extract_brain)


def _common(paths: Sequence[Path], extract_brain: BrainExtractor | None) -> str:
    step = max(1, len(paths) // MAX_LOOKED_AT)
    told = {path: _told(path, extract_brain) for path in paths[::step][:MAX_LOOKED_AT]}
    names = {name for name, _ in told.values()}
    first = min(share for _, share in told.values())
    if len(names) > 1 or first < CONFIDENT:
        said = "; ".join(
            f"{path.name} {name} ({share:.2f})" for path, (name, share) in told.items()
        )
        raise InputError(
            "no name of a file says its modality, and its voxels do not for certain: most like "
            f"{said}; say it with --modality"
        )
    (modality,) = names
    logger.warning(
        "note: no name says the modality; recognised as %s (probability %.2f%s); --modality says "
        "otherwise",
        modality,
        first,
        "" if len(told) == 1 else f" or more, of {len(told)} scans",
    )
    return modality


def _told(path: Path, extract_brain: BrainExtractor | None) -> tuple[str, float]:
    """The likeliest contrast of a scan, and its probability."""
    case = Case(name="scan", subject="scan", images={"unknown": ImageFile(path)})
    prepared = CaseTransforms(("unknown",), Grid(), extract_brain)(case)
    shares = recognise(prepared.slices[:, 0].numpy(), prepared.brain[:, 0].numpy())
    return next(iter(shares.items()))
