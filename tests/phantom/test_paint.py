"""Tumours against the tissue around them."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import around, phantom

from pipeline.phantom.scanner import MODALITIES


@pytest.mark.parametrize("seed", range(3))
def test_a_bright_tumour_is_brighter_than_its_surroundings_and_a_dark_one_darker(seed: int) -> None:
    for contrast, sign in (("bright", 1), ("dark", -1)):
        case = phantom(seed, tumour=True, contrast=contrast)
        image, ring = case.images["flair"], around(case.label, case.brain_mask)
        step = np.median(image[case.label > 0]) / np.median(image[ring]) - 1
        assert sign * step > 0.06
        assert case.facts.tumour.contrast == dict.fromkeys(MODALITIES, contrast)


def test_an_iso_intense_tumour_cannot_be_told_by_its_mean() -> None:
    case = phantom(1, tumour=True, contrast="iso")
    image, ring = case.images["flair"], around(case.label, case.brain_mask)
    assert np.median(image[case.label > 0]) == pytest.approx(np.median(image[ring]), rel=0.15)
