"""Detection as MONAI's components: the same maps, whatever runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from pipeline.bundle.components import (
    AnomalyInferer,
    CaseDataset,
    PrepareCased,
    ToSourced,
    load_detector,
    one_case,
    to_stack,
    to_volume,
)
from pipeline.cases.find import find_cases
from pipeline.detection.case_work import CaseWork
from pipeline.detection.detect import detect_case
from pipeline.detection.detector import NetworkDetector
from pipeline.errors import InputError

OBLIQUE = np.array([[0.0, -3.0, 0.3], [-3.0, 0.0, 0.0], [0.0, 0.3, 3.0]])


@pytest.fixture(scope="module")
def detector(made_run: Path) -> NetworkDetector:
    return load_detector(made_run, "cpu")


@pytest.fixture
def scan(make_brain: Callable[..., Any]) -> Any:
    return make_brain(OBLIQUE, name="p1_flair.nii.gz")


def network_of(detector: NetworkDetector) -> torch.nn.Module:
    return detector.model.network


def test_a_stack_as_a_volume_and_back_is_the_same() -> None:
    stack = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    volume = to_volume(stack)
    assert volume.shape == (3, 5, 4, 2)
    assert volume[1, 4, 2, 0] == stack[0, 1, 2, 4]
    assert torch.equal(to_stack(volume), stack)


def test_the_components_find_what_detection_finds(
    detector: NetworkDetector, scan: Any, tmp_path: Path
) -> None:
    data = PrepareCased(detector)({"image": str(scan.path)})
    pred = AnomalyInferer(detector)(data["image"][None], network_of(detector))
    found = ToSourced(detector)({**data, "pred": pred[0]})
    detect_case(CaseWork(data["prepared"]), detector, tmp_path, data["provenance"])
    pairs = {"anomaly": "anomaly", "pred": "mask", "pseudo_healthy": "pseudo_healthy"}
    for key, name in pairs.items():
        stored = nib.load(tmp_path / f"{name}.nii.gz")
        np.testing.assert_array_equal(found[key][0].numpy(), np.asarray(stored.dataobj))
        np.testing.assert_allclose(np.asarray(found[key].affine), stored.affine, atol=1e-5)
    assert found["pred"].dtype == torch.uint8
    assert 0 < found["pred"].sum() < scan.inside.sum()


def test_the_prepared_volume_lies_where_the_brain_lies(
    detector: NetworkDetector, scan: Any
) -> None:
    image = PrepareCased(detector)({"image": scan.path})["image"]
    brain = np.argwhere(np.asarray(image[-1]) > 0.5)
    affine = np.asarray(image.affine)
    centre = affine[:3, :3] @ brain.mean(0) + affine[:3, 3]
    np.testing.assert_allclose(centre, scan.world[scan.inside].mean(0), atol=1.0)
    assert tuple(image.meta["spatial_shape"]) == scan.data.shape
    np.testing.assert_allclose(image.meta["original_affine"], scan.affine, atol=1e-5)


def test_volumes_of_a_batch_do_not_see_each_other(detector: NetworkDetector, scan: Any) -> None:
    image = PrepareCased(detector)({"image": scan.path})["image"].as_tensor()
    other = image.clone()
    other[0] = other[0].flip(0)
    inferer = AnomalyInferer(detector)
    both = inferer(inputs=torch.stack([image, other]), network=network_of(detector))
    for i, volume in enumerate((image, other)):
        alone = inferer(volume[None], network_of(detector))[0]
        torch.testing.assert_close(both[i], alone, atol=1e-5, rtol=0)


def test_the_inferer_uses_the_network_that_it_is_given(
    detector: NetworkDetector, scan: Any
) -> None:
    class Silent(torch.nn.Linear):
        def forward(self, x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x)

    image = PrepareCased(detector)({"image": scan.path})["image"][None]
    inferer = AnomalyInferer(detector)
    own, other = inferer(image, network_of(detector)), inferer(image, Silent(1, 1))
    assert not torch.equal(own[:, 1:], other[:, 1:])


def test_a_case_that_fails_does_not_stop_the_others(
    detector: NetworkDetector, scan: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "torn_flair.nii.gz").write_bytes(scan.path.read_bytes()[:500])
    cases = [{"case": case} for case in find_cases(tmp_path, modalities=["flair"]).cases]
    dataset = CaseDataset(cases, PrepareCased(detector))
    done = [one_case([item])["prepared"].case.name for item in dataset]
    assert done == ["p1"]
    assert list(dataset.failed) == ["torn"]
    assert "torn failed" in caplog.text
    assert "cut short" in caplog.text


def test_no_usable_case_at_all_is_an_error(detector: NetworkDetector, tmp_path: Path) -> None:
    dataset = CaseDataset([{"image": tmp_path / "x_flair.nii.gz"}], PrepareCased(detector))
    with pytest.raises(InputError, match=r"no case could be used: .*no such file"):
        list(dataset)


def test_a_folder_of_scans_is_not_one_image(detector: NetworkDetector, make_brain: Any) -> None:
    folder = make_brain(name="p1_flair.nii.gz").path.parent
    make_brain(name="p2_flair.nii.gz")
    with pytest.raises(InputError, match="expected one case, found 2"):
        PrepareCased(detector)({"image": folder})


def test_a_mask_needs_a_threshold(detector: NetworkDetector, scan: Any) -> None:
    uncut = replace(detector, threshold=detector.threshold.model_copy(update={"value": None}))
    data = PrepareCased(uncut)({"image": scan.path})
    with pytest.raises(InputError, match="there is no threshold for the mask"):
        ToSourced(uncut)({**data, "pred": data["image"]})
