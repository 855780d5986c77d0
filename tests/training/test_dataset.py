"""Slices on disk, their augmentation, and the order in which they are drawn."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.loop import QUIET
from pipeline.cases.transforms import CaseTransforms
from pipeline.run.config import RunConfig
from pipeline.training.dataset import (
    Augmentation,
    EpochSampler,
    SliceDataset,
    build_stacks,
    evenly_spaced,
)


def test_voxels_to_leave_out_have_no_weight(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    transforms = CaseTransforms(config.modalities, config.grid)
    stacks, failed = build_stacks(controls, transforms, config, tmp_path, execution=QUIET)
    assert not failed
    without = [min(float(item["weight"].min()) for item in _items([path])) for path in stacks]
    assert without == [1, 1, 0, 1, 1]


def test_a_stack_is_known_by_the_content_of_its_files(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    """Not by names and times: others under the same name and time are prepared anew."""
    transforms = CaseTransforms(config.modalities, config.grid)

    def stack_of(path: Path) -> Path:
        case = replace(controls[0], name=path.parent.name, images={"flair": ImageFile(path)})
        (stack,), _ = build_stacks([case], transforms, config, tmp_path / "cache", execution=QUIET)
        return stack

    first, second = tmp_path / "one" / "x_flair.nii.gz", tmp_path / "two" / "x_flair.nii.gz"
    for path, source in ((first, controls[0]), (second, controls[1])):
        path.parent.mkdir()
        path.write_bytes(source.images["flair"].path.read_bytes())
    stack, before = stack_of(first), first.stat()
    moved = first.rename(tmp_path / "one" / "y_flair.nii.gz")
    assert stack_of(moved) == stack
    first.write_bytes(second.read_bytes())
    os.utime(first, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert stack_of(first) == stack_of(second) != stack


@pytest.mark.parametrize("spoil", ["empty", "cut", "text", "other shape"])
def test_a_torn_stack_is_made_anew(
    controls: list[Case], config: RunConfig, tmp_path: Path, spoil: str
) -> None:
    transforms = CaseTransforms(config.modalities, config.grid)
    (path,), _ = build_stacks(controls[:1], transforms, config, tmp_path, execution=QUIET)
    good = path.read_bytes()
    contents = {"empty": b"", "cut": good[:-100], "text": b"no stack"}
    if spoil in contents:
        path.write_bytes(contents[spoil])
    else:
        np.save(path, np.zeros((3, 9, 9), np.float32))
    build_stacks(controls[:1], transforms, config, tmp_path, execution=QUIET)
    assert path.read_bytes() == good


def _items(stacks: list[Path]) -> list[dict[str, torch.Tensor]]:
    dataset = SliceDataset(stacks)
    return [dataset[i] for i in range(len(dataset))]


def test_an_augmented_slice_depends_on_seed_epoch_and_index_alone(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    transforms = CaseTransforms(config.modalities, config.grid)
    stacks, _ = build_stacks(controls, transforms, config, tmp_path, execution=QUIET)
    first = SliceDataset(stacks, Augmentation(config.training, spacing_mm=6.5, seed=1))
    second = SliceDataset(stacks, Augmentation(config.training, spacing_mm=6.5, seed=1))
    _ = second[3]
    assert torch.equal(first[7]["image"], second[7]["image"])
    second.epoch = 1
    assert not torch.equal(first[7]["image"], second[7]["image"])
    image = first[7]["image"]
    assert image.min() == -1
    assert image.max() <= 1


def test_augmentation_does_not_darken_the_edge_of_the_brain(
    config: RunConfig, tmp_path: Path
) -> None:
    stack = np.zeros((1, 3, 32, 32), np.float32)
    stack[:, 0] = -1
    stack[:, :, 8:24, 8:24] = 1  # a bright square: image 1, brain 1, healthy 1
    np.save(tmp_path / "square.npy", stack)
    dataset = SliceDataset(
        [tmp_path / "square.npy"], Augmentation(config.training, spacing_mm=6.5, seed=0)
    )
    image = dataset[0]["image"]
    assert set(image.unique().round(decimals=3).tolist()) == {-1.0, 1.0}


def test_changes_of_intensity_stay_within_the_brain_and_the_range(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    transforms = CaseTransforms(config.modalities, config.grid)
    stacks, _ = build_stacks(controls, transforms, config, tmp_path, execution=QUIET)
    still = replace(config.training, rotate_degrees=0, translate_mm=0, scale=0, flip=False)
    changing = replace(still, contrast=0.5, bias_field=0.3, blur_mm=8.0)
    before = SliceDataset(stacks, Augmentation(still, spacing_mm=6.5, seed=1))
    after = SliceDataset(stacks, Augmentation(changing, spacing_mm=6.5, seed=1))
    differences = []
    for i in range(0, len(before), 3):
        plain, changed = before[i]["image"], after[i]["image"]
        assert (changed[plain == -1] == -1).all()
        assert changed.min() >= -1
        assert changed.max() <= 1
        assert torch.equal(changed, after[i]["image"])
        differences.append(float((plain - changed).abs().max()))
    # Each of the three changes half of the slices.
    assert 0.6 < np.mean([difference > 1e-3 for difference in differences]) <= 1


def test_a_blurred_brain_keeps_its_intensity_at_the_border(
    config: RunConfig, tmp_path: Path
) -> None:
    stack = np.zeros((1, 3, 32, 32), np.float32)
    stack[:, 0] = -1
    stack[:, 0, 8:24, 8:24] = 0.5
    stack[:, 1:, 8:24, 8:24] = 1
    np.save(tmp_path / "square.npy", stack)
    blurred = replace(config.training, blur_mm=20.0, rotate_degrees=0, translate_mm=0, scale=0)
    dataset = SliceDataset([tmp_path / "square.npy"], Augmentation(blurred, spacing_mm=6.5, seed=0))
    for epoch in range(8):
        dataset.epoch = epoch
        assert set(dataset[0]["image"].unique().round(decimals=2).tolist()) == {-1.0, 0.5}


def test_an_epoch_takes_every_slice_once() -> None:
    sampler = EpochSampler(10, None, seed=0)
    assert sorted(sampler) == list(range(10))
    longer = EpochSampler(10, 25, seed=0)
    counts = np.bincount(list(longer), minlength=10)
    assert counts.min() == 2
    assert counts.sum() == 25


def test_shares_of_an_epoch_do_not_overlap_and_are_of_one_size() -> None:
    whole = EpochSampler(11, 10, seed=3)
    shares = [EpochSampler(11, 10, seed=3, share=(i, 3)) for i in range(3)]
    for sampler in (whole, *shares):
        sampler.epoch = 2
    drawn = [list(share) for share in shares]
    assert [len(share) for share in drawn] == [3, 3, 3] == [len(share) for share in shares]
    assert sorted(i for share in drawn for i in share) == sorted(list(whole)[:9])


def test_each_process_gets_a_slice_of_the_shortest_epoch() -> None:
    shares = [EpochSampler(1, None, seed=3, share=(i, 3)) for i in range(3)]
    assert [list(share) for share in shares] == [[0], [0], [0]]
    assert [len(share) for share in shares] == [1, 1, 1]


def test_few_slices_are_all_taken_and_many_are_thinned_evenly() -> None:
    assert evenly_spaced(5, 256) == [0, 1, 2, 3, 4]
    assert evenly_spaced(9, 3) == [1, 4, 7]
