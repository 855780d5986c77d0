"""Our own brain extraction: where the canvas lies, and what the shipped network finds."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import train_extraction
from scipy import ndimage

from pipeline.cases.extraction import own
from pipeline.cases.extraction.canvas import CANVAS, canvas_for, normalised
from pipeline.cases.extraction.network import HeadNetwork, into_blocks, out_of_blocks
from pipeline.errors import InputError
from pipeline.files.images.volume import Volume


def made_head() -> nib.Nifti1Image:
    """A brain of an ellipsoid with ventricles, fluid, skull and skin, 3 mm."""
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = [-110, -120, -110]
    index = np.indices((74, 80, 74))
    world = np.stack([index[k] * 3.0 + affine[k, 3] for k in range(3)], -1)
    radius = np.sqrt((((world - [0, 0, 5]) / [66, 84, 62]) ** 2).sum(-1))
    rng = np.random.default_rng(0)
    grain = ndimage.gaussian_filter(rng.normal(size=radius.shape), 1.2) * 60
    brain = 600 + grain + 120 * (radius < 0.75)
    brain = np.where((radius < 0.22) & (abs(world[..., 0]) < 14), 150, brain)
    image = np.where(radius < 1, brain, 0)
    image = np.where((radius >= 1) & (radius < 1.05), 150, image)
    image = np.where((radius >= 1.05) & (radius < 1.13), 60, image)
    image = np.where((radius >= 1.13) & (radius < 1.22), 900, image)
    neck = (np.hypot(world[..., 0], world[..., 1] + 10) < 55) & (world[..., 2] < -55)
    image = np.where(neck & (radius >= 1.1), 450 + grain, image)
    image = np.maximum(image + rng.normal(0, 10, radius.shape), 0)
    return nib.Nifti1Image(image.astype(np.float32), affine)


def volume_of(image: nib.Nifti1Image) -> Volume:
    return Volume(np.asarray(image.dataobj, np.float32), image.affine, Path("head.nii.gz"))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_blocks_go_there_and_back() -> None:
    image = torch.rand(2, 1, 8, 12, 4)
    blocks = into_blocks(image)
    assert blocks.shape == (2, 8, 4, 6, 2)
    assert torch.equal(out_of_blocks(blocks), image)


def test_the_network_answers_in_the_shape_of_its_image() -> None:
    assert HeadNetwork()(torch.rand(1, 1, 32, 48, 16)).shape == (1, 1, 32, 48, 16)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PSR", "SAL"])
def test_the_canvas_lies_on_the_head_in_any_orientation(axes: str) -> None:
    image = made_head()
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(axes)
    )
    turned = image.as_reoriented(turn)
    there = canvas_for(np.asarray(image.dataobj), image.affine)
    here = canvas_for(np.asarray(turned.dataobj), turned.affine)
    np.testing.assert_allclose(here.affine, there.affine, atol=6.0)
    on_canvas = here.draw(np.asarray(turned.dataobj), turned.affine)
    assert on_canvas.shape == CANVAS
    middle = ndimage.center_of_mass(on_canvas)
    assert abs(middle[0] - 31.5) < 3
    back = here.bring_back(on_canvas, turned.shape, turned.affine)
    assert np.corrcoef(back.ravel(), np.asarray(turned.dataobj).ravel())[0, 1] > 0.85


def test_normalised_values_lie_in_0_to_1_whatever_the_unit() -> None:
    values = np.random.default_rng(0).gamma(2, 300, CANVAS)
    one, other = normalised(values), normalised(values * 1e-3)
    assert (one.min(), one.max()) == (0, 1)
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert not normalised(np.zeros(CANVAS)).any()


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PSR"])
def test_a_brain_is_found_in_any_orientation(axes: str) -> None:
    image = made_head()
    affine = image.affine
    index = np.indices(image.shape)
    world = np.stack([index[k] * 3.0 + affine[k, 3] for k in range(3)], -1)
    inside = (((world - [0, 0, 5]) / [66, 84, 62]) ** 2).sum(-1) < 1
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt(axes)
    )
    found = own.extract_with_network(volume_of(image.as_reoriented(turn)))
    expected = nib.orientations.apply_orientation(inside, turn)
    assert dice(found, expected) > 0.9


def test_weights_that_are_missing_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(own, "WEIGHTS", tmp_path / "head_network.pt")
    own._network.cache_clear()
    with pytest.raises(InputError, match="not in this copy"):
        own.extract_with_network(volume_of(made_head()))
    own._network.cache_clear()


@pytest.mark.shared
def test_the_brains_of_people_that_it_has_not_seen_are_found(shared_data: Path) -> None:
    root = shared_data / "ixi_t1"
    found = []
    for name in train_extraction.people(root, 0)["unseen"][::4]:
        image = nib.load(root / f"{name}_T1w.nii.gz")
        label = np.asarray(nib.load(root / f"{name}_dseg.nii.gz").dataobj) > 0
        found.append(dice(own.extract_with_network(volume_of(image)), label))
    assert np.mean(found) > 0.96
    assert min(found) > 0.94
