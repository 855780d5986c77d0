"""Every registered layout on a small fake tree."""

from __future__ import annotations

from pathlib import Path

import pytest
from cohorts import TREES, datalist_tree, flat_tree

from pipeline.cases.find import find_cases
from pipeline.cases.layouts.read import LAYOUTS
from pipeline.cases.listing import write_datalist
from pipeline.errors import InputError


@pytest.mark.parametrize("layout", [layout.name for layout in LAYOUTS])
def test_every_registered_layout_is_recognised_and_read(layout: str, tmp_path: Path) -> None:
    build, names, subjects, modalities = TREES[layout]
    cohort = find_cases(build(tmp_path / "data"))
    assert cohort.layout == layout
    assert {case.name for case in cohort.cases} == names
    assert set(cohort.subjects) == subjects
    assert {modality for case in cohort.cases for modality in case.images} == modalities


@pytest.mark.parametrize("layout", [layout.name for layout in LAYOUTS])
def test_every_image_file_is_used_or_left_out_with_a_reason(layout: str, tmp_path: Path) -> None:
    cohort = find_cases(TREES[layout][0](tmp_path / "data"))
    used = {file.path for case in cohort.cases for file in case.files}
    there = {p for p in (tmp_path / "data").rglob("*.*") if p.is_file() and p.suffix != ".json"}
    there = {path for path in there if not path.name.startswith(".")}
    assert used | set(cohort.left_out) == there
    assert not used & set(cohort.left_out)
    assert all(cohort.left_out.values())


@pytest.mark.parametrize("layout", [layout.name for layout in LAYOUTS])
def test_a_written_datalist_reads_back_as_equal_cases(layout: str, tmp_path: Path) -> None:
    cohort = find_cases(TREES[layout][0](tmp_path / "data"))
    half = len(cohort.cases) // 2
    sections = {"training": cohort.cases[:half], "validation": cohort.cases[half:]}
    for where in (tmp_path / "data" / "all.json", tmp_path / "elsewhere" / "all.json"):
        write_datalist(where, sections)
        assert find_cases(where).cases == cohort.cases
        assert find_cases(where, section="validation").cases == tuple(sections["validation"])
        where.unlink()


def test_an_unknown_section_names_the_ones_there_are(tmp_path: Path) -> None:
    path = datalist_tree(tmp_path)
    with pytest.raises(InputError, match="no section 'tset'; the sections are: training, valid"):
        find_cases(path, section="tset")
    with pytest.raises(InputError, match="only a datalist has sections"):
        find_cases(flat_tree(tmp_path / "flat"), section="training")
