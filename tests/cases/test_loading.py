"""A case's files on one grid, its brain mask, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from brains import BRAIN_CENTRE_MM, SmallBrain, inside_brain, smooth_intensity, world_of
from PIL import Image
from prepared import LINEARS, WORKING, MakeBrain, case_of, disc, prepare, write

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.loading import (
    check_same_grid,
    find_brain,
    largest_part,
    load_brain,
    read_label,
)
from pipeline.cases.transforms import BACKGROUND, CaseTransforms
from pipeline.errors import InputError
from pipeline.files.nifti import Volume

# --- brain masks ----------------------------------------------------------------------------------


def head(world: np.ndarray) -> np.ndarray:
    """Not skull-stripped: tissue everywhere."""
    return np.where(inside_brain(world), smooth_intensity(world), 60.0)


def write_head(brain: SmallBrain) -> SmallBrain:
    data = head(brain.world).astype(np.float32)
    write(brain.path, data, brain.affine)
    return dataclasses.replace(brain, data=data)


@pytest.mark.parametrize("kind", ["ras", "oblique", "permuted_flipped"])
def test_a_parcellation_on_another_grid_is_brought_over_by_the_affines(
    kind: str, make_brain: MakeBrain, tmp_path: Path
) -> None:
    brain = write_head(make_brain(LINEARS["lps"]))
    like = make_brain(LINEARS[kind], name="parcellation.nii.gz")
    regions = np.where(like.inside, 1 + (like.world[..., 0] > 5) * 40, 0).astype(np.int16)
    parcellation = write(like.path, regions, like.affine)
    prepared = prepare(case_of(brain, brain_mask=parcellation))
    truth = inside_brain(brain.world)
    overlap = (
        2 * (truth & prepared.source_brain).sum() / (truth.sum() + prepared.source_brain.sum())
    )
    assert overlap > 0.96
    assert (prepared.slices[~prepared.brain] == BACKGROUND).all()


def test_holes_in_the_brain_are_filled(make_brain: MakeBrain) -> None:
    brain = make_brain()
    data = brain.data.copy()
    hole = ((brain.world - BRAIN_CENTRE_MM) ** 2).sum(-1) < 15.0**2
    data[hole] = 0
    write(brain.path, data, brain.affine)
    prepared = prepare(case_of(brain))
    assert prepared.source_brain[hole].all()
    assert np.array_equal(prepared.source_brain, brain.inside)


@pytest.mark.parametrize("suffix", [".nii.gz", ".png"])
def test_holes_of_a_single_slice_are_filled(suffix: str, tmp_path: Path) -> None:
    grey = disc(80, 80)
    grey[36:44, 36:44] = 0
    path = tmp_path / f"single{suffix}"
    if suffix == ".png":
        Image.fromarray(grey).save(path)
    else:
        write(path, grey[::-1].T[..., None].astype(np.float32), np.diag([2.0, 2.0, 3.0, 1.0]))
    prepared = prepare(Case("single", "single", {"t1": ImageFile(path)}))
    assert prepared.source_brain[40, 40, 0]


def test_specks_in_the_background_are_no_brain(make_brain: MakeBrain) -> None:
    brain = make_brain()
    data = brain.data.copy()
    data[0, 0, 0] = data[-1, -1, -1] = 5.0
    write(brain.path, data, brain.affine)
    assert np.array_equal(prepare(case_of(brain)).source_brain, brain.inside)


def test_a_raw_head_needs_an_extractor(make_brain: MakeBrain) -> None:
    brain = write_head(make_brain(np.diag([3.0, 3.0, 4.0])))
    asked: list[Volume] = []

    def extract(volume: Volume) -> np.ndarray:
        asked.append(volume)
        return inside_brain(world_of(volume.data.shape, volume.affine))

    grown = np.pad(brain.data, 12, constant_values=60.0)
    affine = brain.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [12, 12, 12]
    write(brain.path, grown, affine)
    with pytest.raises(InputError, match="not skull-stripped") as caught:
        prepare(case_of(brain))
    assert str(brain.path) in str(caught.value)
    prepared = CaseTransforms(("t1",), WORKING, extract)(case_of(brain))
    assert len(asked) == 1
    assert np.array_equal(prepared.source_brain, inside_brain(world_of(grown.shape, affine)))


def test_an_extractor_is_not_asked_about_a_stripped_brain(make_brain: MakeBrain) -> None:
    def extract(volume: Volume) -> np.ndarray:
        raise AssertionError

    brain = make_brain()
    assert CaseTransforms(("t1",), WORKING, extract)(case_of(brain)).source_brain.any()


def test_a_brain_is_loaded_in_scanner_units_on_its_own_grid(make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS["lps"])
    images, mask, affine = load_brain(case_of(brain), ("t1",))
    assert np.array_equal(images["t1"], brain.data)
    assert np.array_equal(mask, brain.inside)
    assert np.allclose(affine, brain.affine, atol=1e-4)
    volume = Volume(brain.data, brain.affine, brain.path)
    assert np.array_equal(find_brain(case_of(brain), [volume]), brain.inside)


# --- refusals -------------------------------------------------------------------------------------


def refusal(case: Case, modalities: tuple[str, ...] = ("t1",)) -> str:
    with pytest.raises(InputError) as caught:
        prepare(case, modalities=modalities)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_piece_of_a_brain_is_refused(make_brain: MakeBrain) -> None:
    brain = make_brain()
    small = np.where(((brain.world - BRAIN_CENTRE_MM) ** 2).sum(-1) < 30.0**2, brain.data, 0)
    write(brain.path, small, brain.affine)
    message = refusal(case_of(brain))
    assert str(brain.path) in message
    assert "at least 200 mL" in message


def test_a_missing_modality_is_named(make_brain: MakeBrain) -> None:
    message = refusal(case_of(make_brain()), ("t1", "flair"))
    assert "case: has t1; flair is missing" in message


@pytest.mark.parametrize("change", ["shape", "affine"])
def test_modalities_on_different_grids_are_refused(change: str, make_brain: MakeBrain) -> None:
    a = make_brain(name="a_t1.nii.gz")
    data, affine = a.data, a.affine.copy()
    if change == "shape":
        data = data[:, :, :-1]
    else:
        affine[0, 3] += 1.0
    t2 = write(a.path.with_name("a_t2.nii.gz"), data, affine)
    case = Case("a", "a", {"t1": ImageFile(a.path), "t2": t2})
    message = refusal(case, ("t1", "t2"))
    assert str(a.path) in message
    assert str(t2.path) in message


def test_a_mask_elsewhere_in_the_world_is_refused(make_brain: MakeBrain, tmp_path: Path) -> None:
    brain = make_brain()
    affine = brain.affine.copy()
    affine[:3, 3] += 500
    mask = write(tmp_path / "mask.nii.gz", brain.inside.astype(np.uint8), affine)
    message = refusal(case_of(brain, brain_mask=mask))
    assert "does not overlap" in message
    assert str(mask.path) in message
    assert str(brain.path) in message


def test_an_empty_mask_is_refused(make_brain: MakeBrain, tmp_path: Path) -> None:
    brain = make_brain()
    mask = write(tmp_path / "mask.nii.gz", np.zeros(brain.data.shape, np.uint8), brain.affine)
    message = refusal(case_of(brain, brain_mask=mask))
    assert "empty" in message
    assert str(mask.path) in message


def test_labels_must_exist_and_share_the_image_s_grid(
    make_brain: MakeBrain, tmp_path: Path
) -> None:
    brain = make_brain()
    like = Volume(brain.data, brain.affine, brain.path)
    with pytest.raises(InputError, match="no lesion label"):
        read_label(case_of(brain))
    label = write(tmp_path / "seg.nii.gz", np.ones((4, 4, 4), np.uint8), brain.affine)
    assert read_label(case_of(brain, label=label)).data.sum() == 64
    with pytest.raises(InputError, match=r"seg\.nii\.gz.*differs"):
        read_label(case_of(brain, label=label), like)


@pytest.mark.parametrize("change", ["none", "shape", "affine", "unreadable"])
def test_headers_alone_tell_whether_a_label_lies_on_its_image(change: str, tmp_path: Path) -> None:
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    image = write(tmp_path / "t1.nii.gz", np.zeros((4, 5, 6), np.float32), affine)
    affine[0, 3] += change == "affine"
    shape = (4, 5, 6 + (change == "shape"))
    label = write(tmp_path / "seg.nii.gz", np.zeros(shape, np.uint8), affine)
    if change == "unreadable":
        label.path.write_text("no image")
    if change in ("none", "unreadable"):  # reading says what is wrong with it
        check_same_grid(label, image)
        return
    with pytest.raises(InputError, match=r"seg\.nii\.gz: the label's grid \(4, 5, \d\) differs"):
        check_same_grid(label, image)


def test_a_flat_label_lies_on_an_image_of_one_slice(tmp_path: Path) -> None:
    image = write(tmp_path / "t1.nii.gz", np.zeros((4, 5, 1), np.float32), np.eye(4))
    check_same_grid(write(tmp_path / "seg.nii.gz", np.zeros((4, 5), np.uint8), np.eye(4)), image)


# --- the largest part ---------------------------------------------------------------------------


def test_the_largest_part_touches_by_faces() -> None:
    mask = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 0]], bool)
    expected = mask & (np.arange(5) > 1)
    np.testing.assert_array_equal(largest_part(mask), expected)
    np.testing.assert_array_equal(largest_part(expected), expected)
    assert not largest_part(np.zeros((2, 3, 4), bool)).any()
