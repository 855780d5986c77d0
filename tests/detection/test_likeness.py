"""Whether a scan looks like those that thresholds come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.cases.case import Case
from pipeline.cases.find import find_cases
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.case_work import CaseWork
from pipeline.detection.likeness import LEAST_PEOPLE, looks_of, unlike
from pipeline.files.record.calibration import Looks
from pipeline.run.locate import bundle_dir
from pipeline.run.model import load_model
from pipeline.run.words import SHIPPED
from pipeline.training.data import HealthyCases, split_healthy

N = 64


def looks(seed: int, shift: float = 0.0, share: float = 1.0, noise: float = -4.0) -> Looks:
    """Somebody with blocks near 0, the first share of them shifted; the last two have no brain."""
    rng = np.random.default_rng(seed)
    blocks = rng.uniform(0.6, 1.6) * rng.normal(0, 0.5, N)  # some people are more unusual
    blocks[: int(share * N)] += shift
    return Looks(
        blocks=(*(float(b) for b in blocks[:-2]), None, None),
        noise=noise + float(rng.normal(0, 0.1)),
    )


PEOPLE = [looks(seed) for seed in range(20)]


def test_one_of_them_looks_like_them() -> None:
    assert sum(unlike(looks(seed), PEOPLE) is not None for seed in range(100, 140)) <= 6


def test_another_brightness_all_over_the_brain_is_noted() -> None:
    said = unlike(looks(50, shift=2.0), PEOPLE)
    assert said is not None
    assert "brightness over the brain" in said
    assert "noise" not in said.split(";")[0].replace("noise)", "")
    assert "20 healthy people" in said
    assert "no p-value" in said


def test_a_tumour_in_a_twelfth_of_the_brain_is_not() -> None:
    ordinary = [seed for seed in range(100, 130) if unlike(looks(seed), PEOPLE) is None]
    told = [unlike(looks(seed, shift=9.0, share=0.08), PEOPLE) for seed in ordinary]
    assert sum(note is not None for note in told) <= len(told) // 4


@pytest.mark.parametrize("noise", [-6.0, -2.0])
def test_another_noise_is_noted(noise: float) -> None:
    said = unlike(looks(51, noise=noise), PEOPLE)
    assert said is not None
    assert "noise (" in said


def test_few_people_and_no_looks_say_nothing() -> None:
    far = looks(50, shift=5.0)
    assert unlike(far, PEOPLE[: LEAST_PEOPLE - 1]) is None
    assert unlike(far, PEOPLE[:LEAST_PEOPLE]) is not None
    assert unlike(None, PEOPLE) is None
    nowhere = replace_blocks(far, (None,) * N)
    assert unlike(nowhere, [replace_blocks(p, (None,) * N) for p in PEOPLE]) is None


def replace_blocks(one: Looks, blocks: tuple[float | None, ...]) -> Looks:
    return one.model_copy(update={"blocks": blocks})


@pytest.mark.shared
def test_a_scan_of_another_site_looks_unlike_and_one_of_the_same_with_shading_does(
    shared_data: Path,
) -> None:
    model = load_model(bundle_dir(SHIPPED["t1"]) / "models", torch.device("cpu"))
    transforms = CaseTransforms(("t1",), model.config.grid)

    def seen(case: Case, factor: float = 0.0) -> Looks:
        prepared = transforms(case)
        if factor:
            ramp = torch.linspace(-factor, factor, prepared.slices.shape[-1])
            shaded = ((prepared.slices + 1) * (1 + ramp) - 1).clamp(-1, 1)
            prepared = replace(prepared, slices=torch.where(prepared.brain, shaded, -1.0))
        found = looks_of(CaseWork(prepared), model)
        assert found is not None
        return found

    healthy = find_cases(shared_data / "ixi_t1", modalities=("t1",)).cases
    split = split_healthy(HealthyCases(list(healthy)), model.config)
    people = [seen(case) for case in split.validation[:14]]
    held_out = split.test[:3]
    assert sum(unlike(seen(case), people) is not None for case in held_out) <= 1
    assert all(unlike(seen(case, factor=0.4), people) for case in held_out)
    elsewhere = find_cases(shared_data / "novosibirsk_t1", modalities=("t1",)).cases[:2]
    assert all(unlike(seen(case), people) for case in elsewhere)
