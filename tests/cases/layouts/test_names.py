"""What suffixes and folders say."""

from __future__ import annotations

from pathlib import Path

import pytest
from cohorts import touch

from pipeline.cases.find import find_cases


@pytest.mark.parametrize(
    ("suffix", "modality"),
    [
        *(
            ("_flair", "flair"),
            ("-t2f", "flair"),
            ("_t1ce", "t1ce"),
            ("-t1c", "t1ce"),
            ("-t1n", "t1"),
        ),
        *(("-t2w", "t2"), ("_T1w", "t1"), ("-PD", "pd"), ("_dwi", "dwi"), ("_t2_flair", "flair")),
    ],
)
def test_a_suffix_names_its_modality(suffix: str, modality: str, tmp_path: Path) -> None:
    (case,) = find_cases(touch(tmp_path, f"IXI-7_x{suffix}.nii.gz")).cases
    assert (case.name, list(case.images)) == ("IXI-7_x", [modality])
