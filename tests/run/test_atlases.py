"""Atlases on disk: there and back, and what is not taken."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ellipsoids import SHAPE, atlas_of, ellipsoid

from pipeline.errors import InputError
from pipeline.maps.atlas import AtlasBuilder
from pipeline.maps.placement import FRAME
from pipeline.run.atlases import load_atlases, save_atlases


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


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04torn"])
def test_a_broken_file_is_refused_with_its_path(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "atlases.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"atlases\.npz: not the atlases of a run"):
        load_atlases(path)


def test_headers_of_arrays_that_are_no_python_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "atlases.npz"
    with zipfile.ZipFile(path, "w") as archive:
        head = b"{'shape': (2,".ljust(117) + b"\n"
        archive.writestr("made_for.npy", b"\x93NUMPY\x01\x00\x76\x00" + head)
    with pytest.raises(InputError, match=r"atlases.npz: not the atlases of a run"):
        load_atlases(path)


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
