"""What the values of a lesion label map mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.files.images.formats import is_picture


@dataclass(frozen=True)
class LabelScheme:
    """Region to the label values in it, and values that are known but in no region."""

    regions: Mapping[str, tuple[int, ...]]
    ignored: tuple[int, ...] = ()

    @property
    def known(self) -> set[int]:
        """Every value that may occur."""
        return {0, *self.ignored, *(v for values in self.regions.values() for v in values)}


LABEL_SCHEMES: Mapping[str, LabelScheme] = {
    # 2018-2022: 1 necrosis and non-enhancing, 2 oedema, 4 enhancing
    "brats2018": LabelScheme({"whole_tumour": (1, 2, 4), "tumour_core": (1, 4), "enhancing": (4,)}),
    # since 2023: 1 non-enhancing core, 2 FLAIR hyperintensity, 3 enhancing; 2024: 4 resection
    # cavity, which is no tumour
    "brats2023": LabelScheme(
        {"whole_tumour": (1, 2, 3), "tumour_core": (1, 3), "enhancing": (3,)}, ignored=(4,)
    ),
    # Medical Segmentation Decathlon Task01: 1 oedema, 2 non-enhancing, 3 enhancing
    "msd": LabelScheme({"whole_tumour": (1, 2, 3), "tumour_core": (2, 3), "enhancing": (3,)}),
    # one lesion class; 255 is how 8-bit masks write it
    "binary": LabelScheme({"whole_tumour": (1, 255)}),
}


def label_regions(label: np.ndarray, scheme: str, source: Path) -> dict[str, np.ndarray]:
    """Boolean masks of the regions of a lesion label map.

    ``auto`` decides by the values found: a 4 and no 3 is ``brats2018``, a 3 is ``brats2023``.
    Two things it cannot know. MSD Task01 holds a 3 too, and its 1 and 2 mean the opposite: the
    whole tumour and the enhancing part come out right, the core does not, unless the scheme is
    given. And a post-operative BraTS 2024 label with a cavity (4) but no enhancing part (3) looks
    like ``brats2018``; files with BraTS names do not rely on ``auto``. Where only 1 and 2 occur,
    the meanings differ between the schemes and only ``whole_tumour`` is returned.

    Args:
        label: whole numbers, any shape, 0 is background.
        scheme: a key of `LABEL_SCHEMES`, or ``auto``.
        source: the file the label came from. A picture is one lesion class: values above 127 of
            255 are lesion (JPEG blurs the edge), or 1 where no value is larger.

    Returns:
        ``whole_tumour``, ``tumour_core`` and ``enhancing``, as far as the scheme has them, each
        bool of ``label``'s shape.

    Raises:
        InputError: the scheme is unknown, or a value occurs that the scheme does not have.
    """
    found = {int(value) for value in np.unique(label)}
    if scheme in ("auto", "binary") and is_picture(source):
        return {"whole_tumour": _picture_lesion(label, source)}
    if scheme == "auto":
        if found <= {0, 1, 2} or found <= {0, 255}:
            return {"whole_tumour": label > 0}
        scheme = "brats2018" if 3 not in found else "brats2023"
    used = checked_scheme(scheme, source)
    if not found <= used.known:
        raise InputError(
            f"{source}: expected the label values {sorted(used.known)} of the scheme {scheme}, "
            f"found {sorted(found)}; say which code the file uses with --label-scheme "
            f"({', '.join(LABEL_SCHEMES)})"
        )
    return {name: np.isin(label, values) for name, values in used.regions.items()}


def _picture_lesion(label: np.ndarray, source: Path) -> np.ndarray:
    """Where a picture's mask is white, bool of its shape."""
    highest = int(label.max(initial=0))
    if label.min(initial=0) < 0 or 1 < highest <= 127:
        raise InputError(
            f"{source}: expected a mask of 0 and 255 (or 0 and 1), the highest value is {highest}; "
            "save the lesion in white"
        )
    return label > (127 if highest > 1 else 0)


def checked_scheme(scheme: str, source: Path) -> LabelScheme:
    """The scheme of that name.

    Args:
        scheme: a key of `LABEL_SCHEMES`; ``auto`` is none.
        source: the file that it is asked for, for the message.

    Raises:
        InputError: there is no such scheme.
    """
    if scheme not in LABEL_SCHEMES:
        raise InputError(
            f"{source}: unknown label scheme {scheme!r}; the schemes are auto, "
            f"{', '.join(LABEL_SCHEMES)}"
        )
    return LABEL_SCHEMES[scheme]
