"""What the values of a label map mean."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cases.find import find_cases
from pipeline.cases.labels import LABEL_SCHEMES, label_regions
from pipeline.errors import InputError
from pipeline.files.images.reading import read_labels


@pytest.mark.parametrize(
    ("scheme", "values", "whole", "core", "enhancing"),
    [
        ("brats2018", [0, 1, 2, 4], [0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]),
        ("brats2023", [0, 1, 2, 3, 4], [0, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0, 0, 0, 1, 0]),
        ("msd", [0, 1, 2, 3], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]),
        ("auto", [0, 1, 2, 4], [0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]),
        ("auto", [0, 1, 2, 3], [0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]),
        ("auto", [0, 1, 3, 4], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0]),
        ("auto", [0, 1, 2], [0, 1, 1], None, None),
        ("auto", [0, 255], [0, 1], None, None),
        ("auto", [0, 0], [0, 0], None, None),
        ("binary", [0, 1], [0, 1], None, None),
        ("binary", [0, 255], [0, 1], None, None),
    ],
)
def test_label_values_mean_regions(
    scheme: str, values: list[int], whole: list[int], core: object, enhancing: object
) -> None:
    regions = label_regions(np.array(values, np.int16), scheme, Path("x_seg.nii.gz"))
    expected = {"whole_tumour": whole, "tumour_core": core, "enhancing": enhancing}
    got = {name: mask.astype(int).tolist() for name, mask in regions.items()}
    assert got == {name: mask for name, mask in expected.items() if mask is not None}
    assert all(mask.dtype == bool for mask in regions.values())


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 3, 127, 128, 255], [0, 0, 0, 1, 1]), ([0, 1], [0, 1]), ([0, 0], [0, 0])],
)
@pytest.mark.parametrize("scheme", ["binary", "auto"])
def test_a_picture_mask_is_lesion_above_127(
    values: list[int], expected: list[int], scheme: str
) -> None:
    regions = label_regions(np.array(values), scheme, Path("x_mask.jpg"))
    assert {name: m.astype(int).tolist() for name, m in regions.items()} == {
        "whole_tumour": expected
    }


@pytest.mark.parametrize(
    ("scheme", "values", "source"),
    [
        *(("brats2018", [3], "a.nii"), ("msd", [4], "a.nii"), ("binary", [2], "a.nii")),
        *(("auto", [5], "a.nii"), ("auto", [-1], "a.nii"), ("brats2023", [7, 0], "a.nii")),
        *(("binary", [0, 100], "a.png"), ("nonsense", [1], "a.nii")),
    ],
)
def test_a_value_nobody_knows_is_an_error(scheme: str, values: list[int], source: str) -> None:
    with pytest.raises(InputError, match=f"^{source}: "):
        label_regions(np.array(values), scheme, Path(source))


def test_the_message_names_found_known_and_remedy() -> None:
    with pytest.raises(InputError) as error:
        label_regions(np.array([0, 1, 3]), "brats2018", Path("s.nii"))
    assert "[0, 1, 2, 4]" in str(error.value)
    assert "found [0, 1, 3]" in str(error.value)
    assert "--label-scheme" in str(error.value)


def test_a_written_picture_mask_reads_as_lesion(tmp_path: Path) -> None:

    picture = np.zeros((4, 6), np.uint8)
    picture[1, 2:5] = 255
    for name in ("a.png", "a_mask.png"):
        Image.fromarray(picture).save(tmp_path / name)
    (case,) = find_cases(tmp_path, modalities=["t1"]).cases
    assert case.label is not None
    label = read_labels(case.label.path)
    regions = label_regions(label.data, case.label_scheme, label.path)
    assert regions["whole_tumour"].sum() == 3


def test_every_scheme_nests_its_regions() -> None:
    for scheme in LABEL_SCHEMES.values():
        regions = [set(values) for values in scheme.regions.values()]
        assert all(small <= large for large, small in itertools.pairwise(regions))
