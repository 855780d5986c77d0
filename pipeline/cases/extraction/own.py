"""Brain extraction by the network that comes with anomap."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from pipeline.cases.extraction.canvas import canvas_for, normalised
from pipeline.cases.extraction.network import HeadNetwork
from pipeline.diffusion.small_unet import with_weights
from pipeline.files.images.volume import Volume
from pipeline.files.names import HEAD_NETWORK

WEIGHTS = Path(__file__).with_name(HEAD_NETWORK)
"""Made by ``tools/train_extraction.py``; docs/brain_extraction.md says of whom."""


def extract_with_network(head: Volume) -> np.ndarray:
    """The brain of a head, in any orientation and contrast.

    Args:
        head: ``(X, Y, Z)``, any unit, air darker than the head.

    Returns:
        ``(X, Y, Z)`` bool: the largest part, without holes; empty where no brain is seen.

    Raises:
        InputError: the weights did not come with this copy of anomap.
    """
    canvas = canvas_for(head.data, head.affine)
    image = torch.from_numpy(normalised(canvas.draw(head.data, head.affine)))
    with torch.inference_mode():
        probability = torch.sigmoid(_network()(image[None, None]))[0, 0].numpy()
    inside = canvas.bring_back(probability, head.data.shape, head.affine) > 0.5
    parts, n_parts = ndimage.label(inside)
    if n_parts > 1:
        inside = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
    return np.asarray(ndimage.binary_fill_holes(inside))


@functools.cache
def _network() -> HeadNetwork:
    return with_weights(
        HeadNetwork(), WEIGHTS, "brain extraction", "put a brain mask beside the scan"
    )
