"""A small cohort with maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scored import SHAPE, THRESHOLD, label_cube, quiet_map, write_label, write_maps

from pipeline.cases.case import Case


@pytest.fixture
def cohort(tmp_path: Path) -> tuple[Path, list[Case]]:
    """Three tumours and two healthy brains with maps that find the tumours."""
    cases = []
    for index in range(5):
        label = label_cube(3 + index) if index < 3 else None
        case = write_label(tmp_path, f"case{index}", label)
        lesion = np.zeros(SHAPE, dtype=bool) if label is None else label > 0
        anomaly_map = quiet_map(index) + 0.3 * lesion
        spent = {"evaluations_per_slice": 3.0, "seconds": 2.0 + index, "score": 1.0}
        write_maps(
            tmp_path / "out" / case.name, anomaly_map, threshold=THRESHOLD.to_json(), **spent
        )
        cases.append(case)
    return tmp_path / "out", cases
