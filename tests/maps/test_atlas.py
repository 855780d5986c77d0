"""Position-wise statistics: brains whose mean and spread are known."""

from __future__ import annotations

import numpy as np
import pytest
from ellipsoids import SHAPE, atlas_of, ellipsoid

from pipeline.maps.atlas import AtlasBuilder
from pipeline.maps.placement import FRAME


def ramp(centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """-1 at the lower end of a brain, 1 at its upper one."""
    z = (np.arange(SHAPE[0]) - centre[0]) / radii[0]
    return np.broadcast_to(z[:, None, None], SHAPE)


def test_mean_and_spread_are_those_of_the_brains() -> None:
    brain = ellipsoid()
    atlas = atlas_of([np.array(v) for v in (1.0, 2.0, 6.0)], brain)
    assert atlas.n_cases == 3
    assert atlas.mean.shape == atlas.spread.shape == (1, *FRAME)
    np.testing.assert_allclose(atlas.mean, 3.0, atol=1e-5)
    np.testing.assert_allclose(atlas.spread, np.std([1, 2, 6]), atol=1e-5)
    z = atlas.z_scores(np.full((SHAPE[0], 1, *SHAPE[1:]), 7.0), brain)
    np.testing.assert_allclose(z[:, 0][brain], 4 / np.std([1, 2, 6]), atol=1e-4)
    assert (z[:, 0][~brain] == 0).all()


@pytest.mark.parametrize(
    ("centre", "radii"),
    [((15, 20, 18), (11, 15, 13)), ((13, 18, 19), (11, 15, 13)), ((15, 20, 17), (13, 18, 15))],
)
def test_a_brain_elsewhere_or_of_another_size_is_placed_alike(
    centre: tuple[float, ...], radii: tuple[float, ...]
) -> None:
    home = ((15, 20, 18), (11, 15, 13))
    brain = ellipsoid(*home)
    atlas = atlas_of([ramp(*home) - 0.5, ramp(*home) + 0.5], brain)
    other = ellipsoid(centre, radii)
    z = atlas.z_scores(ramp(centre, radii)[:, None], other)[:, 0][other]
    # One voxel is a tenth of the ramp, so less than half a voxel is off, in units of the spread.
    assert np.abs(z).max() < 0.12


def test_what_does_not_count_as_healthy_is_not_in_the_atlas() -> None:
    brain = ellipsoid()
    lesion = np.zeros(SHAPE, dtype=bool)
    lesion[12:18, 15:22, 15:22] = True
    builder = AtlasBuilder()
    for offset in (-1.0, 1.0):
        values = np.where(lesion, 50.0, offset)
        builder.add(values[:, None], brain, brain & ~lesion)
    builder.add(np.full(SHAPE, 1.0)[:, None], brain, brain)
    atlas = builder.build(sigma_mm=0.0, min_spread=0.01)
    assert atlas.mean.max() < 1.001
    assert atlas.mean.min() > -0.001
    # Within the lesion one brain speaks.
    assert np.isclose(atlas.mean, 1.0, atol=1e-3).any()


def test_values_outside_the_brain_do_not_reach_in() -> None:
    brain = ellipsoid()
    values = np.where(brain, 3.0, -100.0)
    atlas = atlas_of([values], brain)
    np.testing.assert_allclose(atlas.mean, 3.0, atol=1e-4)


def test_the_spread_has_a_floor_and_smoothing_keeps_a_constant() -> None:
    atlas = atlas_of([np.array(2.0)], ellipsoid(), sigma_mm=10.0, min_spread=0.3)
    np.testing.assert_allclose(atlas.spread, 0.3, atol=1e-3)
    np.testing.assert_allclose(atlas.mean, 2.0, atol=1e-4)


def test_where_few_brains_had_tissue_the_nearest_known_place_counts() -> None:
    brain, rng = ellipsoid(), np.random.default_rng(0)
    core = ellipsoid(radii=(8, 11, 9))
    builder = AtlasBuilder()
    for i in range(20):
        healthy = brain if i == 0 else core
        values = np.full(SHAPE, rng.normal(0, 0.3))[:, None]
        builder.add(values, brain, healthy)
    made = builder.build(sigma_mm=1.0, min_spread=0.01)
    assert made.spread.min() > 0.2


def test_sums_of_two_builders_make_the_atlas_of_all_their_brains() -> None:
    brain = ellipsoid()
    builders = []
    for value in (1.0, 2.0, 6.0):
        builder = AtlasBuilder()
        builder.add(np.full((SHAPE[0], 1, *SHAPE[1:]), value), brain, brain)
        builders.append(builder)
    joined = sum(builders, AtlasBuilder()).build(sigma_mm=0, min_spread=0.1)
    assert joined.n_cases == 3
    np.testing.assert_allclose(joined.mean, 3.0, atol=1e-5)
    np.testing.assert_allclose(joined.spread, np.std([1, 2, 6]), atol=1e-5)
    assert [builder.n_cases for builder in builders] == [1, 1, 1]
    other = AtlasBuilder(0.5)
    other.add(np.zeros((SHAPE[0], 1, *SHAPE[1:])), brain, brain)
    with pytest.raises(ValueError, match="same frame"):
        _ = builders[0] + other


def test_misuse_is_refused() -> None:
    brain = ellipsoid()
    with pytest.raises(ValueError, match="one brain at least"):
        AtlasBuilder().build(sigma_mm=1.0, min_spread=0.1)
    values = np.zeros((SHAPE[0], 1, *SHAPE[1:]))
    with pytest.raises(ValueError, match="needs healthy voxels"):
        AtlasBuilder().add(values, brain, brain & False)
    builder = AtlasBuilder()
    builder.add(values, brain, brain)
    with pytest.raises(ValueError, match=r"1 quantities; got .* and 2"):
        builder.add(values.repeat(2, axis=1), brain, brain)
    with pytest.raises(ValueError, match="an atlas of 1 quantities; got 2"):
        atlas_of([np.array(1.0)], brain).z_scores(np.zeros((SHAPE[0], 2, *SHAPE[1:])), brain)
