"""From a case to slices and back, for brains on every kind of grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from brains import BRAIN_CENTRE_MM, SmallBrain, inside_brain, smooth_intensity, world_of
from PIL import Image
from scipy import ndimage
from torch import Tensor

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.grid import Grid, grid_affine
from pipeline.cases.loading import find_brain, load_brain, read_label
from pipeline.cases.transforms import BACKGROUND, CaseTransforms, Prepared, robust_window
from pipeline.errors import InputError
from pipeline.files.nifti import Volume, grid_difference

MakeBrain = Callable[..., SmallBrain]
WORKING = Grid(size=64, spacing_mm=3.25, slice_spacing_mm=3.25)


def turned(degrees: tuple[float, float, float]) -> np.ndarray:
    """A rotation about the three axes, one after the other."""
    result = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = (a for a in range(3) if a != axis)
        step = np.eye(3)
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        result = step @ result
    return result


LINEARS: dict[str, np.ndarray] = {
    "ras": np.diag([3.0, 3.0, 3.0]),
    "fine": np.diag([2.0, 2.0, 2.0]),
    "flipped": np.diag([-3.0, 3.0, -3.0]),
    "lps": np.diag([-2.5, -2.5, 2.5]),
    "permuted": np.array([[0, 0, 3.0], [3.0, 0, 0], [0, 3.0, 0]]),
    "permuted_flipped": np.array([[0, -2.5, 0], [0, 0, 3.0], [-3.0, 0, 0]]),
    "anisotropic": np.diag([2.0, 2.5, 5.0]),
    "oblique": turned((12.0, -8.0, 15.0)) * 3.0,
    "oblique_permuted": turned((-10.0, 6.0, 9.0))
    @ np.array([[0, 0, -2.5], [3.0, 0, 0], [0, 3.5, 0]]),
}
ON_EVERY_GRID = pytest.mark.parametrize("kind", LINEARS)


def case_of(brain: SmallBrain, **other: object) -> Case:
    return Case("case", "case", {"t1": ImageFile(brain.path)}, **other)  # type: ignore[arg-type]


def prepare(case: Case, grid: Grid = WORKING, modalities: tuple[str, ...] = ("t1",)) -> Prepared:
    return CaseTransforms(modalities, grid)(case)


def stack_affine(prepared: Prepared) -> np.ndarray:
    """Affine of the working grid, (column, row, slice) to world."""
    affine, shape = grid_affine(prepared.source_brain, prepared.source_affine, prepared.grid)
    assert (shape[2], shape[1], shape[0]) == (
        prepared.slices.shape[0],
        prepared.slices.shape[2],
        prepared.slices.shape[3],
    )
    return affine


def stack_world(prepared: Prepared) -> np.ndarray:
    """World coordinates of every pixel of the stack, ``(N, H, W, 3)``."""
    n, _, height, width = prepared.slices.shape
    return world_of((width, height, n), stack_affine(prepared)).transpose(2, 1, 0, 3)


def as_maps(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))[:, None]


# Orientation --------------------------------------------------------------------------------------


MARKER_MM = BRAIN_CENTRE_MM + np.array([24.0, 33.0, 18.0])


def with_marker(world: np.ndarray) -> np.ndarray:
    """A blob at the right, anterior and superior."""
    distance2 = ((world - MARKER_MM) ** 2).sum(-1)
    return smooth_intensity(world) + 1500 * np.exp(-distance2 / (2 * 9.0**2))


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


# Round trips --------------------------------------------------------------------------------------


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


# Intensities --------------------------------------------------------------------------------------


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


# Brain masks --------------------------------------------------------------------------------------


def head(world: np.ndarray) -> np.ndarray:
    """Not skull-stripped: tissue everywhere."""
    return np.where(inside_brain(world), smooth_intensity(world), 60.0)


def write(path: Path, data: np.ndarray, affine: np.ndarray) -> ImageFile:
    nib.save(nib.Nifti1Image(data, affine), path)
    return ImageFile(path)


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


def test_holes_in_the_brain_are_filled(make_brain: MakeBrain) -> None:
    brain = make_brain()
    data = brain.data.copy()
    hole = ((brain.world - BRAIN_CENTRE_MM) ** 2).sum(-1) < 15.0**2
    data[hole] = 0
    write(brain.path, data, brain.affine)
    prepared = prepare(case_of(brain))
    assert prepared.source_brain[hole].all()
    assert np.array_equal(prepared.source_brain, brain.inside)


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


# Refusals -----------------------------------------------------------------------------------------


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


def test_grids_are_equal_within_a_tenth_of_a_millimetre_at_the_corners() -> None:
    data, path = np.zeros((100, 100, 100)), Path("a")
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    rotated, scaled, shifted = affine.copy(), affine.copy(), affine.copy()
    rotated[0, 1] = 5e-4
    scaled[0, 0] += 2e-3
    shifted[0, 3] = 0.2
    base = Volume(data, affine, path)
    assert grid_difference(base, Volume(data, rotated, path)) is None
    for other in (scaled, shifted):
        assert grid_difference(base, Volume(data, other, path))
    assert grid_difference(base, Volume(data[1:], affine, path))


# Two dimensions -----------------------------------------------------------------------------------


def disc(height: int, width: int) -> np.ndarray:
    """A brain slice as a grey picture: rows downwards, a bright spot at the top right."""
    y, x = np.mgrid[:height, :width].astype(float)
    y, x = (y - height / 2) / (height * 0.42), (x - width / 2) / (width * 0.36)
    grey = 110 + 40 * np.sin(3 * x) + 30 * np.cos(4 * y)
    grey += 60 * np.exp(-((x - 0.4) ** 2 + (y + 0.5) ** 2) / 0.03)
    return np.where(x**2 + y**2 < 1, grey, 0).astype(np.uint8)


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


# What others use ----------------------------------------------------------------------------------


def test_a_brain_is_loaded_in_scanner_units_on_its_own_grid(make_brain: MakeBrain) -> None:
    brain = make_brain(LINEARS["lps"])
    images, mask, affine = load_brain(case_of(brain), ("t1",))
    assert np.array_equal(images["t1"], brain.data)
    assert np.array_equal(mask, brain.inside)
    assert np.allclose(affine, brain.affine, atol=1e-4)
    volume = Volume(brain.data, brain.affine, brain.path)
    assert np.array_equal(find_brain(case_of(brain), [volume]), brain.inside)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "modality"), [("brats_flair", "flair"), ("ixi_t1", "t1"), ("nichart_flair", "flair")]
)
def test_real_brains_come_back_in_scanner_units(
    folder: str, modality: str, shared_data: Path
) -> None:
    from pipeline.cases.find import find_cases

    case = find_cases(shared_data / folder, modalities=[modality]).cases[0]
    prepared = CaseTransforms((modality,), Grid(128, 1.625, 2.0))(case)
    back = prepared.to_source_intensity(prepared.slices)[0]
    image = np.asarray(nib.load(case.images[modality].path).dataobj, np.float32)
    image = image.reshape(back.shape)
    deep = ndimage.binary_erosion(prepared.source_brain, iterations=3)
    assert np.corrcoef(back[deep], image[deep])[0, 1] > 0.9
    assert not back[~prepared.source_brain].any()
