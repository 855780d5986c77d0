"""Curves from one sort are those of scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from pipeline.scores.ranking import Ranking

TIED = st.integers(0, 6).map(float) | st.floats(-1e3, 1e3, width=32)


@given(st.lists(st.tuples(TIED, st.booleans()), min_size=1, max_size=60))
def test_areas_and_the_best_dice_are_those_of_scikit_learn(
    voxels: list[tuple[float, bool]],
) -> None:
    scores = np.array([score for score, _ in voxels], dtype=np.float32)
    lesion = np.array([one for _, one in voxels])
    found = Ranking.of(scores, lesion)
    if not lesion.any():
        assert all(math.isnan(value) for value in (found.auroc, found.auprc, *found.best_dice))
        return
    dices = [f1_score(lesion, scores >= edge) for edge in np.unique(scores)]
    dice, threshold = found.best_dice
    assert dice == pytest.approx(max(dices), abs=1e-12)
    assert f1_score(lesion, scores > np.float32(threshold)) == pytest.approx(dice, abs=1e-12)
    if lesion.all():
        assert math.isnan(found.auroc)
        assert math.isnan(found.auprc)
        return
    assert found.auroc == pytest.approx(roc_auc_score(lesion, scores), abs=1e-12)
    assert found.auprc == pytest.approx(average_precision_score(lesion, scores), abs=1e-12)


def test_half_a_million_voxels_are_exact() -> None:
    rng = np.random.default_rng(0)
    lesion = rng.random(500_000) < 0.03
    scores = (rng.gamma(2, size=lesion.size) + 3 * lesion).astype(np.float32)
    found = Ranking.of(scores, lesion)
    assert found.auroc == pytest.approx(roc_auc_score(lesion, scores), abs=1e-12)
    assert found.auprc == pytest.approx(average_precision_score(lesion, scores), abs=1e-12)


def test_nothing_at_all_has_no_curve() -> None:
    empty = Ranking.of(np.zeros(0), np.zeros(0, dtype=bool))
    assert math.isnan(empty.auroc)
    assert (empty.n_lesion, empty.n_other) == (0, 0)
