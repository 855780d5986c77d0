"""Position-wise statistics: brains whose mean and spread are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pipeline.errors import InputError
from pipeline.maps.atlas import Atlas, AtlasBuilder, load_atlases, save_atlases
from pipeline.maps.placement import FRAME, on_box

SHAPE = (30, 40, 36)


def ellipsoid(
    centre: tuple[float, ...] = (15, 20, 18), radii: tuple[float, ...] = (11, 15, 13)
) -> np.ndarray:
    grids = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grids, centre, radii, strict=True)) < 1


def ramp(centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """-1 at the lower end of a brain, 1 at its upper one."""
    z = (np.arange(SHAPE[0]) - centre[0]) / radii[0]
    return np.broadcast_to(z[:, None, None], SHAPE)


def atlas_of(values: list[np.ndarray], brain: np.ndarray, **options: float) -> Atlas:
    builder = AtlasBuilder()
    for value in values:
        builder.add(np.broadcast_to(value, SHAPE)[:, None], brain, brain)
    return builder.build(**{"sigma_mm": 0.0, "min_spread": 0.01, **options})


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


def test_an_atlas_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    atlases = {
        "intensity": atlas_of([np.array(1.0), np.array(2.0)], ellipsoid()),
        "residual": atlas_of([np.array(-1.0)], ellipsoid()),
    }
    save_atlases(tmp_path / "atlases.npz", atlases)
    again = load_atlases(tmp_path / "atlases.npz")
    assert set(again) == set(atlases)
    for name, atlas in atlases.items():
        np.testing.assert_array_equal(again[name].mean, atlas.mean)
        np.testing.assert_array_equal(again[name].spread, atlas.spread)
        assert again[name].n_cases == atlas.n_cases


def test_an_atlas_that_was_made_for_something_else_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "atlases.npz"
    save_atlases(path, {"intensity": atlas_of([np.array(1.0)], ellipsoid())}, "weights 1")
    assert set(load_atlases(path, "weights 1")) == {"intensity"}
    assert load_atlases(path, "weights 2") == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": np.zeros((1, 24, 56, 48)), "spread": np.ones((1, 24, 56, 48))},
        {"mean": np.full((1, *FRAME), np.nan)},
        {"spread": np.zeros((1, *FRAME))},
    ],
    ids=["frame", "nan", "spread"],
)
def test_an_atlas_that_cannot_be_used_is_refused(wrong: dict, tmp_path: Path) -> None:
    atlas = replace(atlas_of([np.array(1.0)], ellipsoid()), **wrong)
    save_atlases(tmp_path / "atlases.npz", {"intensity": atlas})
    with pytest.raises(InputError, match="not the atlases of a run"):
        load_atlases(tmp_path / "atlases.npz")


def test_there_and_back_again_is_the_same_volume() -> None:
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=SHAPE), 4) * 50
    brain = ellipsoid()
    placement = on_box(brain)
    back = placement.from_frame(placement.to_frame(smooth), SHAPE)
    assert np.abs(back - smooth)[brain].max() < 0.03 * np.ptp(smooth[brain])


@pytest.mark.parametrize("axis", range(3))
def test_each_axis_of_the_frame_is_that_of_the_brain(axis: int) -> None:
    brain = ellipsoid()
    index = np.indices(SHAPE)[axis].astype(float)
    there = on_box(brain).to_frame(index)
    along = there.mean(tuple(i for i in range(3) if i != axis))
    centre = (FRAME[axis] - 1) / 2
    middle = np.interp(centre, np.arange(FRAME[axis]), along)
    assert abs(middle - np.argwhere(brain)[:, axis].mean()) < 0.01
    assert (np.diff(along) >= 0).all()


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


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04torn"])
def test_a_broken_file_is_refused_with_its_path(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "atlases.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"atlases\.npz: not the atlases of a run"):
        load_atlases(path)


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


def test_a_template_and_its_extent_are_kept_and_older_atlases_have_none(tmp_path: Path) -> None:
    brain = ellipsoid()
    builder = AtlasBuilder(2.4)
    for value in (0.0, 0.5):
        builder.add(np.full(SHAPE, value)[:, None], brain, brain)
    template = builder.template()
    np.testing.assert_allclose(template.image[template.brain], 0.625, atol=1e-5)
    assert not template.image[~template.brain].any()
    atlas = replace(builder.build(sigma_mm=0.0, min_spread=0.1), template=template)
    old = atlas_of([np.array(1.0)], brain)
    save_atlases(tmp_path / "a.npz", {"intensity": atlas, "residual": old})
    with np.load(tmp_path / "a.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    del arrays["residual.extent"]
    np.savez(tmp_path / "b.npz", **arrays)
    again = load_atlases(tmp_path / "b.npz")
    assert again["intensity"].extent == 2.4
    assert again["intensity"].template is not None
    np.testing.assert_array_equal(again["intensity"].template.image, template.image)
    np.testing.assert_array_equal(again["intensity"].template.brain, template.brain)
    assert again["residual"].template is None
    assert again["residual"].extent == old.extent == 2.1


@pytest.mark.parametrize("wrong", ["image", "brain"])
def test_a_template_that_cannot_be_used_is_refused(wrong: str, tmp_path: Path) -> None:
    builder = AtlasBuilder()
    builder.add(np.zeros((SHAPE[0], 1, *SHAPE[1:])), ellipsoid(), ellipsoid())
    template = builder.template()
    bad = replace(template, **{wrong: getattr(template, wrong)[1:]})
    atlas = replace(builder.build(sigma_mm=0.0, min_spread=0.1), template=bad)
    save_atlases(tmp_path / "a.npz", {"intensity": atlas})
    with pytest.raises(InputError, match="template"):
        load_atlases(tmp_path / "a.npz")
