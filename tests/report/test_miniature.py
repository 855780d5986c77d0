"""Miniatures: small, in the same place, and as near to the source as 8 bits allow."""

from __future__ import annotations

import base64
import gzip

import nibabel as nib
import numpy as np
import pytest
from brains import BRAIN_CENTRE_MM, centred_affine, inside_brain, smooth_intensity, world_of

from pipeline.report.miniature import encode, encode_labels, frame_of, sample

FLIPPED = np.diag([-2.0, -2.0, 3.0])
OBLIQUE = np.array([[1.9, -0.5, 0.0], [0.5, 1.9, 0.2], [0.0, -0.3, 2.9]])


def decoded(text: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


@pytest.mark.parametrize("linear", [np.diag([2.0, 2.0, 2.0]), FLIPPED, OBLIQUE])
@pytest.mark.parametrize("max_voxels", [10**9, 30_000])
def test_a_miniature_lies_where_its_source_does(linear: np.ndarray, max_voxels: int) -> None:
    affine, shape = centred_affine(linear)
    world = world_of(shape, affine)
    brain = inside_brain(world)
    frame = frame_of(brain, affine, max_voxels)
    assert np.prod(frame.shape) <= max_voxels
    # Linear in the world, so that neither smoothing nor interpolation changes it.
    ramp = (world @ [1.0, 0.5, -0.25]).astype(np.float32)
    small_world = world_of(frame.shape, frame.affine)
    inner = (slice(3, -3),) * 3
    np.testing.assert_allclose(
        sample(ramp, frame)[inner], (small_world @ [1.0, 0.5, -0.25])[inner], atol=0.2
    )
    centre = np.average(small_world[sample(brain, frame, labels=True)], axis=0)
    np.testing.assert_allclose(centre, BRAIN_CENTRE_MM, atol=1.5)


def test_nothing_of_the_brain_is_cut_off() -> None:
    affine, shape = centred_affine(FLIPPED)
    brain = inside_brain(world_of(shape, affine))
    frame = frame_of(brain, affine, 10**9)
    assert np.count_nonzero(brain[frame.box]) == np.count_nonzero(brain)
    assert np.prod(frame.shape) < brain.size
    assert frame_of(np.zeros_like(brain), affine, 10**9).shape == brain.shape


def test_thick_slices_stay_and_fine_pixels_are_merged() -> None:
    frame = frame_of(np.ones((240, 240, 20), bool), np.diag([1.0, 1.0, 6.0, 1.0]), 200_000)
    assert frame.shape[2] == 20
    assert frame.shape[0] == frame.shape[1] < 110


def test_eight_bits_keep_values_to_half_a_step() -> None:
    affine, shape = centred_affine(np.diag([4.0, 4.0, 4.0]))
    values = smooth_intensity(world_of(shape, affine)).astype(np.float32)
    image = decoded(encode(values, affine, 300.0, 700.0))
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_allclose(image.affine, affine, atol=1e-4)
    kept = np.clip(values, 300, 700)
    np.testing.assert_allclose(image.get_fdata(), kept, atol=(700 - 300) / 255 / 2 + 1e-3)


def test_labels_are_kept_and_texts_repeat() -> None:
    labels = np.arange(24).reshape(2, 3, 4)
    text = encode_labels(labels, np.eye(4))
    np.testing.assert_array_equal(decoded(text).get_fdata(), labels)
    assert text == encode_labels(labels, np.eye(4))
