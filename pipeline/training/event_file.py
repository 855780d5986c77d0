"""The event file of a training, which TensorBoard shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard import summary as summaries

from pipeline.files.folder.disk import refusing
from pipeline.files.names import TENSORBOARD
from pipeline.run.config import RunConfig
from pipeline.run.settings import to_dict
from pipeline.scores.metrics import auprc, auroc
from pipeline.training.chart_texts import (
    ABOUT,
    LEARNING_RATE,
    PROBE_AUPRC,
    PROBE_AUROC,
    PROBE_CURVE,
    PROBE_MAPS,
    RESTORED,
    TRAIN_EPOCH,
    TRAIN_STEP,
    VAL_BEST,
    VAL_EPOCH,
    explanations,
    introduction,
)
from pipeline.training.losses import EpochLosses
from pipeline.training.pictures import probe_picture
from pipeline.training.probes import Probe, ProbeMap, pooled

N_THRESHOLDS = 101


class EventFile:
    """Writes the event file of a run.

    Args:
        run_dir: of the run.
        config: its settings.
        done: steps of an earlier training that this one goes on from.

    Raises:
        InputError: what is written, perhaps a while ago, does not fit on the disk.
    """

    def __init__(self, run_dir: Path, config: RunConfig, done: int) -> None:
        self.run_dir, self.config = run_dir, config
        self.explanations = explanations(config)
        self.folder = run_dir / TENSORBOARD
        with refusing(self.folder):
            self.writer = SummaryWriter(self.folder, purge_step=done + 1)
        self.file: Any = self.writer.file_writer

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, *error: object) -> None:
        with refusing(self.folder):
            self.writer.close()

    def introduce(self, n_weights: int, probes: Sequence[Probe]) -> None:
        """The text panel, and the charts that show two curves in one."""
        text = introduction(self.config, self.run_dir, n_weights, probes)
        both = {"training and validation": ["Multiline", [TRAIN_EPOCH, VAL_EPOCH]]}
        areas = {"AUPRC and AUROC": ["Multiline", [PROBE_AUPRC, PROBE_AUROC]]}
        layout: dict[str, Any] = {"loss": both}
        with refusing(self.folder):
            self.writer.add_text(ABOUT, text, 0)
            self.writer.add_custom_scalars(layout | {"phantoms": areas} if probes else layout)

    def add_step(self, loss: float, step: int) -> None:
        """The loss of a single step."""
        self._add_scalar(TRAIN_STEP, loss, step)

    def add_epochs(self, losses: Sequence[EpochLosses]) -> None:
        """The last of the epochs so far."""
        last = losses[-1]
        self._add_scalar(TRAIN_EPOCH, last.train_loss, last.step)
        self._add_scalar(VAL_EPOCH, last.val_loss, last.step)
        self._add_scalar(VAL_BEST, min(row.val_loss for row in losses), last.step)
        self._add_scalar(LEARNING_RATE, last.learning_rate, last.step)

    def add_restored(self, picture: np.ndarray, step: int) -> None:
        """A picture ``(H, W, 3)`` uint8 of restored slices."""
        self._add_picture(RESTORED, picture, step)

    def add_probes(self, probes: Sequence[Probe], maps: Sequence[ProbeMap], step: int) -> None:
        """What the maps show of tumours: AUPRC, AUROC, precision-recall curve and pictures."""
        scores, lesion = pooled(probes, maps)
        self._add_scalar(PROBE_AUPRC, auprc(scores, lesion), step)
        self._add_scalar(PROBE_AUROC, auroc(scores, lesion), step)
        tp, fp, tn, fn, ppv, recall = precision_recall_table(scores, lesion)
        curve = summaries.pr_curve_raw(PROBE_CURVE, tp, fp, tn, fn, ppv, recall, N_THRESHOLDS)
        self._add(PROBE_CURVE, curve, step)
        self._add_picture(PROBE_MAPS, probe_picture(probes, maps), step)

    def end(self, step: int, *, with_probes: bool) -> None:
        """Name the settings and the final metrics, for tables of several runs.

        TensorBoard takes a metric's last value from the chart of its name.
        """
        metrics = [VAL_EPOCH, VAL_BEST]
        metrics += [PROBE_AUPRC, PROBE_AUROC] if with_probes else []
        for part in summaries.hparams(settings(self.config), dict.fromkeys(metrics, 0.0)):
            self._write(part, step)

    def _add_scalar(self, chart: str, value: float, step: int) -> None:
        self._add(chart, summaries.scalar(chart, value), step)

    def _add_picture(self, chart: str, picture: np.ndarray, step: int) -> None:
        self._add(chart, summaries.image(chart, picture, dataformats="HWC"), step)

    def _add(self, chart: str, summary: Any, step: int) -> None:
        for value in summary.value:
            value.metadata.summary_description = self.explanations[chart]
        self._write(summary, step)

    def _write(self, summary: Any, step: int) -> None:
        with refusing(self.folder):
            self.file.add_summary(summary, step)


def settings(config: RunConfig) -> dict[str, Any]:
    """What decides a training, flat, each value a number or a text."""
    tree = to_dict(config)
    names = ("modalities", "preset", "network", "seed", "validation_fraction", "hold_out")
    flat: dict[str, Any] = {name: tree[name] for name in names}
    for section in ("grid", "diffusion", "training"):
        flat |= {f"{section}.{key}": value for key, value in tree[section].items()}
    return {key: _plain(value) for key, value in flat.items()}


def _plain(value: Any) -> int | float | str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "all"}[value]
    if isinstance(value, int | float | str):
        return value
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items()) or "default"
    return ", ".join(str(item) for item in value)


def precision_recall_table(scores: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """TP, FP, TN, FN, precision and recall at thresholds that are even in recall.

    Args:
        scores: ``(n,)``; called is ``score >= threshold``.
        lesion: ``(n,)`` bool, of both kinds.

    Returns:
        ``(6, N_THRESHOLDS)``; at the first threshold all of the lesion is called.
    """
    inside, outside = np.sort(scores[lesion]), np.sort(scores[~lesion])
    thresholds = np.quantile(inside, np.linspace(0, 1, N_THRESHOLDS), method="lower")
    false_negative = np.searchsorted(inside, thresholds)
    true_negative = np.searchsorted(outside, thresholds)
    true_positive = inside.size - false_negative
    false_positive = outside.size - true_negative
    ppv = true_positive / (true_positive + false_positive)
    counts = (true_positive, false_positive, true_negative, false_negative)
    return np.stack([*counts, ppv, true_positive / inside.size])
