"""What TensorBoard says of a training in words; every chart tells what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.files.provenance import software
from pipeline.files.record.datalist import Datalist
from pipeline.run.config import RunConfig
from pipeline.training.probes import Probe, probe_timestep

TRAIN_STEP, TRAIN_EPOCH = "loss/train_step", "loss/train_epoch"
VAL_EPOCH, VAL_BEST = "loss/val_epoch", "loss/val_best"
LEARNING_RATE = "learning_rate"
PROBE_AUPRC, PROBE_AUROC, PROBE_CURVE = "phantoms/auprc", "phantoms/auroc", "phantoms/pr_curve"
RESTORED, PROBE_MAPS = "restored/healthy", "phantoms/maps"
ABOUT = "about/this_run"


def explanations(config: RunConfig) -> dict[str, str]:
    """Chart to what it shows, as markdown; a chart is named in this table, or not drawn."""
    error = {"l2": "Mean squared error", "l1": "Mean absolute error"}[config.training.loss]
    answer = {"epsilon": "noise (of unit variance)", "sample": "image", "v_prediction": "v"}
    measured = f"{error} of the predicted {answer[config.diffusion.prediction_type]}"
    residual = config.detection.residual
    t = probe_timestep(config)
    where = (
        "over the brain voxels of validation brains with a synthetic tumour. The map is the "
        f"smoothed {residual} residual of one restoration from t = {t}, without atlases: it says "
        "whether training helps, and is lower than what `anomap benchmark` reaches."
    )
    return {
        TRAIN_STEP: f"{measured} on a batch of augmented training slices, every tenth step.",
        TRAIN_EPOCH: f"{measured}, mean over the epoch's steps (`train_loss` of loss.csv).",
        VAL_EPOCH: f"{measured} on validation slices with the averaged (EMA) weights; the same "
        "slices, timesteps and noise each time (`val_loss` of loss.csv). Rising while the "
        "training loss falls: overfitting.",
        VAL_BEST: "The lowest `loss/val_epoch` so far. The weights that are kept are the "
        "last ones, not those.",
        LEARNING_RATE: "Of AdamW: a linear warm-up, then a cosine to 0 at the last step.",
        PROBE_AUPRC: f"Area under the precision-recall curve, 0 to 1, {where}",
        PROBE_AUROC: f"Area under the ROC curve (0.5: chance), {where}",
        PROBE_CURVE: "Precision (share of the called voxels that are tumour) over recall (share of "
        "the tumour that is called). The threshold of a point is the share of the tumour's voxels "
        "below it.",
        RESTORED: "Healthy validation slices. Noise of strength t is added, and the network "
        "restores the image in one step; |difference| is black where nothing changed. A good "
        "network changes little.",
        PROBE_MAPS: f"Validation brains with a synthetic tumour (outlined), restored from t = {t}. "
        "The tumour should vanish in the restored image and shine in the map, and nothing else "
        "should; all maps have one scale.",
    }


def introduction(config: RunConfig, run_dir: Path, n_weights: int, probes: Sequence[Probe]) -> str:
    """The text panel of a run, as markdown: what it is, and what each chart shows."""
    facts = {
        "images": ", ".join(config.modalities),
        "cases": _counts(run_dir),
        "slices": f"{config.grid.size} x {config.grid.size} pixels of "
        f"{config.grid.spacing_mm:g} mm, every {config.grid.slice_spacing_mm:g} mm",
        "network": f"`{config.network}`, {n_weights:,} weights",
        "diffusion": _about_diffusion(config),
        "training": _about_training(config),
        "phantoms": _about_probes(probes),
        "software": ", ".join(
            f"{name} {version}" for name, version in software().to_json().items() if version
        ),
    }
    charts = {
        chart: text
        for chart, text in explanations(config).items()
        if probes or not chart.startswith("phantoms")
    }
    return (
        f"# anomap: {config.preset} preset, {', '.join(config.modalities)}\n\n"
        "A diffusion network learns to restore healthy brains. What it cannot restore in a "
        "scan is called anomalous.\n\n"
        + _listed(facts)
        + "\n## What the charts show\n\nSteps are batches. Beside Scalars and Images: **PR "
        "Curves**, **Custom Scalars** (two curves in one chart), **HParams** (settings and "
        "final metrics, once the training is done; the runs under one `--logdir` are rows of "
        "one table).\n\n" + _listed(charts)
    )


def _listed(rows: Mapping[str, str]) -> str:
    # A table's first column is broken within words there.
    return "".join(f"- **{name}**: {text}\n" for name, text in rows.items())


def _counts(run_dir: Path) -> str:
    datalist = Datalist.of(run_dir)
    sections = {} if datalist is None else datalist.sections
    counts = [f"{len(part)} {name}" for name, part in sections.items()]
    return ", ".join(counts) or "not recorded"


def _about_diffusion(config: RunConfig) -> str:
    noise = {"noise": config.diffusion.noise, **config.diffusion.noise_parameters}
    return (
        f"{config.diffusion.num_train_timesteps} timesteps, {config.diffusion.schedule} schedule, "
        + ", ".join(f"{key} {value}" for key, value in noise.items())
    )


def _about_training(config: RunConfig) -> str:
    training = config.training
    return (
        f"{training.epochs} epochs of {training.slices_per_epoch or 'all'} slices in batches of "
        f"{training.batch_size}, learning rate {training.learning_rate:g}, seed {config.seed}"
    )


def _about_probes(probes: Sequence[Probe]) -> str:
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
