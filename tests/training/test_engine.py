"""Training: splits, resume, what a run folder holds."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.cases.case import Case
from pipeline.cases.find import find_cases
from pipeline.cases.transforms import CaseTransforms
from pipeline.diffusion.scheduler import SimplexDDPMScheduler
from pipeline.errors import InputError
from pipeline.files.nifti import write_volume
from pipeline.noise.noises import Simplex
from pipeline.run.config import RunConfig, override, preset_config
from pipeline.training import engine as training
from pipeline.training.dataset import EpochSampler, SliceDataset, build_stacks


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Five smooth synthetic brains of 4 mm voxels; the third has a mask of voxels to leave out."""
    folder = tmp_path_factory.mktemp("controls") / "healthy"
    for i in range(5):
        rng = np.random.default_rng(i)
        x, y, z = np.meshgrid(*[np.arange(40) - 20.0] * 3, indexing="ij")
        inside = (x / 15) ** 2 + (y / 18) ** 2 + (z / 13) ** 2 < 1
        image = 100 + 20 * np.cos(x / (4 + i)) + 10 * np.sin(y / 5) + rng.normal(0, 2, x.shape)
        affine = np.diag([4.0, 4.0, 4.0, 1.0])
        write_volume(folder / f"c{i}_flair.nii.gz", np.where(inside, image, 0).astype("f4"), affine)
        if i == 2:
            lesion = (inside & (x > 5) & (x < 9) & (abs(y) < 4)).astype(np.uint8)
            write_volume(folder / "c2_desc-wmh_mask.nii.gz", lesion, affine)
    return list(find_cases(folder, modalities=["flair"]).cases)


@pytest.fixture
def config() -> RunConfig:
    return override(
        preset_config("tiny", ("flair",)),
        {
            "grid.size": 32,
            "grid.spacing_mm": 6.5,
            "grid.slice_spacing_mm": 8.0,
            "training.epochs": 3,
            "training.slices_per_epoch": 8,
            "training.batch_size": 4,
        },
    )


def test_a_resumed_training_ends_as_an_unbroken_one(
    controls: list[Case], config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.train(controls, config, tmp_path / "whole", progress=False)

    after_epoch = training.Training._after_epoch

    def broken_off(self: training.Training) -> None:
        after_epoch(self)
        if self.trainer.state.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Training, "_after_epoch", broken_off)
    with pytest.raises(KeyboardInterrupt):
        training.train(controls, config, tmp_path / "parts", progress=False)
    assert not (tmp_path / "parts" / "model.pt").exists()
    monkeypatch.setattr(training.Training, "_after_epoch", after_epoch)
    training.train(controls, config, tmp_path / "parts", resume=True, progress=False)

    whole, parts = (
        torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    rows = [_rows(tmp_path / name) for name in ("whole", "parts")]
    assert rows[0] == rows[1]
    assert [row["epoch"] for row in rows[0]] == ["1", "2", "3"]


def _rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "loss.csv").open() as handle:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(handle)]


def test_a_run_folder_says_who_was_used_for_what(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    training.train(controls, replace(config, hold_out=1), tmp_path / "run", progress=False)
    datalist = json.loads((tmp_path / "run" / "datalist.json").read_text())
    sizes = {name: len(entries) for name, entries in datalist.items() if isinstance(entries, list)}
    assert sizes == {"training": 3, "validation": 1, "test": 1}
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_another_run_in_the_folder_is_not_overwritten(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    training.train(controls, config, tmp_path, progress=False)
    with pytest.raises(InputError, match="--resume"):
        training.train(controls, config, tmp_path, progress=False)
    with pytest.raises(InputError, match="differs"):
        training.train(controls, replace(config, seed=9), tmp_path, resume=True, progress=False)


def test_few_slices_are_all_taken_and_many_are_thinned_evenly() -> None:
    assert training._spread_indices(5, 256) == [0, 1, 2, 3, 4]
    assert training._spread_indices(9, 3) == [1, 4, 7]


def test_too_few_subjects_are_refused_before_any_work(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="too few"):
        training.train(controls[:1], config, tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_torn_checkpoint_is_named(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    training.train(controls, config, tmp_path, progress=False)
    (tmp_path / "last.pt").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"last\.pt"):
        training.train(controls, config, tmp_path, resume=True, progress=False)


def test_voxels_to_leave_out_have_no_weight(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    transforms = CaseTransforms(config.modalities, config.grid)
    stacks, failed = build_stacks(controls, transforms, config, tmp_path, progress=False)
    assert not failed
    without = [min(float(item["weight"].min()) for item in _items([path])) for path in stacks]
    assert without == [1, 1, 0, 1, 1]


def _items(stacks: list[Path]) -> list[dict[str, torch.Tensor]]:
    dataset = SliceDataset(stacks)
    return [dataset[i] for i in range(len(dataset))]


def test_an_augmented_slice_depends_on_seed_epoch_and_index_alone(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    transforms = CaseTransforms(config.modalities, config.grid)
    stacks, _ = build_stacks(controls, transforms, config, tmp_path, progress=False)
    first = SliceDataset(stacks, config.training, spacing_mm=6.5, seed=1)
    second = SliceDataset(stacks, config.training, spacing_mm=6.5, seed=1)
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
    dataset = SliceDataset([tmp_path / "square.npy"], config.training, spacing_mm=6.5, seed=0)
    image = dataset[0]["image"]
    assert set(image.unique().round(decimals=3).tolist()) == {-1.0, 1.0}


def test_changes_of_intensity_stay_within_the_brain_and_the_range(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    transforms = CaseTransforms(config.modalities, config.grid)
    stacks, _ = build_stacks(controls, transforms, config, tmp_path, progress=False)
    still = replace(config.training, rotate_degrees=0, translate_mm=0, scale=0, flip=False)
    changing = replace(still, contrast=0.5, bias_field=0.3, blur_mm=8.0)
    before = SliceDataset(stacks, still, spacing_mm=6.5, seed=1)
    after = SliceDataset(stacks, changing, spacing_mm=6.5, seed=1)
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
    dataset = SliceDataset([tmp_path / "square.npy"], blurred, spacing_mm=6.5, seed=0)
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


def test_learning_rate_warms_up_then_falls_to_zero(config: RunConfig) -> None:
    warm = replace(config.training, warmup_steps=10)
    factors = [training.learning_rate_factor(step, 1000, warm) for step in range(1001)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[10] == pytest.approx(1.0)
    assert factors[505] == pytest.approx(0.5, abs=0.01)
    assert factors[1000] == pytest.approx(0.0)


def test_the_loss_is_blind_where_the_weight_is_zero() -> None:
    target = torch.tensor([[[[1.0, 5.0]], [[1.0, 0.0]]]])  # value 1 counts, value 5 does not
    prediction = torch.tensor([[[[3.0, 0.0]]]])
    assert training.WeightedLoss("l2")(prediction, target) == pytest.approx(4.0)


def test_the_absolute_loss_is_the_mean_distance() -> None:
    target = torch.tensor([[[[1.0, 5.0]], [[1.0, 0.0]]]])
    prediction = torch.tensor([[[[4.0, 0.0]]]])
    assert training.WeightedLoss("l1")(prediction, target) == pytest.approx(3.0)


def test_extra_cases_are_trained_on_and_listed_apart(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    training.train(controls[:-1], config, tmp_path / "a", extra=controls[-1:], progress=False)
    training.train(controls[:-1], config, tmp_path / "b", progress=False)
    listed = json.loads((tmp_path / "a" / "datalist.json").read_text())
    assert len(listed["extra"]) == 1
    without = json.loads((tmp_path / "b" / "datalist.json").read_text())
    assert "extra" not in without
    assert [len(listed[name]) for name in without] == [len(part) for part in without.values()]
    weights = [
        torch.load(tmp_path / run / "model.pt", weights_only=True)["out.2.conv.weight"]
        for run in "ab"
    ]
    assert not torch.equal(*weights)


def test_batches_are_reproducible_and_use_our_noise() -> None:
    scheduler = SimplexDDPMScheduler()
    batch = {"image": torch.zeros(3, 1, 16, 16), "weight": torch.ones(3, 1, 16, 16)}

    def prepared() -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(4)
        prepare = training.NoisePrepareBatch(scheduler, generator, (100, 200))
        _, target, _, infer = prepare(batch)
        assert torch.equal(target[:, :1], infer["noise"])
        assert ((infer["timesteps"] >= 100) & (infer["timesteps"] < 200)).all()
        return target, infer["timesteps"]

    assert all(torch.equal(a, b) for a, b in zip(prepared(), prepared(), strict=True))


def test_coherent_batches_are_sections_at_depths_that_detection_meets() -> None:
    scheduler = SimplexDDPMScheduler()
    images = torch.zeros(6, 1, 16, 16)
    prepare = training.NoisePrepareBatch(
        scheduler, torch.Generator().manual_seed(4), (0, 1000), coherent=True
    )
    drawn = prepare.get_noise(images)
    generator = torch.Generator().manual_seed(4)
    picked = torch.randint(training.N_DEPTHS, (6,), generator=generator)
    depths = Simplex().typical_depths(training.N_DEPTHS)
    expected = Simplex().sections(images, [depths[i] for i in picked], generator)
    assert len(set(picked.tolist())) > 2
    assert torch.equal(drawn, expected)


def test_coherent_noise_is_what_training_and_validation_see(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    losses = []
    for coherent in (False, True):
        settings = {"training.coherent_noise": coherent, "training.epochs": 1}
        training.train(
            controls, override(config, settings), tmp_path / str(coherent), progress=False
        )
        row = _rows(tmp_path / str(coherent))[0]
        losses.append((row["train_loss"], row["val_loss"]))
    assert losses[0][0] != losses[1][0]
    assert losses[0][1] != losses[1][1]


@pytest.mark.slow
def test_loading_in_workers_changes_nothing(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    for name, workers in (("alone", 0), ("helped", 2)):
        with_workers = override(config, {"training.workers": workers})
        training.train(controls, with_workers, tmp_path / name, progress=False)
    assert _rows(tmp_path / "alone") == _rows(tmp_path / "helped")


def test_shares_of_an_epoch_do_not_overlap_and_are_of_one_size() -> None:
    whole = EpochSampler(11, 10, seed=3)
    shares = [EpochSampler(11, 10, seed=3, share=(i, 3)) for i in range(3)]
    for sampler in (whole, *shares):
        sampler.epoch = 2
    drawn = [list(share) for share in shares]
    assert [len(share) for share in drawn] == [3, 3, 3] == [len(share) for share in shares]
    assert sorted(i for share in drawn for i in share) == sorted(list(whole)[:9])


def test_a_training_is_not_resumed_by_another_number_of_processes(
    controls: list[Case], config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = override(config, {"training.epochs": 1})
    training.train(controls, one, tmp_path, progress=False)
    monkeypatch.setattr(training.distributed, "n_processes", lambda: 2)
    with pytest.raises(InputError, match="by another number of processes than the 2 of now"):
        training.train(controls, one, tmp_path, resume=True, progress=False)


def test_the_same_weights_are_the_same_file(tmp_path: Path) -> None:
    """Their SHA-256 is in the provenance of every map."""
    for name in ("a", "b"):
        training.save_state(tmp_path / name / "model.pt", {"weight": torch.ones(3)})
    first, second = (tmp_path / name / "model.pt" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert torch.equal(torch.load(first, weights_only=True)["weight"], torch.ones(3))
