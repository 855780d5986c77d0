"""Which findings of two dates are the same, and what became of them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.findings.matching import Group, kind_of, match
from pipeline.findings.parts import label_parts

MM = np.ones(3)


def blocks(*places: tuple[slice, slice, slice]) -> np.ndarray:
    mask = np.zeros((30, 30, 30), dtype=bool)
    for place in places:
        mask[place] = True
    return label_parts(mask)


def cube(start: int, side: int) -> tuple[slice, slice, slice]:
    return (slice(start, start + side),) * 3


@pytest.mark.parametrize(
    ("before", "after", "groups"),
    [
        ([cube(5, 5)], [cube(6, 5)], [((1,), (1,))]),
        ([cube(5, 5)], [cube(20, 5)], [((1,), ()), ((), (1,))]),
        ([cube(2, 6), cube(12, 5)], [cube(2, 16)], [((1, 2), (1,))]),
        ([cube(2, 16)], [cube(2, 6), cube(12, 5)], [((1,), (1, 2))]),
        ([], [cube(3, 4)], [((), (1,))]),
        ([cube(3, 4)], [], [((1,), ())]),
        ([], [], []),
    ],
)
def test_parts_that_lie_on_each_other_are_one_finding(
    before: list[tuple[slice, slice, slice]],
    after: list[tuple[slice, slice, slice]],
    groups: list[tuple[tuple[int, ...], tuple[int, ...]]],
) -> None:
    found = match(blocks(*before), blocks(*after), MM)
    assert sorted((g.before, g.after) for g in found) == sorted(groups)


def test_a_registration_that_is_off_by_a_voxel_loses_no_small_finding() -> None:
    found = match(blocks(cube(5, 2)), blocks(cube(7, 2)), MM)
    assert [(g.before, g.after) for g in found] == [((1,), (1,))]


@pytest.mark.parametrize(
    ("before", "after", "volumes_ml", "kind"),
    [
        ((), (1,), (0, 3), "new"),
        ((1,), (), (3, 0), "gone"),
        ((1, 2), (1,), (3, 3), "merged"),
        ((1,), (1, 2), (3, 3), "split"),
        ((1, 2), (1, 2), (3, 3), "rearranged"),
        ((1,), (1,), (10, 10.9), "unchanged"),
        ((1,), (1,), (10, 12), "grown"),
        ((1,), (1,), (12, 10), "shrunk"),
        ((1,), (1,), (0.1, 0.19), "unchanged"),
    ],
)
def test_what_became_of_a_finding(
    before: tuple[int, ...], after: tuple[int, ...], volumes_ml: tuple[float, float], kind: str
) -> None:
    assert kind_of(Group(before, after), *volumes_ml) == kind
