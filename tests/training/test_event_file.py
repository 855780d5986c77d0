"""TensorBoard of a training: what is read back from the event file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from trainings import WatchedRun, rows_of

from pipeline.diffusion.network import build_network
from pipeline.run.model import make_scheduler
from pipeline.run.settings import load_config
from pipeline.training import probes
from pipeline.training.chart_texts import PROBE_CURVE
from pipeline.training.event_file import precision_recall_table


def points(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_curves_agree_with_the_table_of_losses(watched: WatchedRun) -> None:
    rows = rows_of(watched.path)
    steps = [int(row["step"]) for row in rows]
    for tag, column in (
        ("loss/train_epoch", "train_loss"),
        ("loss/val_epoch", "val_loss"),
        ("learning_rate", "learning_rate"),
    ):
        expected = [float(row[column]) for row in rows]
        assert [step for step, _ in points(watched.events, tag)] == steps
        assert [value for _, value in points(watched.events, tag)] == pytest.approx(expected)
    best = np.minimum.accumulate([float(row["val_loss"]) for row in rows])
    assert [value for _, value in points(watched.events, "loss/val_best")] == pytest.approx(
        best.tolist()
    )
    assert [step for step, _ in points(watched.events, "loss/train_step")] == [10, 20]


def test_phantom_scores_are_those_of_the_kept_weights(watched: WatchedRun) -> None:
    config = watched.config
    network = build_network(config.network, 1)
    network.load_state_dict(torch.load(watched.path / "model.pt", weights_only=True))
    network.eval()
    held = probes.read_probes(watched.path)
    scheduler = make_scheduler(config.diffusion)
    maps = [probes.map_probe(p, network, scheduler, config, torch.device("cpu")) for p in held]
    scores, lesion = probes.pooled(held, maps)
    assert len(held) == probes.N_PROBES
    assert 0 < lesion.mean() < 0.2
    for tag, metric in (
        ("phantoms/auprc", average_precision_score),
        ("phantoms/auroc", roc_auc_score),
    ):
        assert [step for step, _ in points(watched.events, tag)] == [12, 24]
        assert points(watched.events, tag)[-1][1] == pytest.approx(metric(lesion, scores), abs=1e-4)
    drawn = watched.events.Tensors(PROBE_CURVE)[-1].tensor_proto
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


def test_settings_and_final_metrics_stand_in_the_same_run(watched: WatchedRun) -> None:
    held = {
        name: plugin_data_pb2.HParamsPluginData.FromString(content)
        for name, content in watched.events.PluginTagToContent("hparams").items()
    }
    started = held["_hparams_/session_start_info"].session_start_info.hparams
    config = load_config(watched.path / "config.yaml")
    assert started["training.learning_rate"].number_value == config.training.learning_rate
    assert started["diffusion.noise"].string_value == "simplex"
    assert started["training.flip"].string_value == "yes"
    metrics = held["_hparams_/experiment"].experiment.metric_infos
    names = {info.name.tag for info in metrics}
    assert names == {"loss/val_epoch", "loss/val_best", "phantoms/auprc", "phantoms/auroc"}
    assert names <= set(
        watched.events.Tags()["scalars"]
    )  # TensorBoard takes the last value of each
    assert "_hparams_/session_end_info" in held
