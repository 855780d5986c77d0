"""Names of the restored images, there and back."""

from __future__ import annotations

import pytest

from pipeline.files.names import PSEUDO_HEALTHY, pseudo_healthy, pseudo_healthy_modality


@pytest.mark.parametrize(("n_modalities", "modality"), [(1, ""), (2, "t1ce")])
def test_the_modality_is_in_the_name_where_there_are_several(
    n_modalities: int, modality: str
) -> None:
    name = pseudo_healthy("t1ce", n_modalities)
    assert name == (PSEUDO_HEALTHY if n_modalities == 1 else "pseudo_healthy_t1ce.nii.gz")
    assert pseudo_healthy_modality(name) == modality


@pytest.mark.parametrize(
    "name", ["anomaly.nii.gz", "pseudo_healthy.png", "x_pseudo_healthy.nii.gz"]
)
def test_other_files_are_no_restored_images(name: str) -> None:
    assert pseudo_healthy_modality(name) is None
