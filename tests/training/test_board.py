"""TensorBoard of a training: what is read back from the event files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from pipeline.cases.case import Case
from pipeline.cases.find import find_cases
from pipeline.files.nifti import write_volume
from pipeline.phantom.cohort import write_cohort
from pipeline.run.config import RunConfig, load_config, override, preset_config
from pipeline.run.model import build_network, make_scheduler
from pipeline.training import board, probes
from pipeline.training import engine as training
from pipeline.training.board import CURVE, MAPS, PICTURES, labelled_grid, precision_recall_table

SETTINGS = {
    **{"grid.size": 32, "grid.spacing_mm": 6.5, "grid.slice_spacing_mm": 8.0},
    **{"training.epochs": 2, "training.slices_per_epoch": 48, "training.batch_size": 4},
}


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return override(preset_config("tiny", ("flair",)), SETTINGS)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    folder = tmp_path_factory.mktemp("phantoms")
    write_cohort(folder, ["flair"], n_healthy=3, n_tumour=0, spacing_mm=4.0, progress=False)
    return list(find_cases(folder, modalities=["flair"]).cases)


@pytest.fixture(scope="module")
def run(healthy: list[Case], config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("board") / "run"
    training.train(healthy, config, run_dir, progress=False)
    return run_dir


@pytest.fixture(scope="module")
def events(run: Path) -> EventAccumulator:
    folder = run / "tensorboard"
    assert [path.is_file() for path in folder.iterdir()] == [True]  # no run below the run
    return EventAccumulator(str(folder), size_guidance={"tensors": 0, "images": 0}).Reload()


def rows_of(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "loss.csv").open() as handle:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(handle)]


def points(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_curves_agree_with_the_table_of_losses(events: EventAccumulator, run: Path) -> None:
    rows = rows_of(run)
    steps = [int(row["step"]) for row in rows]
    for tag, column in (
        ("loss/train_epoch", "train_loss"),
        ("loss/val_epoch", "val_loss"),
        ("learning_rate", "learning_rate"),
    ):
        expected = [float(row[column]) for row in rows]
        assert [step for step, _ in points(events, tag)] == steps
        assert [value for _, value in points(events, tag)] == pytest.approx(expected)
    best = np.minimum.accumulate([float(row["val_loss"]) for row in rows])
    assert [value for _, value in points(events, "loss/val_best")] == pytest.approx(best.tolist())
    assert [step for step, _ in points(events, "loss/train_step")] == [10, 20]


def test_every_chart_has_its_explanation_and_is_in_the_text(
    events: EventAccumulator, config: RunConfig
) -> None:
    charts = board.charts(config)
    drawn = {*events.Tags()["scalars"], *events.Tags()["images"], CURVE}
    assert drawn == set(charts)
    for tag in drawn:
        assert events.SummaryMetadata(tag).summary_description == charts[tag]
    text = events.Tensors("about/this_run/text_summary")[0].tensor_proto.string_val[0].decode()
    assert all(f"**{tag}**: {said}" in text for tag, said in charts.items())
    assert "2 training, 1 validation" in text
    assert "3 synthetic tumours, put into phantom_h" in text


def test_phantom_scores_are_those_of_the_kept_weights(
    events: EventAccumulator, run: Path, config: RunConfig
) -> None:
    network = build_network(config.network, 1)
    network.load_state_dict(torch.load(run / "model.pt", weights_only=True))
    network.eval()
    held = probes.read_probes(run)
    scheduler = make_scheduler(config.diffusion)
    found = [probes.find(p, network, scheduler, config, torch.device("cpu")) for p in held]
    scores, lesion = probes.pooled(held, found)
    assert len(held) == probes.N_PROBES
    assert 0 < lesion.mean() < 0.2
    for tag, metric in (
        ("phantoms/auprc", average_precision_score),
        ("phantoms/auroc", roc_auc_score),
    ):
        assert [step for step, _ in points(events, tag)] == [12, 24]
        assert points(events, tag)[-1][1] == pytest.approx(metric(lesion, scores), abs=1e-4)
    drawn = events.Tensors(CURVE)[-1].tensor_proto
    curve = np.array(drawn.float_val).reshape(6, -1)
    assert curve == pytest.approx(precision_recall_table(scores, lesion), rel=0.02, abs=0.01)


def test_the_points_of_the_curve_are_counted_right() -> None:
    rng = np.random.default_rng(0)
    lesion = rng.random(2000) < 0.1
    scores = rng.normal(size=2000) + 2 * lesion
    table = precision_recall_table(scores, lesion)
    thresholds = np.quantile(scores[lesion], np.linspace(0, 1, table.shape[1]), method="lower")
    for threshold, (tp, fp, tn, fn, ppv, recall) in zip(thresholds, table.T, strict=True):
        called = scores >= threshold
        counts = (called & lesion, called & ~lesion, ~called & ~lesion, ~called & lesion)
        assert [tp, fp, tn, fn] == [int(count.sum()) for count in counts]
        assert ppv == pytest.approx(tp / (tp + fp))
        assert recall == pytest.approx(tp / lesion.sum())
    assert table[5, 0] == 1
    assert np.all(np.diff(table[5]) < 0)


def test_settings_and_final_metrics_stand_in_the_same_run(
    events: EventAccumulator, run: Path
) -> None:
    held = {
        name: plugin_data_pb2.HParamsPluginData.FromString(content)
        for name, content in events.PluginTagToContent("hparams").items()
    }
    started = held["_hparams_/session_start_info"].session_start_info.hparams
    config = load_config(run / "config.yaml")
    assert started["training.learning_rate"].number_value == config.training.learning_rate
    assert started["diffusion.noise"].string_value == "simplex"
    assert started["training.flip"].string_value == "yes"
    metrics = held["_hparams_/experiment"].experiment.metric_infos
    names = {info.name.tag for info in metrics}
    assert names == {"loss/val_epoch", "loss/val_best", "phantoms/auprc", "phantoms/auroc"}
    assert names <= set(events.Tags()["scalars"])  # TensorBoard takes the last value of each
    assert "_hparams_/session_end_info" in held


def test_pictures_are_wide_enough_to_read(events: EventAccumulator) -> None:
    for tag, n_rows in ((PICTURES, 9), (MAPS, 3)):
        image = events.Images(tag)[-1]
        assert (image.width, image.height) == (
            board.MARGIN + 4 * board.CELL,
            board.LINE + n_rows * board.CELL,
        )


def test_looking_for_tumours_does_not_change_the_training(
    run: Path, healthy: list[Case], config: RunConfig, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(probes, "N_PROBES", 0)
    training.train(healthy, config, tmp_path, progress=False)
    assert not (tmp_path / probes.PROBES).exists()
    with_probes, without = (
        torch.load(folder / "model.pt", weights_only=True) for folder in (run, tmp_path)
    )
    assert all(torch.equal(with_probes[key], without[key]) for key in with_probes)
    assert rows_of(run) == rows_of(tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert not any(tag.startswith("phantoms") for tag in events.Tags()["scalars"])


def test_a_probe_depends_on_seed_case_and_index_and_its_tumour_lies_in_the_brain(
    healthy: list[Case], config: RunConfig
) -> None:
    first, again, other = (probes.make_probe(healthy[0], config, i) for i in (0, 0, 1))
    assert torch.equal(first.slices, again.slices)
    assert torch.equal(first.lesion, again.lesion)
    assert not torch.equal(first.lesion, other.lesion)
    assert (first.brain | ~first.lesion).all()
    plain = probes.CaseTransforms(config.modalities, config.grid)(healthy[0])
    assert torch.equal(plain.brain, first.brain)
    changed = (plain.slices - first.slices).abs()
    assert changed[first.lesion].mean() > 5 * changed[first.brain & ~first.lesion].mean()


def test_what_cannot_take_a_tumour_is_left_out(config: RunConfig, tmp_path: Path) -> None:
    write_volume(tmp_path / "part_flair.nii.gz", np.ones((9, 9, 9), np.float32), np.eye(4))
    cases = find_cases(tmp_path, modalities=["flair"], healthy=True).cases
    probes.write_probes(cases, config, tmp_path / "run")
    assert probes.read_probes(tmp_path / "run") == []


def test_a_grid_of_slices_keeps_their_grey_values() -> None:
    cell = np.array([[0.0, 1.0], [0.5, 2.0]])
    grid = labelled_grid(("a", "b"), [("row", (cell, cell))])
    right = grid[board.LINE :, board.MARGIN + board.CELL :]
    half = board.CELL // 2
    corners = right[:: board.CELL - 1, :: board.CELL - 1, 0]
    assert corners.tolist() == [[0, 255], [128, 255]]
    assert (right[:half, :half] == 0).all()
