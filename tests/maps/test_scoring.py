"""From image and reconstruction to map and mask: hand-counted pixels and slow twins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import SSIMMetric
from scipy import ndimage

from pipeline.cases.grid import Grid
from pipeline.maps.scoring import (
    RESIDUALS,
    Factor,
    _odd,
    blur,
    case_level,
    dissimilarity_map,
    edge_weight,
    half_height,
    median_filter,
    product_map,
    residual_map,
    threshold_map,
)

GRID = Grid(size=20, spacing_mm=3.0, slice_spacing_mm=4.0)


def ball(n_slices: int = 16, size: int = 20, radius_mm: float = 24.0) -> torch.Tensor:
    """A brain ``(N, 1, H, W)`` bool in the middle of the stack."""
    z, y, x = np.mgrid[:n_slices, :size, :size].astype(float)
    centre = (n_slices - 1) / 2, (size - 1) / 2
    distance = np.sqrt(
        (4.0 * (z - centre[0])) ** 2 + (3.0 * (y - centre[1])) ** 2 + (3.0 * (x - centre[1])) ** 2
    )
    return torch.from_numpy(distance < radius_mm)[:, None]


# Residuals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("absolute", [0.5, 1.0, 0.0, 0.0]),
        ("squared", [0.25, 1.0, 0.0, 0.0]),
        ("positive", [0.5, 0.0, 0.0, 0.0]),
        ("negative", [0.0, 1.0, 0.0, 0.0]),
    ],
)
def test_residuals_of_four_pixels(kind: str, expected: list[float]) -> None:
    """Brighter than healthy, darker, the same, and outside the brain."""
    image = torch.tensor([0.5, -0.5, 0.2, 0.9]).reshape(1, 1, 2, 2)
    restored = torch.tensor([0.0, 0.5, 0.2, -0.9]).reshape(1, 1, 2, 2)
    brain = torch.tensor([True, True, True, False]).reshape(1, 1, 2, 2)
    residual = residual_map(image, restored, brain, kind)
    assert residual.shape == (1, 1, 2, 2)
    assert residual.reshape(-1).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("kind", RESIDUALS)
def test_every_residual_is_zero_where_nothing_changed_and_never_negative(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    image, restored = (torch.rand(3, 2, 8, 8, generator=generator) * 2 - 1 for _ in range(2))
    brain = torch.rand(3, 1, 8, 8, generator=generator) > 0.3
    residual = residual_map(image, restored, brain, kind)
    assert residual.shape == (3, 1, 8, 8)
    assert (residual >= 0).all()
    assert residual.any()
    assert not residual[~brain].any()
    assert not residual_map(image, image, brain, kind).any()


def test_channels_are_averaged() -> None:
    image = torch.tensor([0.4, 0.8]).reshape(1, 2, 1, 1)
    brain = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    assert float(residual_map(image, 0 * image, brain, "absolute")) == pytest.approx(0.6)
    # After squaring, not before.
    assert float(residual_map(image, 0 * image, brain, "squared")) == pytest.approx(0.4)


def test_shapes_that_differ_and_unknown_kinds_are_refused() -> None:
    image, brain = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="shapes"):
        residual_map(image, image[..., :1], brain, "absolute")
    with pytest.raises(ValueError, match="l2"):
        residual_map(image, image, brain, "l2")


# Median -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "odd"),
    [(0.0, 1), (0.4, 1), (1.0, 1), (1.9, 1), (2.1, 3), (3.0, 3), (3.9, 3), (4.1, 5), (9.6, 9)],
)
def test_widths_become_the_nearest_odd_number(width: float, odd: int) -> None:
    assert _odd(width) == odd


@pytest.mark.parametrize(
    ("width_mm", "size"), [(9.0, (3, 3, 3)), (10.0, (3, 3, 3)), (15, (3, 5, 5))]
)
def test_the_median_is_that_of_the_box(width_mm: float, size: tuple[int, ...]) -> None:
    maps = torch.rand(7, 1, 9, 8, generator=torch.Generator().manual_seed(0))
    filtered = median_filter(maps, GRID, width_mm)
    padded = np.pad(maps[:, 0].numpy(), [(s // 2, s // 2) for s in size], mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)
    twin = np.median(windows.reshape(*maps[:, 0].shape, -1), axis=-1)
    assert filtered.shape == maps.shape
    assert np.allclose(filtered[:, 0].numpy(), twin)
    assert np.allclose(filtered[:, 0], ndimage.median_filter(maps[:, 0], size, mode="nearest"))


def test_a_box_of_one_voxel_changes_nothing() -> None:
    maps = torch.rand(4, 1, 6, 6)
    for width_mm in (0.0, 3.0, 5.0):
        assert torch.equal(median_filter(maps, GRID, width_mm), maps)


# Edge ---------------------------------------------------------------------------------------------


def test_the_edge_weight_rises_from_the_border_in_millimetres() -> None:
    brain = ball()
    weight = edge_weight(brain, GRID, 12.0)
    assert not weight[~brain].any()
    assert weight.min() == 0
    assert weight.max() == 1
    inside = brain[:, 0].numpy()
    outside = np.argwhere(np.pad(~inside, 1, constant_values=True)) - 1
    index = np.argwhere(inside)
    spacing = np.array([4.0, 3.0, 3.0])
    offsets = (index[:, None] - outside[None]) * spacing
    distance = np.sqrt((offsets**2).sum(-1)).min(1)
    values = weight[:, 0].numpy()[inside]
    assert np.allclose(values, np.clip(distance / 12.0, 0, 1), atol=1e-6)
    deeper = np.argsort(distance)
    assert (np.diff(values[deeper]) >= -1e-6).all()


def test_a_wider_edge_weighs_less_and_none_is_the_mask() -> None:
    brain = ball()
    narrow, wide = edge_weight(brain, GRID, 6.0), edge_weight(brain, GRID, 12.0)
    assert (wide <= narrow).all()
    assert (wide < narrow).any()
    assert torch.equal(edge_weight(brain, GRID, 0.0), brain.float())


def test_a_brain_cut_by_the_stack_has_its_border_there() -> None:
    weight = edge_weight(torch.ones(5, 1, 9, 9, dtype=torch.bool), GRID, 100.0)
    assert float(weight[0, 0, 4, 4]) == pytest.approx(0.04)
    assert float(weight[2, 0, 4, 4]) == pytest.approx(0.12)


# Blur ---------------------------------------------------------------------------------------------


def test_a_blurred_constant_brain_stays_constant() -> None:
    brain = ball()
    slices = torch.where(brain, 0.3, -1.0).expand(-1, 2, -1, -1)
    blurred = blur(slices, brain, GRID, 8.0)
    assert blurred.shape == slices.shape
    assert (blurred - 0.3).abs()[brain.expand_as(blurred)].max() < 1e-5


def test_blurring_ignores_what_lies_outside_the_brain() -> None:
    brain = ball()
    generator = torch.Generator().manual_seed(0)
    slices = torch.rand(16, 1, 20, 20, generator=generator)
    other = torch.where(brain, slices, -7.0)
    a, b = blur(slices, brain, GRID, 6.0), blur(other, brain, GRID, 6.0)
    assert torch.equal(a[brain], b[brain])
    assert a[brain].std() < 0.3 * slices[brain].std()


def test_the_blur_is_in_millimetres_along_every_axis() -> None:
    """Second moments of a blurred point are sigma squared."""
    grid = Grid(size=61, spacing_mm=2.0, slice_spacing_mm=3.0)
    slices = torch.zeros(61, 1, 61, 61)
    slices[30, 0, 30, 30] = 1
    point = blur(slices, torch.ones_like(slices, dtype=torch.bool), grid, 8.0)[:, 0].numpy()
    for axis, spacing in enumerate((3.0, 2.0, 2.0)):
        profile = point.sum(tuple(a for a in range(3) if a != axis))
        offset = (np.arange(61) - 30) * spacing
        assert (profile * offset**2).sum() / profile.sum() == pytest.approx(64.0, rel=0.02)


# Threshold ----------------------------------------------------------------------------------------


def test_small_parts_of_the_mask_are_dropped_by_their_volume() -> None:
    anomaly_map = np.zeros((12, 12, 12), np.float32)
    anomaly_map[1:3, 1:3, 1:3] = 1  # 8 voxels
    anomaly_map[5:8, 5:8, 5:8] = 1  # 27 voxels
    anomaly_map[10, 10, 10] = 1
    voxel_ml = 0.1
    for min_ml, kept in [(0.0, 36), (0.1, 36), (0.11, 35), (0.8, 35), (0.81, 27), (2.8, 0)]:
        assert threshold_map(anomaly_map, 0.5, voxel_ml, min_ml).sum() == kept


def test_parts_that_touch_at_a_corner_are_one() -> None:
    anomaly_map = np.zeros((6, 6, 6), np.float32)
    anomaly_map[1, 1, 1] = anomaly_map[2, 2, 2] = anomaly_map[3, 2, 1] = 1
    anomaly_map[5, 5, 5] = 1
    mask = threshold_map(anomaly_map, 0.5, 1.0, 3.0)
    assert mask.sum() == 3
    assert not mask[5, 5, 5]


def test_the_threshold_itself_is_not_above_it() -> None:
    anomaly_map = np.array([0.4, 0.5, 0.6], np.float32).reshape(3, 1, 1)
    assert threshold_map(anomaly_map, 0.5, 1.0, 0.0).reshape(-1).tolist() == [False, False, True]


def test_an_empty_mask_stays_empty() -> None:
    mask = threshold_map(np.zeros((4, 4, 4), np.float32), 0.5, 1.0, 1.0)
    assert mask.dtype == bool
    assert not mask.any()


def test_a_product_of_factors_counted_by_hand() -> None:
    a, b = (torch.tensor(v).reshape(1, 1, 1, 2) for v in ([0.0, 2.0], [3.0, 7.0]))
    product = product_map([Factor(a, 1.0, 0.5), Factor(b, 0.5, 2.0)])
    expected = torch.tensor([0.5 * 5**0.5, 2.5 * 3.0]).reshape(1, 1, 1, 2)
    torch.testing.assert_close(product, expected)
    assert torch.equal(product_map([Factor(b, 1.0, 2.0)]), b)
    with pytest.raises(ValueError, match="needs a factor"):
        product_map([])


def test_a_case_is_cut_at_half_its_height() -> None:
    values = np.array([1.0] * 5 + [5.0, 7.0, 9.0])  # median 1; above 4: 5, 7, 9, upper quartile 8
    assert half_height(values, 4.0, 0.5) == pytest.approx(4.5)
    assert half_height(values, 4.0, 1.0) == pytest.approx(8.0)
    assert half_height(values, 4.0, 0.0) == 4.0  # switched off
    assert half_height(values, 6.0, 0.5) == 6.0  # half the height of 8.5 lies below: never lower
    assert half_height(values, 10.0, 0.5) == 10.0  # nothing stands out


def test_structure_is_compared_within_the_brain_and_up_to_its_opposite() -> None:
    brain = ball()
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(16, 1, 20, 20, generator=generator) * 2 - 1
    same = dissimilarity_map(image, image, brain)
    assert same.shape == brain.shape
    assert same.max() < 1e-6
    opposite = dissimilarity_map(image, -image, brain)
    assert 0.2 < opposite[brain].mean() < opposite.max() <= 1
    assert dissimilarity_map(image, -image, brain)[brain].min() >= 0
    assert not opposite[~brain].any()


def test_structure_is_that_of_monai_s_ssim_at_full_resolution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One scale, away from the border: the mean of MONAI's metric."""
    monkeypatch.setattr("pipeline.maps.scoring.SSIM_SCALES", (1,))
    generator = torch.Generator().manual_seed(1)
    image, other = (torch.rand(2, 1, 20, 20, generator=generator) * 2 - 1 for _ in range(2))
    everywhere = torch.ones(2, 1, 20, 20, dtype=torch.bool)
    ours = dissimilarity_map(image, other, everywhere)[..., 3:-3, 3:-3].mean((1, 2, 3))
    metric = SSIMMetric(spatial_dims=2, data_range=1.0, win_size=7, kernel_sigma=1.5)
    expected = metric((image + 1) / 2, (other + 1) / 2)[:, 0]
    torch.testing.assert_close(1 - 2 * ours, expected)


def test_an_equal_shift_counts_alike_in_grey_of_any_level() -> None:
    """On [-1, 1] the ratio of means would explode at mid-grey, which is white matter."""
    brain = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    found = []
    for grey in (-0.4, 0.0, 0.4):
        image = torch.full((1, 1, 32, 32), grey)
        found.append(float(dissimilarity_map(image, image + 0.1, brain).mean()))
    assert max(found) < 10 * min(found)
    assert max(found) < 0.02


def test_a_small_change_of_structure_is_seen_where_it_is() -> None:
    brain = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    image = torch.zeros(1, 1, 32, 32)
    changed = image.clone()
    changed[..., 10:13, 20:23] = 0.8
    found = dissimilarity_map(changed, image, brain)
    assert found[0, 0, 11, 21] > 5 * found[0, 0, 25, 5]


def test_the_level_of_a_case_is_its_quantile_and_never_zero() -> None:
    values = np.arange(101.0)
    assert case_level(values, 0.75) == 75
    assert case_level(values, 0.0) == 1
    assert case_level(np.zeros(5), 0.75) == 1
    assert case_level(np.zeros(0), 0.75) == 1
