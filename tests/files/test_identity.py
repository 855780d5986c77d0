"""What a file holds as one hash, and what a brain is, however its scan is stored."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.files.identity import arrays_hash, brain_hash, content_hash, file_state


def test_the_hash_of_a_file_is_its_sha256_under_any_name(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"abc" * 1_000_000)
    assert content_hash(first) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    os.utime(first, ns=(0, 0))
    first.rename(second)
    assert content_hash(second) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def test_a_file_that_was_changed_under_its_size_and_time_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    state = file_state(path)
    content_hash(path)
    path.write_bytes(b"abd")
    os.utime(path, ns=(state.modified_ns, state.modified_ns))
    assert content_hash(path) == hashlib.sha256(b"abd").hexdigest()


def brain() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels as whole numbers, a mask of no symmetry, and an affine."""
    rng = np.random.default_rng(0)
    data = rng.integers(0, 900, (9, 8, 7)).astype(np.float32)
    inside = np.zeros(data.shape, bool)
    inside[2:8, 1:7, 3:6] = True
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = (-4, 5, 6)
    return data, inside, affine


def turned(
    data: np.ndarray, inside: np.ndarray, affine: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same image with the first axis reversed, and the others exchanged."""
    back = np.eye(4)
    back[:3, :3] = [[-1, 0, 0], [0, 0, 1], [0, 1, 0]]
    back[0, 3] = data.shape[0] - 1
    return (*(a[::-1].transpose(0, 2, 1) for a in (data, inside)), affine @ back)


def padded(
    data: np.ndarray, inside: np.ndarray, affine: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3] @ [2, 2, 2]
    return np.pad(data, 2), np.pad(inside, 2), moved


def test_a_brain_is_the_same_however_it_is_stored() -> None:
    data, inside, affine = brain()
    expected = brain_hash({"flair": data}, inside, affine)
    ways = {
        "turned": turned(data, inside, affine),
        "padded": padded(data, inside, affine),
        "as int16": (data.astype(np.int16), inside, affine),
        "big-endian": (data.astype(">f4"), inside, affine),
        "other background": (np.where(inside, data, -5), inside, affine),
        "moved": (data, inside, affine + np.array([[0, 0, 0, 9]] * 3 + [[0] * 4])),
        "with a sign of 0": (np.where(data == 0, np.float32(-0.0), data), inside, affine),
    }
    for way, (voxels, mask, where) in ways.items():
        assert brain_hash({"flair": voxels}, mask, where) == expected, way


@pytest.mark.parametrize("change", ["voxel", "mask", "modality", "mirrored", "order"])
def test_another_brain_is_another_one(change: str) -> None:
    data, inside, affine = brain()
    images = {"flair": data, "t1": data + 1}
    expected = brain_hash(images, inside, affine)
    changed = data.copy()
    changed[4, 4, 4] += 1
    smaller = inside.copy()
    smaller[2, 1, 3] = False
    others = {
        "voxel": ({"flair": changed, "t1": data + 1}, inside),
        "mask": (images, smaller),
        "modality": ({"flair": data, "t2": data + 1}, inside),
        "mirrored": ({m: image[::-1] for m, image in images.items()}, inside[::-1]),
        "order": ({"t1": data + 1, "flair": data}, inside),
    }
    assert brain_hash(*others[change], affine) != expected


def test_arrays_of_other_shape_are_others() -> None:
    assert arrays_hash(np.zeros((2, 3))) == arrays_hash(np.zeros((2, 3), bool))
    assert arrays_hash(np.zeros((2, 3))) != arrays_hash(np.zeros((3, 2)))
