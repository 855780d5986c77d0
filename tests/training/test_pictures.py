"""Pictures of slices."""

from __future__ import annotations

import numpy as np
from trainings import WatchedRun

from pipeline.training.chart_texts import PROBE_MAPS, RESTORED
from pipeline.training.pictures import CELL, LINE, MARGIN, labelled_grid


def test_pictures_are_wide_enough_to_read(watched: WatchedRun) -> None:
    for tag, n_rows in ((RESTORED, 9), (PROBE_MAPS, 3)):
        image = watched.events.Images(tag)[-1]
        assert (image.width, image.height) == (
            MARGIN + 4 * CELL,
            LINE + n_rows * CELL,
        )


def test_a_grid_of_slices_keeps_their_grey_values() -> None:
    cell = np.array([[0.0, 1.0], [0.5, 2.0]])
    grid = labelled_grid(("a", "b"), [("row", (cell, cell))])
    right = grid[LINE:, MARGIN + CELL :]
    half = CELL // 2
    corners = right[:: CELL - 1, :: CELL - 1, 0]
    assert corners.tolist() == [[0, 255], [128, 255]]
    assert (right[:half, :half] == 0).all()
