"""Figures of masks whose shape is known."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.cases.brain.shape import (
    Shape,
    is_box_or_cylinder,
    note_of_coverage,
    shape_of,
    why_no_size,
)

X, Y, Z = (np.indices((40, 50, 45)) - np.array([19.5, 24.5, 22])[:, None, None, None]) * 4.0
BALL = (X / 70) ** 2 + (Y / 88) ** 2 + (Z / 68) ** 2 < 1
AFFINE = np.diag([-4.0, 4.0, 4.0, 1.0])


def test_an_ellipsoid_has_the_figures_of_one() -> None:
    shape = shape_of(BALL, AFFINE)
    assert shape.extent_mm == pytest.approx((140, 176, 136), abs=8)
    assert shape.fill == pytest.approx(np.pi / 6, abs=0.03)
    assert shape.evenness == pytest.approx((2 / 3,) * 3, abs=0.04)
    assert not shape.flat_ends
    assert not is_box_or_cylinder(shape)
    assert note_of_coverage(shape) == why_no_size(shape) == ""


@pytest.mark.parametrize(
    "mask",
    [
        (abs(X) < 60) & (abs(Y) < 60) & (abs(Z) < 60),
        ((X / 70) ** 2 + (Y / 88) ** 2 < 1) & (abs(Z) < 66),
        ((Z / 70) ** 2 + (Y / 88) ** 2 < 1) & (abs(X) < 66),
    ],
)
def test_boxes_and_cylinders_are_known(mask: np.ndarray) -> None:
    assert is_box_or_cylinder(shape_of(mask, AFFINE))


@pytest.mark.parametrize(
    ("kept", "ends"),
    [(Z > 0, "bottom"), (Z < 0, "top"), (X > 8, "right"), (Y > 0, "back"), (abs(Z) < 15, "bottom")],
)
def test_a_part_of_a_brain_ends_flat_and_is_no_box(kept: np.ndarray, ends: str) -> None:
    shape = shape_of(BALL & kept, AFFINE)
    assert ends in note_of_coverage(shape)
    assert not is_box_or_cylinder(shape)


def test_sides_follow_the_affine() -> None:
    lower = shape_of(np.flip((BALL & (Z < 0)).transpose(2, 0, 1), 0), np.eye(4)[:, [2, 0, 1, 3]])
    assert lower.flat_ends == ("bottom",)


def test_absurd_spacings_are_no_head() -> None:
    shape = Shape((3e5, 1, 1), 0.5, (0.6,) * 3, ((0, 0),) * 3)
    assert "3e+05 x 1 x 1 mm" in why_no_size(shape)
