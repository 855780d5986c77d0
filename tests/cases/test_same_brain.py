"""The same brain, stored in any way that is accepted, gives the same slices and the same maps."""

from __future__ import annotations

import gzip
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from brains import BRAIN_CENTRE_MM, inside_brain, smooth_intensity, world_of
from hypothesis import given
from hypothesis import strategies as st
from image_files import itk_image
from strategies import Storing, quick, storings
from torch import Tensor

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.find import find_cases
from pipeline.cases.grid import Grid
from pipeline.cases.transforms import CaseTransforms, Prepared

# Spacings without a common measure, so that no voxel of the grid lies halfway between two others.
SPACING_MM = np.array([6.125, 5.625, 6.375])
SHAPE = (22, 30, 20)
GRID = Grid(size=24, spacing_mm=7.31, slice_spacing_mm=7.77)
TOLERANCE = 1e-4
"""Of slices in [-1, 1], and of maps: affines are stored in single precision."""
MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}


def affine() -> np.ndarray:
    result = np.diag([*SPACING_MM, 1.0])
    result[:3, 3] = np.round(BRAIN_CENTRE_MM - SPACING_MM * (np.array(SHAPE) - 1) / 2)
    return result


@cache
def brain() -> np.ndarray:
    """Multiples of 4 in 0..1020, 0 outside, ``SHAPE``."""
    world = world_of(SHAPE, affine())
    noise = np.random.default_rng(0).normal(0, 40, SHAPE)
    inside = inside_brain(world)
    values = np.clip(np.round((smooth_intensity(world) + noise) / 4), 1, 255) * 4
    return np.where(inside, values, 0.0)


def store(path: Path, data: np.ndarray, storing: Storing, background: float = 0.0) -> ImageFile:
    """Write a volume of the source grid in some way."""
    stored = storing.placed(data, background)
    kind = np.dtype(storing.order + storing.dtype)
    numbers = ((stored - storing.inter) / storing.slope).astype(kind)
    np.testing.assert_array_equal(numbers * storing.slope + storing.inter, stored)
    scaled = np.diag([*[1 / MILLIMETRES[storing.unit]] * 3, 1.0])
    place = scaled @ storing.affine_of(affine(), SHAPE)
    header = (nib.Nifti1Header, nib.Nifti2Header)[storing.version - 1](
        endianness=storing.order, check=False
    )
    header.set_data_shape(stored.shape)
    header.set_data_dtype(kind)
    qform, sform = storing.forms
    header.set_qform(place, code=1)
    header["qform_code"] = qform
    if sform:
        header.set_sform(place, code=sform)
    header["scl_slope"], header["scl_inter"] = storing.slope, storing.inter
    header["xyzt_units"] = storing.unit
    header["vox_offset"] = len(header.binaryblock) + 4
    header["magic"] = (b"n+1\0", b"n+2\0\r\n\x1a\n")[storing.version - 1]
    content = header.binaryblock + bytes(4) + numbers.tobytes("F")
    path = path.with_suffix(".nii.gz" if storing.packed else ".nii")
    path.write_bytes(gzip.compress(content, 1) if storing.packed else content)
    return ImageFile(path)


def prepared(image: ImageFile, mask: ImageFile | None = None) -> Prepared:
    case = Case("case", "case", {"t1": image}, brain_mask=mask)
    return CaseTransforms(("t1",), GRID)(case)


def a_map(like: Tensor) -> Tensor:
    """A map that no symmetry leaves as it is."""
    n, _, height, width = like.shape
    z, y, x = np.ogrid[:n, :height, :width]
    return torch.from_numpy((z + 0.3 * y + 0.01 * x * x).astype(np.float32))[:, None]


@cache
def plain() -> Prepared:
    with tempfile.TemporaryDirectory() as folder:
        return prepared(store(Path(folder) / "brain", brain(), Storing()))


def check_same(found: Prepared, storing: Storing) -> None:
    assert torch.equal(found.brain, plain().brain)
    assert (found.slices - plain().slices).abs().max() < TOLERANCE
    there = found.to_source(a_map(found.slices))
    expected = storing.placed(plain().to_source(a_map(plain().slices)), 0.0)
    np.testing.assert_allclose(there, expected, atol=TOLERANCE * 30)
    np.testing.assert_allclose(found.source_affine, storing.affine_of(affine(), SHAPE), atol=1e-3)


def test_the_plain_brain_is_one() -> None:
    assert 900 < plain().source_brain.sum() * np.prod(SPACING_MM) / 1000 < 1150
    assert plain().slices.std() > 0.3
    assert plain().to_source(a_map(plain().slices)).std() > 1


@quick(25)
@given(storing=storings())
def test_a_brain_stored_in_any_way_is_the_same(storing: Storing, tmp_path: Path) -> None:
    check_same(prepared(store(tmp_path / "brain", brain(), storing)), storing)


FORMATS = ("hdr", "img.gz", "mgz", "mgh", "nrrd", "nhdr", "mha", "mhd")


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("axes", ["RAS", "LPS", "PSR"])
def test_a_brain_in_another_format_is_the_same(ending: str, axes: str, tmp_path: Path) -> None:
    """Volumes with the same axes in another order or direction, in every format that is read."""
    image = nib.Nifti1Image(brain().astype(np.int16), affine())
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(axes)
    )
    turned = image.as_reoriented(turn)
    path = tmp_path / f"brain_t1.{ending}"
    if ending in ("hdr", "img.gz"):
        nib.save(nib.Nifti1Pair(np.asarray(turned.dataobj), turned.affine), path)
    elif ending.startswith("mg"):
        nib.save(nib.MGHImage(np.asarray(turned.dataobj), turned.affine), path)
    else:
        sitk.WriteImage(itk_image(np.asarray(turned.dataobj), turned.affine), str(path))
    (case,) = find_cases(tmp_path, modalities=("t1",)).cases
    found = prepared(case.images["t1"])
    assert torch.equal(found.brain, plain().brain)
    assert (found.slices - plain().slices).abs().max() < TOLERANCE
    assert found.content == plain().content


@quick(12)
@given(storing=storings(), mask=storings(), skull=st.booleans())
def test_a_mask_may_be_stored_in_another_way(
    storing: Storing, mask: Storing, skull: bool, tmp_path: Path
) -> None:
    head = np.where(brain() > 0, brain(), 800.0) if skull else brain()
    image = store(tmp_path / "brain", head, storing)
    inside = store(tmp_path / "mask", (brain() > 0) * 4.0, mask)
    check_same(prepared(image, inside), storing)


@quick(8)
@given(storing=storings(), background=st.sampled_from((-1024.0, 3e-7, -0.5)))
def test_a_background_may_be_any_one_value(
    storing: Storing, background: float, tmp_path: Path
) -> None:
    storing = replace(storing, dtype="f8", slope=1.0, inter=0.0)
    data = np.where(brain() > 0, brain(), background)
    check_same(prepared(store(tmp_path / "brain", data, storing, background)), storing)


def test_halves_of_voxels_are_brain_in_any_order_of_the_axes(tmp_path: Path) -> None:
    """Voxels of 1 mm lie halfway between those of a grid of 3.25 mm, again and again."""
    index = np.indices((150, 180, 134))
    rng = np.random.default_rng(0)
    radii = np.array([70, 88, 65]) + rng.uniform(-4, 4, 3)
    centre = np.array([75, 90, 67]) + rng.uniform(-1, 1, 3)
    distance = sum(((index[k] - centre[k]) / radii[k]) ** 2 for k in range(3))
    inside = (distance < 1) ^ ((rng.random(distance.shape) < 0.02) & (abs(distance - 1) < 0.05))
    data = np.where(inside, 300 + 50 * np.sin(index[0] / 9) + index[1], 0).astype(np.float32)
    image = nib.Nifti1Image(data, np.diag([-1.0, 1, 1, 1]))
    transforms = CaseTransforms(("t1",), Grid(size=64, spacing_mm=3.25, slice_spacing_mm=3.25))
    found = {}
    for axes in ("LAS", "RAS", "PIL", "SAR"):
        turn = nib.orientations.ornt_transform(
            nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(axes)
        )
        path = tmp_path / f"{axes}_t1.nii"
        nib.save(image.as_reoriented(turn), path)
        found[axes] = transforms(Case("case", "case", {"t1": ImageFile(path)}))
    for other in found.values():
        assert torch.equal(other.brain, found["LAS"].brain)
        assert (other.slices - found["LAS"].slices).abs().max() < TOLERANCE
        assert other.content == found["LAS"].content
