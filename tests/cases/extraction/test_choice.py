"""Brain extraction: the optional package, and the way of its mask to the scan's grid."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pipeline.cases.brain.find import find_brain
from pipeline.cases.extraction.choice import make_extractor
from pipeline.cases.find import find_cases
from pipeline.cases.loading import read_modalities
from pipeline.errors import InputError
from pipeline.files.images.volume import Volume


def test_without_an_extractor_nothing_is_made() -> None:
    assert make_extractor(None) is None


def test_an_unknown_extractor_is_named() -> None:
    with pytest.raises(InputError, match="scalpel"):
        make_extractor("scalpel")


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepbet", None)
    with pytest.raises(InputError, match="brain-extraction"):
        make_extractor("deepbet")


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_mask_comes_back_in_the_orientation_of_the_scan(
    axes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the package marks the voxels above 5, on the canonical grid it is given."""

    class BrainExtraction:
        def run(self, image: nib.Nifti1Image) -> tuple[object, nib.Nifti1Image, float]:
            assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
            mask = (image.get_fdata() > 5).astype(np.uint8)
            return None, nib.Nifti1Image(mask, image.affine), 0.0

    module = types.SimpleNamespace(BrainExtraction=BrainExtraction)
    monkeypatch.setitem(sys.modules, "deepbet", module)
    data = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5) % 11
    affine = np.zeros((4, 4))
    affine[axes[0], 0], affine[axes[1], 1], affine[axes[2], 2], affine[3, 3] = -2, 3, -1, 1
    extract = make_extractor("deepbet")
    assert extract is not None
    np.testing.assert_array_equal(extract(Volume(data, affine, Path("x"))), data > 5)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(importlib.util.find_spec("deepbet") is None, reason="deepbet not installed")
def test_a_real_head_gives_nearly_the_brain_of_its_parcellation(shared_data: Path) -> None:
    case = find_cases(shared_data / "ixi_t1", modalities=["t1"]).cases[0]
    volumes = read_modalities(case, ("t1",))
    given = find_brain(case, volumes).mask
    extractor = make_extractor("deepbet")
    assert extractor is not None
    found = extractor(volumes[0])
    assert 2 * (given & found).sum() / (given.sum() + found.sum()) > 0.95
