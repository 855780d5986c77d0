"""Masks, parcellations and images of a brain: what is inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_files import refusal, save
from scipy import ndimage

from pipeline.files.images.masks import inside
from pipeline.files.images.reading import read_labels, read_mask

GRID = np.indices((24, 28, 22)).astype(np.float32)
BRAIN = sum(((GRID[k] - c) / s) ** 2 for k, (c, s) in enumerate(((12, 9), (14, 11), (11, 8)))) < 1
TISSUE = 300 + 80 * np.sin(GRID[0] / 3) + 60 * np.cos(GRID[1] / 3)
SOFT = ndimage.gaussian_filter(BRAIN.astype(np.float32), 1.0)
HALF = SOFT > 0.5


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


SIDE, RIM = np.where(GRID[0] > 12, 1000, 0), BRAIN & ~ndimage.binary_erosion(BRAIN, iterations=3)
PARCEL = (GRID[1] // 4 * 7 + GRID[2] // 4) % 34 + 1
CALLOSUM = BRAIN & (np.abs(GRID[0] - 12) < 1) & (np.abs(GRID[2] - 11) < 1)

MASKS = {
    "bool": (BRAIN, BRAIN),
    "0.9999": (BRAIN * 0.9999, BRAIN),
    "soft": (SOFT, HALF),
    "soft, overshooting": (SOFT * 1.1 - 0.05, SOFT * 1.1 - 0.05 > 0.5),
    "8 bits": (BRAIN * 255, BRAIN),
    "8 bits, soft": ((SOFT * 255).round(), HALF),
    "percent": (SOFT * 100, HALF),
    "two tissues": (BRAIN * (1 + (TISSUE > 250)), BRAIN),
    "tissues, 3 the most": (np.where(BRAIN, np.where(TISSUE > 250, 3, 1), 0), BRAIN),
    "parcels": (np.where(BRAIN, (TISSUE * 7) % 2000 + 1, 0).round(), BRAIN),
    "FreeSurfer, cortex": (np.where(RIM, 1000 + SIDE + PARCEL, BRAIN * 41), BRAIN),
    "FreeSurfer, a2009s": (np.where(RIM, 11100 + SIDE + PARCEL, BRAIN * 41), BRAIN),
    "FreeSurfer, aseg": (
        np.where(CALLOSUM, 251 + GRID[1] % 5, np.where(RIM, 42, BRAIN * 41)),
        BRAIN,
    ),
    "BrainSuite": (np.where(RIM, 100 + SIDE // 5 + PARCEL, BRAIN * 2000), BRAIN),
    "16 bits, soft": ((SOFT * 65535).round(), HALF),
    "unknown is -1": (np.where(BRAIN, 2, -1), BRAIN),
    "image, float": (np.where(BRAIN, TISSUE * 0.93, 0), BRAIN),
    "image, 0 to 1": (np.where(BRAIN, TISSUE / 450, 0), BRAIN),
    "whole image": (np.where(BRAIN, TISSUE, 0).astype(np.int16), BRAIN),
    "image, int with negatives": (np.where(BRAIN, TISSUE - 300, 0).astype(np.int16), BRAIN),
    "image, z-score": (np.where(BRAIN, (TISSUE - 300) / 90, 0), BRAIN),
    "image, 0 as 3e-7": (np.where(BRAIN, (TISSUE - 300) / 90, 3e-7), BRAIN),
    "image, all negative": (np.where(BRAIN, -TISSUE, 0), BRAIN),
    "nothing": (BRAIN * 0, BRAIN & False),
}


@pytest.mark.parametrize("kind", MASKS)
def test_what_is_inside(kind: str) -> None:
    data, expected = MASKS[kind]
    found, is_image = inside(np.asarray(data, np.float32), probable=False)
    assert is_image == kind.startswith("image")
    assert found.dtype == bool
    assert not expected.any() if not found.any() else dice(found, expected) > 0.995


def test_a_name_decides_where_values_from_0_to_1_do_not_tell(tmp_path: Path) -> None:
    data = np.where(BRAIN, np.where(GRID[0] > 12, 0.8, 0.3), 0).astype(np.float32)
    data[12, 14, 11] = 1.0
    mask = read_mask(save(tmp_path / "a_brain_mask.nii.gz", data))
    assert np.array_equal(mask.data, data > 0.5)
    assert mask.notes == ()
    image = read_mask(save(tmp_path / "a_flair_brain.nii.gz", data))
    assert np.array_equal(image.data, data != 0)
    assert image.notes == (
        "a_flair_brain.nii.gz is taken as an image of the brain, the mask is where it is not 0.",
    )


def test_probabilities_are_cut_at_half_where_they_are_known_as_such(tmp_path: Path) -> None:
    path = save(tmp_path / "a_wmh.nii.gz", np.where(BRAIN, TISSUE / 450, 0).astype(np.float32))
    mask = read_mask(path, probable=True)
    assert np.array_equal(mask.data, np.where(BRAIN, TISSUE / 450, 0) > 0.5)
    assert mask.notes == ()


def test_a_channel_of_a_mask_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "two.nii.gz", np.stack([~BRAIN, BRAIN], -1).astype(np.uint8))
    assert np.array_equal(read_mask(path, 1).data, BRAIN)


def test_a_mask_of_one_slice_that_is_an_image_with_negatives(tmp_path: Path) -> None:
    data = np.where(BRAIN, TISSUE - 300, 0)[:, :, 11]
    assert dice(read_mask(save(tmp_path / "a.nii.gz", data)).data[..., 0], BRAIN[:, :, 11]) > 0.99


@pytest.mark.parametrize("value", [0.9995, 1.0004, 3.0002, -0.0008])
def test_labels_are_rounded_within_a_thousandth(value: float, tmp_path: Path) -> None:
    labels = read_labels(save(tmp_path / "a.nii.gz", (BRAIN * value).astype(np.float32)))
    assert np.array_equal(labels.data, BRAIN * round(value))


@pytest.mark.parametrize(("value", "said"), [(0.998, "off by up to 0.002"), (3e9, "beyond")])
def test_other_labels_are_refused(value: float, said: str, tmp_path: Path) -> None:
    assert said in refusal(save(tmp_path / "a.nii.gz", BRAIN * value), read_labels)


def test_large_labels_keep_every_digit(tmp_path: Path) -> None:
    data = (GRID[0].astype(np.int32) + 2**25 + np.arange(22)).astype(np.int32)
    assert np.array_equal(read_labels(save(tmp_path / "a.nii.gz", data)).data, data)
