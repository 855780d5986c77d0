"""Whether a scan looks like what weights were made for: its orientation, and T1w or not.

The bounds were set on 20 + 12 healthy and 10 altered T1w scans (IXI) and on 23 healthy FLAIR scans
(NiChart) and five with gliomas (MSD), each as it is, mirrored and with swapped axes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage, stats

from pipeline.cases.brain.shape import shape_of
from pipeline.cases.transforms import Prepared
from pipeline.detection.normative import INTENSITY
from pipeline.errors import InputError
from pipeline.maps.atlas import Atlas
from pipeline.run.locate import MODELS, bundle_dir
from pipeline.run.model import Model, load_model
from pipeline.run.words import SHIPPED

BRAIN_ML = (300.0, 2500.0)
"""A brain mask of another volume is none of an adult's whole brain."""
MIN_SLICES = 12
"""Of fewer slices the shape says nothing."""
MIN_HEIGHT_TO_LENGTH = 0.55
"""Of a brain that ends flat above or below, and so is a part: whole ones have 0.64 to 0.91."""
MIN_FRONT_SKEW = -0.05
"""The brain narrows towards the front: 0.11 to 0.28 as it is, the negative of that mirrored."""
MIN_LENGTH_TO_WIDTH = 0.95
"""1.04 to 1.35 as it is, 0.74 to 0.96 with swapped axes."""
MIN_HEIGHT_IN_FRONT = -0.02
"""Correlation of height and front over the brain: the cerebellum lies low and behind. 0.11 to 0.36
as it is, the negative of that upside down. 0.05 to 0.12 where a scan is aligned to ICBM 152: one
that is pitched by 16 degrees more looks upside down."""
T1_AGREEMENT = 0.65
"""With the T1w atlas: healthy 0.83 to 0.95, with tumours above 0.71; other contrasts below 0.62."""


LIKE_T1 = frozenset({"t1ce"})
"""Contrasts that look like T1w in part, and unlike it in part."""


def check_brain(prepared: Prepared) -> None:
    """See that the brain has the size of one, and lies as the file's header says.

    Raises:
        InputError: it does not; the message says why.
    """
    name = prepared.case.name
    voxel_ml = np.prod(prepared.grid.axes_mm) / 1000
    volume_ml = float(prepared.brain.sum()) * voxel_ml
    if not BRAIN_ML[0] <= volume_ml <= BRAIN_ML[1]:
        raise InputError(
            f"case {name}: its brain holds {volume_ml:.0f} mL, where {BRAIN_ML[0]:.0f} to "
            f"{BRAIN_ML[1]:.0f} are expected: is it skull-stripped, and the whole brain?"
        )
    is_cut = _check_whole(prepared)
    index = np.argwhere(prepared.brain[:, 0].numpy())
    if np.ptp(index[:, 0]) + 1 < MIN_SLICES:
        return
    _, length, width = index.std(0) * np.array(prepared.grid.axes_mm)
    if length < MIN_LENGTH_TO_WIDTH * width:
        raise InputError(
            f"case {name}: its brain is wider than long ({length / width:.2f}): are the axes "
            "swapped in the header?"
        )
    if stats.skew(index[:, 1]) < MIN_FRONT_SKEW:
        raise InputError(
            f"case {name}: its brain is broader in front than behind: does the header say back to "
            "front?"
        )
    # What is left above or below a cut lies higher or lower in front than a whole brain does.
    if not is_cut and np.corrcoef(index[:, 0], index[:, 1])[0, 1] < MIN_HEIGHT_IN_FRONT:
        raise InputError(
            f"case {name}: its brain is lower in front than behind: does the header say upside "
            "down, or is the head pitched?"
        )


def _check_whole(prepared: Prepared) -> bool:
    """Whether some of the brain is missing above or below.

    Raises:
        InputError: too much of it.
    """
    inside = prepared.brain[:, 0].numpy().transpose(2, 1, 0)
    shape = shape_of(inside, np.diag([*reversed(prepared.grid.axes_mm), 1.0]))
    cut = [end for end in shape.flat_ends if end in ("top", "bottom")]
    _, length, height = shape.extent_mm
    if cut and height < MIN_HEIGHT_TO_LENGTH * length:
        raise InputError(
            f"case {prepared.case.name}: only a part of the brain is there, {height:.0f} mm high, "
            f"with a flat end at the {' and '.join(cut)}; the weights are for whole brains"
        )
    return bool(cut)


def agreement(prepared: Prepared, atlas: Atlas) -> float:
    """Correlation of a scan with the mean of an atlas of one intensity, in -1..1.

    Over brain voxels away from the border, after a 3-D median filter; 0 where there is none.
    """
    brain = prepared.brain[:, 0].numpy()
    inner = ndimage.binary_erosion(brain)
    if not inner.any():
        return 0.0
    smooth = ndimage.median_filter(prepared.slices.mean(1).numpy(), 3)[inner]
    mean = atlas.placed_mean(brain)[0][inner]
    return float(np.corrcoef(smooth, mean)[0, 1]) if smooth.std() > 0 else 0.0


def check_contrast(prepared: Prepared, modality: str, t1_atlas: Atlas) -> None:
    """See that a scan that is said to be T1w looks so, and that another one does not.

    Args:
        t1_atlas: of the intensity of healthy T1w brains.

    Raises:
        InputError: it does not; the message says how much it agrees.
    """
    if modality in LIKE_T1:
        return
    value = agreement(prepared, t1_atlas)
    if (value >= T1_AGREEMENT) == (modality == "t1"):
        return
    looks = "does not look like T1w" if modality == "t1" else "looks like T1w"
    raise InputError(
        f"case {prepared.case.name}: given as {modality}, but it {looks} (correlation "
        f"{value:.2f} with healthy T1w brains, bound {T1_AGREEMENT}): wrong modality, upside down "
        "or not skull-stripped?"
    )


def check_for_shipped(model: Model, otherwise: str) -> Callable[[Prepared], None]:
    """What refuses a case that shipped weights were not made for; see `pipeline.detection.fitness`.

    Args:
        otherwise: what a user can do all the same, for the end of the message.
    """
    modality = model.config.modalities[0]
    t1_model = model
    if modality != "t1":
        t1_model = load_model(bundle_dir(SHIPPED["t1"]) / MODELS, torch.device("cpu"))
    t1_atlas = t1_model.atlases[INTENSITY]

    def check(prepared: Prepared) -> None:
        try:
            check_brain(prepared)
            check_contrast(prepared, modality, t1_atlas)
        except InputError as error:
            raise InputError(f"{error} {otherwise}") from error

    return check
