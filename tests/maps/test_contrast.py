"""The contrast of a scan, told by its voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pipeline.maps.contrast.recognise as module
from pipeline.errors import InputError
from pipeline.maps.contrast.recognise import _explained, load_classifier, recognise


def test_a_tumour_does_not_count_as_a_tissue() -> None:
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(5) * 0.3, 4000).T
    values = np.array([-0.4, 0.1, 0.3, 0.2, 0.0]) @ shares
    ill = values.copy()
    ill[:600] = 0.9
    np.testing.assert_allclose(_explained(shares, ill), _explained(shares, values), atol=0.06)


def test_what_lacks_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no brain"):
        recognise(np.zeros((4, 8, 8)), np.zeros((4, 8, 8), dtype=bool))
    load_classifier.cache_clear()
    monkeypatch.setattr(module, "WEIGHTS", tmp_path / "gone.npz")
    with pytest.raises(InputError, match="say the modality with --modality"):
        load_classifier()
