"""What TensorBoard shows of a training; every chart says what it means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard import summary as summaries

from pipeline.files.provenance import command_line, software
from pipeline.files.record.people import Datalist
from pipeline.run.config import RunConfig, to_dict
from pipeline.scores.metrics import auprc, auroc
from pipeline.training.probes import Findings, Probe, pooled, probe_timestep

N_THRESHOLDS = 101
CELL, MARGIN, LINE = 128, 68, 20
"""Pixels: the least side of a slice in a picture, room for its row's name, and for a heading."""
OUTLINE = (230, 159, 0)
TOP_QUANTILE = 0.999
ABOUT = "about/this_run"
PICTURES, MAPS, CURVE = "restored/healthy", "phantoms/maps", "phantoms/pr_curve"


def charts(config: RunConfig) -> dict[str, str]:
    """Chart to what it shows, as markdown; a chart is named in this table, or not drawn."""
    error = {"l2": "Mean squared error", "l1": "Mean absolute error"}[config.training.loss]
    answer = {"epsilon": "noise (of unit variance)", "sample": "image", "v_prediction": "v"}
    of = f"{error} of the predicted {answer[config.diffusion.prediction_type]}"
    residual = config.detection.residual
    t = probe_timestep(config)
    found = (
        "over the brain voxels of validation brains with a synthetic tumour. The map is the "
        f"smoothed {residual} residual of one restoration from t = {t}, without atlases: it says "
        "whether training helps, and is lower than what `anomap benchmark` reaches."
    )
    return {
        "loss/train_step": f"{of} on a batch of augmented training slices, every tenth step.",
        "loss/train_epoch": f"{of}, mean over the epoch's steps (`train_loss` of loss.csv).",
        "loss/val_epoch": f"{of} on validation slices with the averaged (EMA) weights; the same "
        "slices, timesteps and noise each time (`val_loss` of loss.csv). Rising while the "
        "training loss falls: overfitting.",
        "loss/val_best": "The lowest `loss/val_epoch` so far. The weights that are kept are the "
        "last ones, not those.",
        "learning_rate": "Of AdamW: a linear warm-up, then a cosine to 0 at the last step.",
        "phantoms/auprc": f"Area under the precision-recall curve, 0 to 1, {found}",
        "phantoms/auroc": f"Area under the ROC curve (0.5: chance), {found}",
        CURVE: "Precision (share of the called voxels that are tumour) over recall (share of the "
        "tumour that is called). The threshold of a point is the share of the tumour's voxels "
        "below it.",
        PICTURES: "Healthy validation slices. Noise of strength t is added, and the network "
        "restores the image in one step; |difference| is black where nothing changed. A good "
        "network changes little.",
        MAPS: f"Validation brains with a synthetic tumour (outlined), restored from t = {t}. "
        "The tumour should vanish in the restored image and shine in the map, and nothing else "
        "should; all maps have one scale.",
    }


class Board:
    """Writes the event file of a run.

    Args:
        folder: of the event files.
        done: steps of an earlier training that this one goes on from.
    """

    def __init__(self, folder: Path, config: RunConfig, done: int) -> None:
        self.config, self.charts = config, charts(config)
        self.writer = SummaryWriter(folder, purge_step=done + 1)
        self.file: Any = self.writer.file_writer

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    def introduce(self, run_dir: Path, n_weights: int, probes: Sequence[Probe]) -> None:
        """The text panel, and the charts that show two curves in one."""
        self.writer.add_text(ABOUT, self._text(run_dir, n_weights, probes), 0)
        both = {"training and validation": ["Multiline", ["loss/train_epoch", "loss/val_epoch"]]}
        found = {"AUPRC and AUROC": ["Multiline", ["phantoms/auprc", "phantoms/auroc"]]}
        layout: dict[str, Any] = {"loss": both}
        self.writer.add_custom_scalars(layout | {"phantoms": found} if probes else layout)

    def scalar(self, tag: str, value: float, step: int) -> None:
        """A point of a chart."""
        self._add(tag, summaries.scalar(tag, value), step)

    def picture(self, tag: str, picture: np.ndarray, step: int) -> None:
        """A picture ``(H, W, 3)`` uint8."""
        self._add(tag, summaries.image(tag, picture, dataformats="HWC"), step)

    def found(self, probes: Sequence[Probe], findings: Sequence[Findings], step: int) -> None:
        """What is found of tumours: AUPRC, AUROC, precision-recall curve and pictures."""
        scores, lesion = pooled(probes, findings)
        self.scalar("phantoms/auprc", auprc(scores, lesion), step)
        self.scalar("phantoms/auroc", auroc(scores, lesion), step)
        tp, fp, tn, fn, ppv, recall = precision_recall_table(scores, lesion)
        curve = summaries.pr_curve_raw(CURVE, tp, fp, tn, fn, ppv, recall, N_THRESHOLDS)
        self._add(CURVE, curve, step)
        self.picture(MAPS, _map_picture(probes, findings), step)

    def end(self, step: int, *, with_probes: bool) -> None:
        """Name the settings and the final metrics, for tables of several runs.

        TensorBoard takes a metric's last value from the chart of its name.
        """
        metrics = ["loss/val_epoch", "loss/val_best"]
        metrics += ["phantoms/auprc", "phantoms/auroc"] if with_probes else []
        for part in summaries.hparams(settings(self.config), dict.fromkeys(metrics, 0.0)):
            self.file.add_summary(part, step)

    def _add(self, tag: str, summary: Any, step: int) -> None:
        for value in summary.value:
            value.metadata.summary_description = self.charts[tag]
        self.file.add_summary(summary, step)

    def _text(self, run_dir: Path, n_weights: int, probes: Sequence[Probe]) -> str:
        config, training = self.config, self.config.training
        noise = {"noise": config.diffusion.noise, **config.diffusion.noise_parameters}
        versions = ", ".join(
            f"{name} {version}" for name, version in software().to_json().items() if version
        )
        per_epoch = training.slices_per_epoch or "all"
        facts = {
            "images": ", ".join(config.modalities),
            "cases": _cases(run_dir),
            "slices": f"{config.grid.size} x {config.grid.size} pixels of "
            f"{config.grid.spacing_mm:g} mm, every {config.grid.slice_spacing_mm:g} mm",
            "network": f"`{config.network}`, {n_weights:,} weights",
            "diffusion": f"{config.diffusion.num_train_timesteps} timesteps, "
            f"{config.diffusion.schedule} schedule, "
            + ", ".join(f"{key} {value}" for key, value in noise.items()),
            "training": f"{training.epochs} epochs of {per_epoch} slices in batches of "
            f"{training.batch_size}, learning rate {training.learning_rate:g}, seed {config.seed}",
            "phantoms": _about(probes),
            "command": f"`{command_line()}`",
            "software": versions,
        }
        shown = {
            tag: text
            for tag, text in self.charts.items()
            if probes or not tag.startswith("phantoms")
        }
        return (
            f"# anomap: {config.preset} preset, {', '.join(config.modalities)}\n\n"
            "A diffusion network learns to restore healthy brains. What it cannot restore in a "
            "scan is called anomalous.\n\n"
            + _listed(facts)
            + "\n## What the charts show\n\nSteps are batches. Beside Scalars and Images: **PR "
            "Curves**, **Custom Scalars** (two curves in one chart), **HParams** (settings and "
            "final metrics, once the training is done; the runs under one `--logdir` are rows of "
            "one table).\n\n" + _listed(shown)
        )


def _listed(rows: Mapping[str, str]) -> str:
    # A table's first column is broken within words there.
    return "".join(f"- **{name}**: {text}\n" for name, text in rows.items())


def _cases(run_dir: Path) -> str:
    datalist = Datalist.of(run_dir)
    sections = {} if datalist is None else datalist.sections
    counts = [f"{len(part)} {name}" for name, part in sections.items()]
    return ", ".join(counts) or "not recorded"


def _about(probes: Sequence[Probe]) -> str:
    if not probes:
        return "none: no validation case could take a synthetic tumour"
    lesion = sum(int(probe.lesion.sum()) for probe in probes)
    brain = sum(int(probe.brain.sum()) for probe in probes)
    names = ", ".join(dict.fromkeys(probe.name for probe in probes))
    return (
        f"{len(probes)} synthetic tumours, put into {names}; tumour is "
        f"{100 * lesion / brain:.1f} % of the brain, so a map that knows nothing has an AUPRC of "
        f"{lesion / brain:.3f}"
    )


def settings(config: RunConfig) -> dict[str, Any]:
    """What decides a training, flat, each value a number or a text."""
    tree = to_dict(config)
    names = ("modalities", "preset", "network", "seed", "validation_fraction", "hold_out")
    flat: dict[str, Any] = {name: tree[name] for name in names}
    for section in ("grid", "diffusion", "training"):
        flat |= {f"{section}.{key}": value for key, value in tree[section].items()}
    return {key: _shown(value) for key, value in flat.items()}


def _shown(value: Any) -> int | float | str:
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


# --- pictures ------------------------------------------------------------------------------------


def labelled_grid(
    headings: Sequence[str], rows: Sequence[tuple[str, Sequence[np.ndarray]]]
) -> np.ndarray:
    """Slices in rows and columns with their names.

    Args:
        rows: name, and a slice ``(H, W)`` or ``(H, W, 3)`` in [0, 1] for each heading.

    Returns:
        ``(H', W', 3)`` uint8; small slices are enlarged to `CELL` pixels.
    """
    cells = [[_enlarged(cell) for cell in row] for _, row in rows]
    size = cells[0][0].shape[0]
    canvas = Image.new(
        "RGB", (MARGIN + size * len(headings), LINE + size * len(rows)), (255, 255, 255)
    )
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for column, heading in enumerate(headings):
        place = (MARGIN + size * (column + 0.5), LINE / 2)
        draw.text(place, heading, fill=(0, 0, 0), font=font, anchor="mm")
    for i, ((name, _), row) in enumerate(zip(rows, cells, strict=True)):
        top = LINE + size * i
        draw.text((MARGIN - 6, top + size / 2), name, fill=(0, 0, 0), font=font, anchor="rm")
        for column, cell in enumerate(row):
            canvas.paste(Image.fromarray(cell), (MARGIN + size * column, top))
    return np.asarray(canvas)


def _enlarged(cell: np.ndarray) -> np.ndarray:
    factor = _factor(cell)
    grey = np.round(np.clip(cell, 0, 1) * 255).astype(np.uint8)
    colour = grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)
    return colour.repeat(factor, 0).repeat(factor, 1)


def _factor(cell: np.ndarray) -> int:
    return max(1, math.ceil(CELL / cell.shape[0]))


def _map_picture(probes: Sequence[Probe], findings: Sequence[Findings]) -> np.ndarray:
    """Each tumour at the slice where it is largest."""
    top = float(np.quantile(pooled(probes, findings)[0], TOP_QUANTILE)) or 1.0
    rows = []
    for i, (probe, found) in enumerate(zip(probes, findings, strict=True)):
        z = int(probe.lesion.flatten(1).sum(1).argmax())
        image, restored = (
            (stack[z, 0].numpy()[::-1] + 1) / 2 for stack in (probe.slices, found.restored)
        )
        shown = found.anomaly_map[z, 0].numpy()[::-1] / top
        outlined = _outlined(image, probe.lesion[z, 0].numpy()[::-1])
        rows.append((f"tumour {i + 1}", (image, restored, shown, outlined)))
    return labelled_grid(("image", "restored", "anomaly map", "tumour"), rows)


def _outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A slice in colours, enlarged, with the rim of a mask."""
    factor = _factor(image)
    large = np.clip(image, 0, 1).repeat(factor, 0).repeat(factor, 1)
    inside = mask.repeat(factor, 0).repeat(factor, 1)
    rim = inside & ~ndimage.binary_erosion(inside)
    colour = np.repeat(large[..., None], 3, axis=2)
    colour[rim] = np.array(OUTLINE) / 255
    return colour
