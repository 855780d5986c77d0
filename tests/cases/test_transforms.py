"""From a case to slices and back, for brains on every kind of grid."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from brains import SmallBrain, inside_brain, smooth_intensity
from PIL import Image
from prepared import (
    LINEARS,
    MARKER_MM,
    WORKING,
    MakeBrain,
    case_of,
    disc,
    prepare,
    stack_affine,
    stack_world,
    with_marker,
    write,
)
from scipy import ndimage
from torch import Tensor

from pipeline.cases import loading
from pipeline.cases.brain.window import robust_window
from pipeline.cases.case import Case, ImageFile
from pipeline.cases.find import find_cases
from pipeline.cases.grid import Grid
from pipeline.cases.transforms import (
    BACKGROUND,
    CaseTransforms,
    Prepared,
    notes_of_images,
)
from pipeline.errors import InputError
from pipeline.files import memory
from pipeline.files.images.volume import Volume

ON_EVERY_GRID = pytest.mark.parametrize("kind", LINEARS)


def test_the_forms_of_the_header_and_what_reading_guessed_are_kept(make_brain: MakeBrain) -> None:
    case = case_of(make_brain(LINEARS["ras"]))
    path = case.images["t1"].path
    image = nib.load(path)
    assert prepare(case).source_forms == (2, 0, ())
    assert prepare(case).notes == ()
    image.set_sform(image.affine, 0)
    image.set_qform(image.affine, 0)
    nib.save(image, path)
    prepared = prepare(case)
    assert prepared.source_forms == (0, 0, ())
    assert "Neither sform nor qform is set" in prepared.notes[0]


# --- orientation ----------------------------------------------------------------------------------


@ON_EVERY_GRID
def test_rows_run_to_anterior_columns_to_the_right_and_slices_upwards(
    kind: str, make_brain: MakeBrain
) -> None:
    prepared = prepare(case_of(make_brain(LINEARS[kind], with_marker)))
    bright = ndimage.gaussian_filter(prepared.slices[:, 0].numpy(), 1.5)
    found = np.array(np.unravel_index(bright.argmax(), bright.shape))
    middle = np.array([axis.mean() for axis in np.nonzero(prepared.brain[:, 0].numpy())])
    offset_mm = (found - middle) * 3.25
    superior, anterior, right = offset_mm
    tolerance_mm = 13.0 if kind.startswith("oblique") else 4.0
    assert right == pytest.approx(24.0, abs=tolerance_mm)
    assert anterior == pytest.approx(33.0, abs=tolerance_mm)
    assert superior == pytest.approx(18.0, abs=tolerance_mm)
    marked = stack_world(prepared)[tuple(found)]
    assert np.linalg.norm(marked - MARKER_MM) < 5.0


def test_the_content_of_a_brain_does_not_ask_for_its_file(
    make_brain: MakeBrain, tmp_path: Path
) -> None:
    whole = make_brain(LINEARS["permuted_flipped"], lambda w: np.rint(smooth_intensity(w)))
    content = prepare(case_of(whole)).content
    (tmp_path / "sub").mkdir()
    ways = {
        "other_t1.nii": nib.Nifti1Image(whole.data.astype(np.int16), whole.affine),
        "sub/turned_t1.nii.gz": nib.as_closest_canonical(nib.Nifti1Image(whole.data, whole.affine)),
    }
    for name, image in ways.items():
        nib.save(image, tmp_path / name)
        found = Case("x", "y", {"t1": ImageFile(tmp_path / name)})
        assert prepare(found).content == content
    other = make_brain(LINEARS["permuted_flipped"], smooth_intensity, name="third_t1.nii.gz")
    assert prepare(case_of(other)).content != content


@ON_EVERY_GRID
def test_slices_show_the_brain_at_its_place_in_the_world(kind: str, make_brain: MakeBrain) -> None:
    """Affinely equal to the intensity at each pixel's world coordinates."""
    prepared = prepare(case_of(make_brain(LINEARS[kind])))
    deep = ndimage.binary_erosion(prepared.brain[:, 0].numpy(), iterations=2)
    shown = prepared.slices[:, 0].numpy()[deep]
    truth = smooth_intensity(stack_world(prepared))[deep]
    slope, offset = np.polyfit(truth, shown, 1)
    assert slope > 0
    assert np.abs(slope * truth + offset - shown).max() < 0.05
    inside = inside_brain(stack_world(prepared))
    overlap = 2 * (inside & prepared.brain[:, 0].numpy()).sum()
    assert overlap / (inside.sum() + prepared.brain.sum()) > 0.96


@ON_EVERY_GRID
def test_values_lie_in_the_range_and_the_background_is_exact(
    kind: str, make_brain: MakeBrain
) -> None:
    prepared = prepare(case_of(make_brain(LINEARS[kind], with_marker)))
    assert prepared.slices.dtype == torch.float32
    assert prepared.slices.shape[1:] == (1, 64, 64)
    assert prepared.slices.min() >= -1
    assert prepared.slices.max() <= 1
    assert (prepared.slices[~prepared.brain] == BACKGROUND).all()
    assert torch.equal(prepared.healthy, prepared.brain)
    assert prepared.notes == ()
    on_grid_ml = float(prepared.brain.sum()) * 3.25**3 / 1000
    assert on_grid_ml == pytest.approx(1050.0, rel=0.03)


# --- round trips ----------------------------------------------------------------------------------


def as_maps(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))[:, None]


@ON_EVERY_GRID
def test_a_linear_map_comes_back_to_every_source_voxel(kind: str, make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS[kind])
    prepared = prepare(case_of(brain))

    def linear(world: np.ndarray) -> np.ndarray:
        return world @ np.array([0.02, -0.013, 0.017]) + 3.0

    back = prepared.to_source(as_maps(linear(stack_world(prepared))))
    assert back.shape == brain.data.shape
    assert back.dtype == np.float32
    assert np.allclose(prepared.source_affine, brain.affine, atol=1e-4)
    assert np.array_equal(prepared.source_brain, brain.inside)
    assert not back[~brain.inside].any()
    error = np.abs(back - linear(brain.world))
    assert error[among_brain(prepared, brain)].max() < 2e-4
    # At the border the value is that of the brain voxels beside it, at most a diagonal away.
    assert error[brain.inside].max() < np.linalg.norm([0.02, 0.013, 0.017]) * 3.25 * 3**0.5


def among_brain(prepared: Prepared, brain: SmallBrain) -> np.ndarray:
    """Source voxels of which all eight neighbours on the working grid are brain."""
    index = (brain.world - stack_affine(prepared)[:3, 3]) @ np.linalg.inv(
        stack_affine(prepared)[:3, :3]
    ).T
    share = ndimage.map_coordinates(
        prepared.brain[:, 0].numpy().astype(float), np.moveaxis(index[..., ::-1], -1, 0), order=1
    )
    found: np.ndarray = brain.inside & (share > 0.9999)
    assert found.sum() > 0.75 * brain.inside.sum()
    return found


@ON_EVERY_GRID
def test_a_smooth_map_comes_back_within_the_error_of_interpolation(
    kind: str, make_brain: MakeBrain
) -> None:
    brain = make_brain(LINEARS[kind])
    prepared = prepare(case_of(brain))
    back = prepared.to_source(as_maps(smooth_intensity(stack_world(prepared))))
    error = np.abs(back - smooth_intensity(brain.world))[among_brain(prepared, brain)]
    # h^2 / 8 of the second derivatives, (90 + 60 + 50) / 30^2, is 0.3 of 400.
    assert error.max() < 0.4


@ON_EVERY_GRID
def test_unchanged_slices_come_back_in_scanner_units(kind: str, make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS[kind])
    prepared = prepare(case_of(brain))
    back = prepared.to_source_intensity(prepared.slices)
    assert back.shape == (1, *brain.data.shape)
    assert not back[0][~brain.inside].any()
    deep = ndimage.binary_erosion(brain.inside, iterations=2)
    error = np.abs(back[0] - brain.data)[deep]
    value_range = np.ptp(brain.data[brain.inside])
    assert np.median(error) < 0.003 * value_range
    assert error.max() < 0.03 * value_range


def test_two_modalities_keep_their_order_and_their_scanner_units(
    make_brain: MakeBrain,
) -> None:
    t1 = make_brain(name="a_t1.nii.gz")
    t2 = make_brain(intensity=lambda w: 9000 - 4 * smooth_intensity(w), name="a_t2.nii.gz")
    case = Case("a", "a", {"t2": ImageFile(t2.path), "t1": ImageFile(t1.path)})
    prepared = prepare(case, modalities=("t1", "t2"))
    assert prepared.slices.shape[1] == 2
    deep = ndimage.binary_erosion(prepared.brain[:, 0].numpy(), iterations=2)
    first, second = prepared.slices.numpy()[:, 0][deep], prepared.slices.numpy()[:, 1][deep]
    assert np.corrcoef(first, second)[0, 1] < -0.99
    back = prepared.to_source_intensity(prepared.slices)
    source_deep = ndimage.binary_erosion(t1.inside, iterations=2)
    assert np.abs(back[0] - t1.data)[source_deep].max() < 15
    assert np.abs(back[1] - t2.data)[source_deep].max() < 60
    assert prepared.to_source(prepared.brain.float()).shape == t1.data.shape


def test_a_case_that_was_pickled_goes_back_to_its_grid(make_brain: MakeBrain) -> None:
    """As it is handed to another process, where transforms have other addresses."""
    made = make_brain()
    case = Case("a", "a", {"t1": ImageFile(made.path)})
    here = CaseTransforms(("t1",), Grid(32, 6.5, 8.0))(case)
    there = pickle.loads(pickle.dumps(here))
    assert there._transforms is not here._transforms
    stack = here.slices[:, :1]
    np.testing.assert_array_equal(there.to_source(stack), here.to_source(stack))
    np.testing.assert_array_equal(
        there.to_source_intensity(here.slices), here.to_source_intensity(here.slices)
    )


def test_other_cases_do_not_change_a_result(make_brain: MakeBrain) -> None:
    transforms = CaseTransforms(("t1",), WORKING)
    a = case_of(make_brain(LINEARS["oblique"], with_marker, "a_t1.nii.gz"))
    b = case_of(make_brain(LINEARS["permuted"], name="b_t1.nii.gz"))
    first, other, again = transforms(a), transforms(b), transforms(a)
    assert torch.equal(first.slices, again.slices)
    maps = as_maps(smooth_intensity(stack_world(first)))
    expected = first.to_source(maps)
    other.to_source(other.brain.float())
    assert np.array_equal(again.to_source(maps), expected)
    assert np.array_equal(first.to_source(maps), expected)


@pytest.mark.parametrize(
    "grid", [Grid(128, 1.625, 2.0), Grid(48, 4.0, 6.0), Grid(64, 3.25, 1.5)], ids=str
)
def test_the_round_trip_holds_on_other_working_grids(grid: Grid, make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS["oblique_permuted"])
    prepared = prepare(case_of(brain), grid)
    assert prepared.slices.shape[2:] == (grid.size, grid.size)
    back = prepared.to_source_intensity(prepared.slices)[0]
    deep = ndimage.binary_erosion(brain.inside, iterations=2)
    assert np.abs(back - brain.data)[deep].max() < 0.04 * np.ptp(brain.data[brain.inside])


def test_a_brain_wider_than_the_field_of_view_is_noted(make_brain: MakeBrain) -> None:
    prepared = prepare(case_of(make_brain()), Grid(32, 3.25, 3.25))
    assert "field of view of 104 mm" in prepared.notes[0]
    back = prepared.to_source(prepared.brain.float())
    assert back.max() == pytest.approx(1)
    assert not back[~prepared.source_brain].any()


def test_the_map_is_zero_outside_the_field_of_view_as_the_note_says(make_brain: MakeBrain) -> None:
    brain = make_brain()
    prepared = prepare(case_of(brain), Grid(32, 3.25, 3.25))
    back = prepared.to_source(prepared.brain.float())
    index = np.linalg.solve(stack_affine(prepared), _homogeneous(brain.world))[:2]
    beyond = ((index < -0.6) | (index > 31.6)).any(0).reshape(back.shape)
    assert (beyond & brain.inside).any()
    assert not back[beyond].any()


def _homogeneous(world: np.ndarray) -> np.ndarray:
    flat = world.reshape(-1, 3).T
    return np.vstack([flat, np.ones(flat.shape[1])])


# --- intensities ----------------------------------------------------------------------------------


def tissue_values(n: int = 50_000) -> np.ndarray:
    """Intensities of a healthy brain: CSF, grey and white matter."""
    rng = np.random.default_rng(0)
    return np.concatenate(
        [rng.normal(150, 30, n // 6), rng.normal(420, 40, n // 2), rng.normal(560, 35, n // 3)]
    )


def test_the_window_follows_the_scanner_s_scale_and_offset() -> None:
    values = tissue_values()
    low, high = robust_window(values)
    moved = robust_window(3.7 * values - 200)
    assert moved == pytest.approx((3.7 * low - 200, 3.7 * high - 200), rel=1e-6)
    assert low < np.quantile(values, 0.01)
    assert high > np.quantile(values, 0.99)


def test_a_bright_lesion_hardly_moves_the_window() -> None:
    values = tissue_values()
    lesion = np.random.default_rng(1).normal(1000, 60, round(0.12 / 0.88 * len(values)))
    both = np.concatenate([values, lesion])

    def shift(window: Callable[[np.ndarray], tuple[float, float]]) -> float:
        """Largest shift of the healthy range in the units of the window, which is 2 wide."""
        (a, b), (c, d) = window(values), window(both)
        healthy = np.quantile(values, [0.05, 0.95])
        before, after = (2 * (healthy - e) / (f - e) for e, f in ((a, b), (c, d)))
        return float(np.abs(before - after).max() / (before[1] - before[0]))

    ours = shift(robust_window)
    usual = shift(lambda v: tuple(np.quantile(v, [0.01, 0.99])))  # type: ignore[arg-type]
    assert ours < 0.1
    assert usual > 0.3


def test_a_brain_of_one_intensity_is_refused() -> None:
    with pytest.raises(InputError, match="same intensity"):
        robust_window(np.full(100, 7.0))


def test_scale_and_offset_of_the_scanner_cancel_in_the_slices(make_brain: MakeBrain) -> None:
    plain = prepare(case_of(make_brain(intensity=with_marker)))
    other = make_brain(intensity=lambda w: 0.02 * with_marker(w) + 40, name="other_t1.nii.gz")
    assert (plain.slices - prepare(case_of(other)).slices).abs().max() < 1e-3


def test_negative_intensities_are_fine(make_brain: MakeBrain) -> None:
    plain = prepare(case_of(make_brain()))
    scores = make_brain(intensity=lambda w: (smooth_intensity(w) - 500.12345) / 90, name="z.nii.gz")
    assert (plain.slices - prepare(case_of(scores)).slices).abs().max() < 1e-2


# --- masks, two dimensions, real brains -----------------------------------------------------------


def test_an_exclude_mask_counts_as_brain_but_not_as_healthy(
    make_brain: MakeBrain, tmp_path: Path
) -> None:
    brain = make_brain(LINEARS["oblique"], with_marker)
    near = ((brain.world - MARKER_MM) ** 2).sum(-1) < 12.0**2
    exclude = write(tmp_path / "wmh.nii.gz", near.astype(np.uint8), brain.affine)
    prepared = prepare(case_of(brain, exclude=exclude))
    assert np.array_equal(prepared.source_healthy, brain.inside & ~near)
    left_out = (prepared.brain & ~prepared.healthy)[:, 0].numpy()
    distance = np.linalg.norm(stack_world(prepared) - MARKER_MM, axis=-1)
    assert left_out[distance < 10].all()
    assert not left_out[distance > 18].any()
    assert torch.equal(prepared.brain, prepare(case_of(brain)).brain)


@pytest.mark.parametrize("shape", [(160, 160), (200, 150), (64, 64)])
def test_a_picture_is_a_stack_of_one_slice_and_comes_back(
    shape: tuple[int, int], tmp_path: Path
) -> None:
    grey = disc(*shape)
    path = tmp_path / "slice.png"
    Image.fromarray(grey).save(path)
    prepared = prepare(Case("slice", "slice", {"t1": ImageFile(path)}))
    assert prepared.slices.shape == (1, 1, 64, 64)
    assert prepared.brain.any()
    assert (prepared.slices[~prepared.brain] == BACKGROUND).all()
    bright = ndimage.gaussian_filter(prepared.slices[0, 0].numpy(), 1.0)
    row, column = np.unravel_index(bright.argmax(), bright.shape)
    assert row > 34
    assert column > 34
    back = prepared.to_source_intensity(prepared.slices)[0]
    source = grey[::-1].T[..., None]
    assert back.shape == source.shape
    deep = ndimage.binary_erosion(source > 0, np.ones((3, 3, 1)), iterations=4)
    error = np.abs(back - source)[deep]
    assert np.median(error) < 2
    assert error.max() < 25
    assert not back[source == 0].any()
    assert np.array_equal(prepared.to_source(prepared.brain.float()) > 0, source > 0)


@pytest.mark.parametrize("thickness_mm", [1.0, 3.0, 6.0, 10.0])
def test_a_volume_of_a_single_slice_works(thickness_mm: float, tmp_path: Path) -> None:
    grey = disc(80, 80)[::-1].T[..., None].astype(np.float32)
    affine = np.diag([2.0, 2.0, thickness_mm, 1.0])
    affine[:3, 3] = [-80, -80, 33]
    file = write(tmp_path / "single_t1.nii.gz", grey, affine)
    prepared = prepare(Case("single", "single", {"t1": file}))
    assert prepared.slices.shape[0] == int(np.ceil(thickness_mm / 3.25))
    assert all(prepared.brain.flatten(1).any(1))
    back = prepared.to_source_intensity(prepared.slices)[0]
    deep = ndimage.binary_erosion(grey > 0, np.ones((3, 3, 1)), iterations=3)
    assert np.median(np.abs(back - grey)[deep]) < 2
    assert prepared.to_source(prepared.brain.float())[deep].min() > 0.99


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "modality"), [("brats_flair", "flair"), ("ixi_t1", "t1"), ("nichart_flair", "flair")]
)
def test_real_brains_come_back_in_scanner_units(
    folder: str, modality: str, shared_data: Path
) -> None:

    case = find_cases(shared_data / folder, modalities=[modality]).cases[0]
    prepared = CaseTransforms((modality,), Grid(128, 1.625, 2.0))(case)
    back = prepared.to_source_intensity(prepared.slices)[0]
    image = np.asarray(nib.load(case.images[modality].path).dataobj, np.float32)
    image = image.reshape(back.shape)
    deep = ndimage.binary_erosion(prepared.source_brain, iterations=3)
    assert np.corrcoef(back[deep], image[deep])[0, 1] > 0.9
    assert not back[~prepared.source_brain].any()


def test_a_scan_for_which_memory_does_not_suffice_is_refused_before_it_is_read(
    make_brain: MakeBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    brain = make_brain(LINEARS["ras"])
    case = case_of(brain)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    monkeypatch.setattr(loading, "read_volume", None)
    shape = "x".join(map(str, brain.data.shape))
    with pytest.raises(InputError, match=rf"^not enough memory for {shape} \(needs about 0.0 GB"):
        prepare(case)


def test_what_reading_said_is_a_note_under_the_modality(make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS["ras"])
    volume = Volume(brain.data, brain.affine, brain.path, ("mended",))
    assert notes_of_images(("t1",), [volume]) == ["mended"]
    assert notes_of_images(("t1", "t2"), [volume, volume]) == ["t1: mended", "t2: mended"]
