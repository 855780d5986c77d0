"""``atlases.npz``: the atlases of a run on disk.

Here and not in `pipeline.maps`, which knows arrays alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile

from pipeline.errors import InputError
from pipeline.files.archives import TORN, check_arrays
from pipeline.files.limits import MAX_ATLASES_BYTES
from pipeline.files.texts import brief
from pipeline.files.writing import write_atomically
from pipeline.maps.atlas import Atlas
from pipeline.maps.placement import EXTENT, FRAME
from pipeline.maps.registration import Template

_ATLAS_PARTS, _TEMPLATE_PARTS = ("mean", "spread", "n_cases", "extent"), ("image", "brain")
_TORN: tuple[type[Exception], ...] = (*TORN, KeyError, TypeError, IndexError)


def save_atlases(path: Path, atlases: Mapping[str, Atlas], made_for: str = "") -> None:
    """Write atlases into one file.

    Args:
        path: of the file.
        atlases: by name.
        made_for: what they depend on; see `load_atlases`.
    """
    arrays: dict[str, Any] = {}
    for name, atlas in atlases.items():
        arrays |= {f"{name}.{part}": getattr(atlas, part) for part in _ATLAS_PARTS}
        if atlas.template is not None:
            template = atlas.template
            arrays |= {
                f"{name}.template_{part}": getattr(template, part) for part in _TEMPLATE_PARTS
            }

    def write(temporary: Path) -> None:
        with temporary.open("wb") as handle:
            np.savez_compressed(handle, allow_pickle=False, made_for=made_for, **arrays)

    write_atomically(path, write)


def load_atlases(path: Path, made_for: str = "") -> dict[str, Atlas]:
    """Read what `save_atlases` wrote; nothing, if it was made for something else.

    Args:
        path: of the file.
        made_for: what they must have been made for.

    Returns:
        Atlases by name.

    Raises:
        InputError: it is missing or not such a file.
    """
    try:
        check_arrays(path, MAX_ATLASES_BYTES)
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["made_for"]) != made_for:
                return {}
            names = sorted({key.split(".")[0] for key in stored.files} - {"made_for"})
            return {name: _atlas(stored, name) for name in names}
    except _TORN as error:
        raise InputError(f"{path}: not the atlases of a run ({brief(error)}); remove it") from error


def _atlas(stored: NpzFile, name: str) -> Atlas:
    mean, spread = stored[f"{name}.mean"], stored[f"{name}.spread"]
    if mean.shape != spread.shape or mean.shape[1:] != FRAME:
        raise ValueError(f"{name} has the shapes {mean.shape} and {spread.shape}")
    if not np.isfinite(mean).all() or not (spread > 0).all() or not np.isfinite(spread).all():
        raise ValueError(f"{name} holds values that are not numbers")
    # Atlases had no template and one extent before brains were registered.
    extent = float(stored[f"{name}.extent"]) if f"{name}.extent" in stored.files else EXTENT
    if not 1 <= extent <= 4:
        raise ValueError(f"{name} has the extent {extent}")
    template = _template(stored, name, extent)
    return Atlas(mean, spread, int(stored[f"{name}.n_cases"]), template, extent)


def _template(stored: NpzFile, name: str, extent: float) -> Template | None:
    if f"{name}.template_image" not in stored.files:
        return None
    image, brain = stored[f"{name}.template_image"], stored[f"{name}.template_brain"]
    if image.shape != FRAME or brain.shape != FRAME or brain.dtype != bool or not brain.any():
        raise ValueError(f"{name} has a template of the shapes {image.shape} and {brain.shape}")
    if not np.isfinite(image).all():
        raise ValueError(f"{name} has a template of values that are not numbers")
    return Template(image, brain, extent)
