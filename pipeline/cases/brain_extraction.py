"""Brain masks of raw heads, by optional packages."""

from __future__ import annotations

from collections.abc import Callable

import nibabel as nib
import numpy as np

from pipeline.cases.loading import BrainExtractor
from pipeline.errors import InputError
from pipeline.files.nifti import Volume


def deepbet() -> BrainExtractor:
    """Brain extraction for T1w (Fisch et al. 2024); its weights come with its wheel.

    Raises:
        InputError: the package is not installed.
    """
    try:
        from deepbet import BrainExtraction
    except ImportError as error:
        raise InputError(
            "--brain-extraction deepbet needs a further package: pip install deepbet"
        ) from error
    extraction = BrainExtraction()

    def extract(head: Volume) -> np.ndarray:
        # It works, and answers, on the closest canonical grid.
        canonical = nib.as_closest_canonical(nib.Nifti1Image(head.data, head.affine))
        _, mask, _ = extraction.run(canonical)
        turn = nib.orientations.ornt_transform(
            nib.orientations.io_orientation(np.eye(4)),
            nib.orientations.io_orientation(head.affine),
        )
        turned = nib.orientations.apply_orientation(mask.get_fdata(), turn)
        return np.asarray(turned > 0.5)

    return extract


EXTRACTORS: dict[str, Callable[[], BrainExtractor]] = {"deepbet": deepbet}


def make_extractor(name: str | None) -> BrainExtractor | None:
    """The extractor of that name; None for None.

    Raises:
        InputError: an unknown name, or its package is missing.
    """
    if name is None:
        return None
    if name not in EXTRACTORS:
        raise InputError(f"no brain extraction is called {name!r}; there is {list(EXTRACTORS)}")
    return EXTRACTORS[name]()
