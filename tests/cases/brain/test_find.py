"""The brain of a case: what is taken as one, what is said of it, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from brains import (
    BRAIN_CENTRE_MM,
    SEMI_AXES_MM,
    SmallBrain,
    inside_brain,
    smooth_intensity,
    world_of,
)
from PIL import Image
from prepared import LINEARS, WORKING, MakeBrain, case_of, disc, prepare, write

from pipeline.cases.brain.find import find_brain, load_brain
from pipeline.cases.case import Case, ImageFile
from pipeline.cases.loading import BrainExtractor
from pipeline.cases.transforms import BACKGROUND, CaseTransforms
from pipeline.errors import InputError
from pipeline.files.images.volume import Volume


def head(world: np.ndarray) -> np.ndarray:
    """Not skull-stripped: noise everywhere."""
    noise = np.random.default_rng(0).uniform(1, 60, world.shape[:-1])
    return np.where(inside_brain(world), smooth_intensity(world), noise)


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

    affine = brain.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [12, 12, 12]
    grown = head(world_of(tuple(n + 24 for n in brain.data.shape), affine)).astype(np.float32)
    write(brain.path, grown, affine)
    with pytest.raises(InputError, match="not skull-stripped") as caught:
        prepare(case_of(brain))
    assert str(brain.path) in str(caught.value)
    prepared = CaseTransforms(("t1",), WORKING, BrainExtractor("x", extract))(case_of(brain))
    assert any("found in it by x" in note for note in prepared.notes)
    assert len(asked) == 1
    assert np.array_equal(prepared.source_brain, inside_brain(world_of(grown.shape, affine)))


def test_an_extractor_is_not_asked_about_a_stripped_brain(make_brain: MakeBrain) -> None:
    def extract(volume: Volume) -> np.ndarray:
        raise AssertionError

    brain = make_brain()
    assert CaseTransforms(("t1",), WORKING, BrainExtractor("x", extract))(
        case_of(brain)
    ).source_brain.any()


def test_a_brain_is_loaded_in_scanner_units_on_its_own_grid(make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS["lps"])
    images, mask, affine = load_brain(case_of(brain), ("t1",))
    assert np.array_equal(images["t1"], brain.data)
    assert np.array_equal(mask, brain.inside)
    assert np.allclose(affine, brain.affine, atol=1e-4)
    volume = Volume(brain.data, brain.affine, brain.path)
    assert np.array_equal(find_brain(case_of(brain), [volume]).mask, brain.inside)


# --- background -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "dtype"), [(-1024, np.int16), (3e-7, np.float32), (7, np.int16)])
def test_a_background_of_any_one_value_is_background(
    value: float, dtype: type, make_brain: MakeBrain
) -> None:
    brain = make_brain()
    write(brain.path, np.where(brain.inside, brain.data, value).astype(dtype), brain.affine)
    prepared = prepare(case_of(brain))
    assert np.array_equal(prepared.source_brain, brain.inside)
    (note,) = prepared.notes
    assert f"its background is {value:.4g}, not 0" in note


def test_a_z_scored_brain_keeps_its_background_through_scale_factors(
    make_brain: MakeBrain,
) -> None:
    brain = make_brain(LINEARS["fine"])
    scores = np.where(brain.inside, (brain.data - 500) / 80, 0).astype(np.float32)
    scores[brain.inside & (np.abs(scores) < 1e-3)] = 0.01
    # As a file's integers times a slope, plus an intercept: 0 comes back as almost 0.
    slope = np.float32(np.ptp(scores) / 65535)
    stored = np.rint((scores - scores.min()) / slope)
    write(brain.path, (stored * slope + scores.min()).astype(np.float32), brain.affine)
    assert np.array_equal(prepare(case_of(brain)).source_brain, brain.inside)


# --- parts ----------------------------------------------------------------------------------------


def test_both_halves_of_a_brain_that_empty_slices_split_are_kept(make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS["ras"])
    split = brain.data.copy()
    split[:, :, split.shape[2] // 2 - 3 : split.shape[2] // 2] = 0
    write(brain.path, split, brain.affine)
    prepared = prepare(case_of(brain))
    assert np.array_equal(prepared.source_brain, split != 0)
    (note,) = prepared.notes
    assert "2 separate parts" in note


def test_what_is_dropped_is_said_in_millilitres(make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS["ras"])
    data = brain.data.copy()
    data[1:5, 1:5, 1:5] = 50.0
    write(brain.path, data, brain.affine)
    prepared = prepare(case_of(brain))
    assert np.array_equal(prepared.source_brain, brain.inside)
    (note,) = prepared.notes
    assert note.startswith("1.7 mL that are not background, in 1 small part apart")


def test_a_modality_without_a_part_of_the_brain_is_named(make_brain: MakeBrain) -> None:
    a = make_brain(LINEARS["ras"], name="a_t1.nii.gz")
    half = a.data.copy()
    half[: half.shape[0] // 3] = 0
    t2 = write(a.path.with_name("a_t2.nii.gz"), half, a.affine)
    case = Case("a", "a", {"t1": ImageFile(a.path), "t2": t2})
    (note,) = prepare(case, modalities=("t1", "t2")).notes
    assert note.startswith("a_t2.nii.gz: 2")
    assert note.endswith("of the brain of the other images are background in it")


# --- no brain -------------------------------------------------------------------------------------


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


def test_an_empty_mask_is_refused(make_brain: MakeBrain, tmp_path: Path) -> None:
    brain = make_brain()
    mask = write(tmp_path / "mask.nii.gz", np.zeros(brain.data.shape, np.uint8), brain.affine)
    message = refusal(case_of(brain, brain_mask=mask))
    assert "empty" in message
    assert str(mask.path) in message


def ellipsoid(world: np.ndarray, margin_mm: float) -> np.ndarray:
    return (((world - BRAIN_CENTRE_MM) / (SEMI_AXES_MM + margin_mm)) ** 2).sum(-1) < 1


@pytest.mark.parametrize("kind", ["box", "padded box", "cylinder", "ellipsoid"])
def test_a_field_of_view_full_of_noise_is_no_brain(kind: str, make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS["ras"])
    filled = head(brain.world)
    distance = (brain.world - BRAIN_CENTRE_MM) / (SEMI_AXES_MM + 4)
    if kind == "cylinder":
        within = ((distance[..., :2] ** 2).sum(-1) < 1) & (np.abs(distance[..., 2]) < 1)
        filled = np.where(within, filled, 0)
    elif kind == "ellipsoid":
        filled = np.where(ellipsoid(brain.world, 9.0), filled, 0)
    filled = np.pad(filled, 4 * (kind != "box")).astype(np.float32)
    write(brain.path, filled, brain.affine)
    message = refusal(case_of(brain))
    assert str(brain.path) in message
    assert "_brain_mask.nii.gz" in message


def test_a_small_head_is_no_brain(make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS["fine"])
    # Scalp, bone and fluid around a brain of 650 mL, 1050 mL in all.
    depth = 1 - np.sqrt((((brain.world - BRAIN_CENTRE_MM) / SEMI_AXES_MM) ** 2).sum(-1))
    layers = [(0.15, smooth_intensity(brain.world)), (0.07, 40.0), (0.0, 700.0)]
    data = np.zeros_like(brain.data)
    for upper, value in reversed(layers):
        data = np.where(depth > upper, value, data)
    write(brain.path, data.astype(np.float32), brain.affine)
    message = refusal(case_of(brain))
    assert "is a head, not skull-stripped" in message


@pytest.mark.parametrize("side", ["top", "bottom"])
def test_halves_of_a_brain_are_treated_alike(side: str, make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS["ras"])
    is_above = brain.world[..., 2] > BRAIN_CENTRE_MM[2]
    data = np.where(is_above == (side == "top"), brain.data, 0)
    write(brain.path, data, brain.affine)
    (note,) = prepare(case_of(brain)).notes
    assert f"ends flat at its {'bottom' if side == 'top' else 'top'}" in note


def test_absurd_spacings_are_named(make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS["ras"])
    write(brain.path, brain.data, np.diag([3e4, 0.03, 0.03, 1.0]))
    assert "are the spacings in the header right?" in refusal(case_of(brain))


def test_a_brain_that_misses_the_field_of_view_is_no_success(make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS["ras"])
    with pytest.raises(InputError, match="outside the model's field of view of 66 mm"):
        prepare(case_of(brain), grid=dataclasses.replace(WORKING, size=22, spacing_mm=3.0))


# --- masks that are given -------------------------------------------------------------------------


def test_a_mask_of_another_image_is_refused(make_brain: MakeBrain, tmp_path: Path) -> None:
    brain = make_brain(LINEARS["ras"])
    data = np.pad(brain.data, ((0, 40), (0, 0), (0, 0)))
    write(brain.path, data, brain.affine)
    shifted = np.roll(data != 0, 38, axis=0)
    mask = write(tmp_path / "mask.nii.gz", shifted.astype(np.uint8), brain.affine)
    assert "is it the mask of another image?" in refusal(case_of(brain, brain_mask=mask))


def test_a_mask_of_the_whole_box_is_refused(make_brain: MakeBrain, tmp_path: Path) -> None:
    brain = make_brain(LINEARS["ras"])
    box = np.ones(brain.data.shape, np.uint8)
    mask = write(tmp_path / "mask.nii.gz", box, brain.affine)
    assert str(mask.path) in refusal(case_of(brain, brain_mask=mask))


def test_a_mask_of_a_part_of_a_stripped_brain_is_said(
    make_brain: MakeBrain, tmp_path: Path
) -> None:
    brain = make_brain(LINEARS["ras"])
    part = (brain.inside & ellipsoid(brain.world, -20.0)).astype(np.uint8)
    mask = write(tmp_path / "mask.nii.gz", part, brain.affine)
    (note,) = prepare(case_of(brain, brain_mask=mask)).notes
    assert "mL that are not background" in note
