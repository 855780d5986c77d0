"""What the voxels of a file say of it, where its name says nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.files.images.formats import is_volume
from pipeline.files.images.reading import open_volume
from pipeline.files.paths import is_file

LABEL_MAP = "looks like a label map; if it is one, name it <case>_seg or <case>_brain_mask"
"""The reason why such an image is left out."""

MAX_LABEL_VALUES = 10
"""Different values of a label map at most; any scan has more in its first slices of tissue."""

_BLOCK = 1 << 16


def looks_like_labels(path: Path) -> bool:
    """Whether a volume holds two values or few more, as label maps and masks do.

    Reads until there are more than `MAX_LABEL_VALUES`: some slices of a scan, the whole of a label
    map; of a 4-D file the first channel. A file that cannot be read is none; reading it later says
    why.
    """
    if not is_volume(path) or not is_file(path):
        return False
    values: set[float] = set()
    try:
        with open_volume(path) as file:
            for _, piece in file.pieces(0):
                for start in range(0, len(piece), _BLOCK):
                    values.update(np.unique(piece[start : start + _BLOCK]).tolist())
                    if len(values) > MAX_LABEL_VALUES:
                        return False
    except InputError:
        return False
    return len(values) > 1
