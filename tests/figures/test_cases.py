"""Pages of cases: which slice, on which scale, with which columns."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from drawn import is_within, texts
from PIL import Image

from pipeline.cases.case import Case, ImageFile
from pipeline.errors import InputError
from pipeline.figures.cases import (
    MAX_HEIGHT,
    _map_norm,
    benchmark_figures,
    case_page,
    load_slice,
)
from pipeline.figures.paper import _case
from pipeline.figures.style import DOUBLE
from pipeline.report.results import read_results


def test_a_map_that_would_hide_the_others_is_shown_by_its_root() -> None:
    flat = [np.full((9, 9), value) for value in (1.0, 1.2, 0.9)]
    assert _map_norm(flat).gamma == 1
    steep = _map_norm([*flat, np.full((9, 9), 6.0)])
    assert (steep.gamma, steep.vmin, steep.vmax) == (0.5, 0, 6)


def test_a_single_map_does_not_spoil_the_scale() -> None:
    maps = [np.full((9, 9), value) for value in (1.0, 1.2, 0.9, 3e5)]
    assert _map_norm(maps).vmax == pytest.approx(11)  # ten times the middle of their tops


def test_a_page_shows_the_slice_with_the_highest_map_and_all_columns_there_are(
    results: Path, tmp_path: Path
) -> None:
    found = read_results(results)
    slices = [load_slice(results / n, _case(found, n)) for n in ("a", "b")]
    assert [view.map.max() for view in slices] == pytest.approx([0.9, 0.9])
    assert slices[0].spacing_mm == (4.0, 4.0)
    # The spot lies on the patient's left, which is on the right, as radiologists look.
    columns = np.flatnonzero((slices[0].map > 0.5).any(0))
    assert columns.mean() > slices[0].map.shape[1] / 2
    figure = case_page(slices)
    assert is_within(figure)
    assert figure.get_size_inches()[0] <= DOUBLE
    assert {
        "input",
        "pseudo-healthy",
        "mask at threshold",
        "a",
        "b",
        "5 cm",
        "R",
        "L",
        "A",
        "P",
    } <= set(texts(figure))
    assert "label" not in texts(figure)


def test_many_cases_still_fit_on_a_page(results: Path) -> None:
    case = _case(read_results(results), "b")
    figure = case_page([load_slice(results / "b", case)] * 6)
    assert figure.get_size_inches()[1] <= MAX_HEIGHT + 0.01


def _benchmark(results: Path, tmp_path: Path) -> tuple[Path, list[Case]]:
    """A folder of a benchmark of one method, and its cases."""
    shutil.copytree(results, tmp_path / "bench/maps/anomap")
    flair = {name: ImageFile(tmp_path / f"{name}_flair.nii.gz") for name in ("a", "b")}
    return tmp_path / "bench", [Case(name, name, {"flair": file}) for name, file in flair.items()]


def test_a_benchmark_has_a_page_of_what_can_be_drawn(results: Path, tmp_path: Path) -> None:
    bench, cases = _benchmark(results, tmp_path)
    page, failed = benchmark_figures(bench, cases)
    assert (page, failed) == (bench / "cases.png", {})
    two = Image.open(page).height
    assert (bench / "cases.pdf").is_file()
    (tmp_path / "a_flair.nii.gz").unlink()
    page, failed = benchmark_figures(bench, cases)
    assert set(failed) == {"a"}
    assert "a_flair.nii.gz" in failed["a"]
    assert Image.open(page).height < two


def test_a_benchmark_of_which_nothing_can_be_drawn_has_no_page(
    results: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no maps in it"):
        benchmark_figures(tmp_path, [])
    bench, cases = _benchmark(results, tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}_flair.nii.gz").unlink()
    page, failed = benchmark_figures(bench, cases)
    assert page is None
    assert set(failed) == {"a", "b"}
    assert not (bench / "cases.png").exists()
