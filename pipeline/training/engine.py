"""Training of the network on healthy slices, with MONAI's engines."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import time
import typing
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from ignite.handlers import EMAHandler
from monai.engines import DiffusionPrepareBatch, SupervisedTrainer
from monai.inferers import DiffusionInferer
from monai.networks.nets import DiffusionModelUNet
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from pipeline.cases.case import Case
from pipeline.cases.find import find_cases
from pipeline.cases.listing import write_datalist
from pipeline.cases.loading import BrainExtractor
from pipeline.cases.loop import Execution
from pipeline.cases.splits import split_cases
from pipeline.cases.transforms import BACKGROUND, CaseTransforms
from pipeline.diffusion.network import build_network
from pipeline.diffusion.scheduler import SimplexDDPMScheduler
from pipeline.errors import InputError
from pipeline.files.names import (
    CACHE,
    CHECKPOINT,
    CONFIG,
    DATALIST,
    LOSSES,
    RUN_RECORD,
    TENSORBOARD,
    WEIGHTS,
)
from pipeline.files.nifti import make_folder, write_atomically, write_text
from pipeline.files.provenance import command_line, software
from pipeline.files.record.run import RunRecord
from pipeline.noise.noises import VolumeNoise, derive_seed
from pipeline.run.config import RunConfig, TrainingConfig, differences, dump_config, load_config
from pipeline.run.model import default_device, make_scheduler
from pipeline.training import distributed
from pipeline.training.board import PICTURES, Board, labelled_grid
from pipeline.training.dataset import EpochSampler, SliceDataset, build_stacks
from pipeline.training.probes import find, read_probes, write_probes

LOSS_COLUMNS = ("epoch", "step", "train_loss", "val_loss", "learning_rate", "seconds")
PICTURE_TIMESTEPS = (100, 300, 500)
VALIDATION_SLICES = 256
STEPS_A_POINT = 10
"""Of the chart of single steps."""
EPOCHS_A_LOOK = 5
"""Pictures and tumours are looked at in the first, sixth ... and in the last epoch."""
N_DEPTHS = 8
"""Of coherent noise: so few that their operators stay in the cache."""


class NoisePrepareBatch(DiffusionPrepareBatch):
    """MONAI's batch preparation with our noise and target, all drawn from one generator.

    The target that the loss gets carries the weight as its last channel; see `WeightedLoss`.

    Args:
        scheduler: gives the noise and the target.
        generator: source of noise and timesteps.
        timestep_range: t is drawn from [first, last).
        coherent: each field is a slice of a 3-D noise, at one of `N_DEPTHS` depths.
    """

    def __init__(
        self,
        scheduler: SimplexDDPMScheduler,
        generator: torch.Generator,
        timestep_range: tuple[int, int],
        coherent: bool = False,
    ) -> None:
        super().__init__(scheduler.num_train_timesteps)
        self.scheduler = scheduler
        self.generator = generator
        self.timestep_range = timestep_range
        self.coherent = coherent

    def get_noise(self, images: Tensor) -> Tensor:
        noise = self.scheduler.noise
        if not self.coherent:
            return noise(images, self.generator)
        assert isinstance(noise, VolumeNoise)
        depths = noise.typical_depths(N_DEPTHS)
        drawn = torch.randint(N_DEPTHS, (len(images),), generator=self.generator)
        return noise.sections(images, [depths[i] for i in drawn], self.generator)

    def get_timesteps(self, images: Tensor) -> Tensor:
        first, last = self.timestep_range
        return torch.randint(first, last, (len(images),), generator=self.generator)

    def get_target(self, images: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return self.scheduler.target(images, noise, timesteps)

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor, tuple, dict]:
        images, target, args, infer = super().__call__(batchdata, device, non_blocking, **kwargs)
        return images, torch.cat([target, batchdata["weight"].to(target)], dim=1), args, infer


class WeightedLoss(nn.Module):
    """Mean error over the pixels whose weight, the target's last channel, is 1.

    Args:
        kind: ``"l2"``, squared, or ``"l1"``, absolute.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.error = {"l2": torch.square, "l1": torch.abs}[kind]

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of ``(B, C, H, W)`` against ``(B, C + 1, H, W)``."""
        target, weight = target[:, :-1], target[:, -1:]
        error = self.error(prediction.float() - target) * weight
        return error.sum() / (weight.sum() * prediction.shape[1]).clamp_min(1.0)


@dataclass(frozen=True)
class Split:
    """Healthy cases by what they are used for; the extra ones are trained on and nothing else."""

    training: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]
    extra: tuple[Case, ...] = ()

    def sections(self) -> dict[str, tuple[Case, ...]]:
        """The parts that are not empty, by name."""
        parts = {
            "training": self.training,
            "validation": self.validation,
            "test": self.test,
            "extra": self.extra,
        }
        return {name: cases for name, cases in parts.items() if cases}


def split_healthy(cases: Sequence[Case], config: RunConfig) -> Split:
    """Subjects to training, validation (loss and calibration) and test (not touched).

    Raises:
        InputError: there are too few subjects.
    """
    n_subjects = len({case.subject for case in cases})
    n_validation = max(1, round((n_subjects - config.hold_out) * config.validation_fraction))
    n_training = n_subjects - config.hold_out - n_validation
    if n_training < 1:
        raise InputError(
            f"{n_subjects} healthy subjects are too few: {config.hold_out} are held out and "
            f"{n_validation} validate; at least one must be left to train on"
        )
    counts = {"training": n_training, "validation": n_validation, "test": config.hold_out}
    parts = split_cases(cases, {k: n for k, n in counts.items() if n}, config.seed)
    return Split(**{name: tuple(parts.get(name, ())) for name in counts})


def train(
    cases: Sequence[Case],
    config: RunConfig,
    run_dir: Path,
    *,
    extra: Sequence[Case] = (),
    resume: bool = False,
    extract_brain: BrainExtractor | None = None,
    device: torch.device | None = None,
    progress: bool = True,
) -> dict[str, str]:
    """Train on healthy cases; leaves a run folder with everything but the calibration.

    Writes ``config.yaml``, ``datalist.json`` (who was used for what), ``loss.csv``,
    ``tensorboard/``, ``last.pt`` after every epoch, and ``model.pt`` (EMA weights) at the end.

    Args:
        cases: healthy ones only; see `pipeline.cases.splits.healthy_for_training`.
        extra: healthy cases that are trained on but measure nothing: no atlas, no threshold.
        resume: continue from ``last.pt``; the result is what an unbroken training gives.

    Returns:
        Case name -> reason of the cases that could not be read.

    Raises:
        InputError: the run folder holds another run, or the cases do not suffice.
    """
    data = prepare(
        cases,
        config,
        run_dir,
        extra=extra,
        resume=resume,
        extract_brain=extract_brain,
        progress=progress,
    )
    Training(data, config, run_dir, device or default_device(), progress).run()
    return data.failed


@dataclass(frozen=True)
class TrainingData:
    """What a network is trained on.

    Attributes:
        training: augmented slices.
        validation: slices as they are, the same few in every epoch.
        failed: case name to reason of the cases that could not be read.
    """

    training: SliceDataset
    validation: Subset
    failed: dict[str, str]


def prepare(
    cases: Sequence[Case],
    config: RunConfig,
    run_dir: Path,
    *,
    extra: Sequence[Case] = (),
    resume: bool = False,
    extract_brain: BrainExtractor | None = None,
    progress: bool = True,
) -> TrainingData:
    """Split the cases, write the slices of a run to disk, and say in its folder what it is.

    Arguments and errors as `train`. Of several processes the first one does it for all.
    """
    split = replace(split_healthy(cases, config), extra=tuple(extra))
    with distributed.first_before_others():
        if distributed.is_first():
            _check_run(run_dir, config, split, resume)
        stacks, failed = _stacks(split, config, run_dir, extract_brain, progress)
        if not (run_dir / CONFIG).is_file():
            write_datalist(run_dir / DATALIST, split.sections())
            people = {name: len(part) for name, part in split.sections().items()}
            record = RunRecord(software=software(), command=command_line(), people=people)
            record.write(run_dir / RUN_RECORD)
            write_text(run_dir / CONFIG, dump_config(config))
        if distributed.is_first():
            write_probes(split.validation, config, run_dir, extract_brain)
    training = SliceDataset(
        stacks["training"] + stacks.get("extra", []),
        config.training,
        spacing_mm=config.grid.spacing_mm,
        seed=config.seed,
    )
    validation = _spread(SliceDataset(stacks["validation"]), VALIDATION_SLICES)
    return TrainingData(training, validation, failed)


def _stacks(
    split: Split,
    config: RunConfig,
    run_dir: Path,
    extract_brain: BrainExtractor | None,
    progress: bool,
) -> tuple[dict[str, list[Path]], dict[str, str]]:
    transforms = CaseTransforms(config.modalities, config.grid, extract_brain)
    stacks: dict[str, list[Path]] = {}
    failed: dict[str, str] = {}
    for name in ("training", "validation", "extra") if split.extra else ("training", "validation"):
        paths, reasons = build_stacks(
            getattr(split, name),
            transforms,
            config,
            run_dir / CACHE,
            description=f"preparing {name} cases",
            execution=Execution(progress=progress and distributed.is_first()),
        )
        if not paths:
            raise InputError(f"no {name} case could be read: {next(iter(reasons.values()))}")
        stacks[name], failed = paths, failed | reasons
    return stacks, failed


def _check_run(run_dir: Path, config: RunConfig, split: Split, resume: bool) -> None:
    """See that the folder is free, or holds the run to be resumed, on the same people."""
    make_folder(run_dir)
    path = run_dir / CONFIG
    if not path.is_file():
        return
    if not resume:
        raise InputError(
            f"{run_dir}: a run is already there; give --resume to continue it, or another folder"
        )
    if changed := differences(load_config(path), config):
        raise InputError(
            f"{run_dir}: its config.yaml differs from what is asked for now in "
            f"{', '.join(changed)}; resume with the same settings, or give another folder"
        )
    for name, cases in split.sections().items():
        before = find_cases(run_dir / DATALIST, section=name).cases
        if {case.name for case in before} != {case.name for case in cases}:
            raise InputError(
                f"{run_dir}: its {name} cases were {len(before)} others than the {len(cases)} "
                "found now; resume with the same data, or give another folder"
            )


class Training:
    """The engine, its handlers and the state that a checkpoint holds."""

    def __init__(
        self,
        data: TrainingData,
        config: RunConfig,
        run_dir: Path,
        device: torch.device,
        progress: bool = True,
        inferer: DiffusionInferer | None = None,
    ) -> None:
        self.config, self.run_dir, self.device = config, run_dir, device
        self.progress = progress and distributed.is_first()
        training = config.training
        self.dataset, self.validation = data.training, data.validation
        self.sampler = EpochSampler(
            len(self.dataset),
            training.slices_per_epoch,
            config.seed,
            share=(distributed.rank(), distributed.n_processes()),
        )
        self.loader: DataLoader = DataLoader(
            self.dataset,
            training.batch_size,
            sampler=self.sampler,
            num_workers=training.workers,
        )
        torch.manual_seed(derive_seed(config.seed, "weights"))
        self.network = build_network(config.network, len(config.modalities)).to(device)
        self.ema = EMAHandler(self.network, momentum=1 - training.ema_decay)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=training.learning_rate)
        n_steps = training.epochs * len(self.loader)
        self.rate = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: learning_rate_factor(step, n_steps, training)
        )
        self.scheduler = make_scheduler(config.diffusion)
        self.inferer = inferer or DiffusionInferer(self.scheduler)
        self.generator = torch.Generator()
        self.prepare = self._prepare_with(self.generator)
        self.loss = WeightedLoss(training.loss)
        self.rows: list[dict[str, float]] = []
        self.probes = read_probes(run_dir) if distributed.is_first() else []
        self.trainer = SupervisedTrainer(
            device=device,
            max_epochs=training.epochs,
            train_data_loader=self.loader,
            network=distributed.together(self.network),
            optimizer=self.optimizer,
            loss_function=self.loss,
            inferer=self.inferer,
            prepare_batch=self.prepare,
            decollate=False,
            amp=training.bfloat16 and device.type == "cuda",
            amp_kwargs={"dtype": torch.bfloat16},
        )
        self.epoch_loss: list[float] = []
        self.epoch_start = 0.0

    def _prepare_with(self, generator: torch.Generator) -> NoisePrepareBatch:
        training = self.config.training
        return NoisePrepareBatch(
            self.scheduler, generator, training.timestep_range, training.coherent_noise
        )

    def run(self) -> None:
        """Train from the last checkpoint, or from the start, to the end."""
        self._restore()
        done = self.trainer.state.iteration
        n_steps = self.config.training.epochs * len(self.loader)
        if done < n_steps:
            self._run_engine(done, n_steps)
        if distributed.is_first():
            weights = self.ema.ema_model.state_dict()
            save_state(self.run_dir / WEIGHTS, weights)

    def _run_engine(self, done: int, n_steps: int) -> None:
        with (
            self._board(done) as self.board,
            tqdm(
                total=n_steps,
                initial=done,
                desc="training",
                unit="step",
                disable=not self.progress,
            ) as self.bar,
        ):
            trainer = self.trainer
            if self.board is not None and not done:
                n_weights = sum(p.numel() for p in self.network.parameters())
                self.board.introduce(self.run_dir, n_weights, self.probes)
            trainer.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
            trainer.add_event_handler(Events.ITERATION_COMPLETED, self._after_step)
            self.ema.attach(trainer, warn_if_exists=False)
            trainer.add_event_handler(Events.EPOCH_COMPLETED, self._after_epoch)
            trainer.run()

    def _board(self, done: int) -> contextlib.AbstractContextManager[Board | None]:
        """TensorBoard of the process that writes files."""
        if not distributed.is_first():
            return contextlib.nullcontext()
        return Board(self.run_dir / TENSORBOARD, self.config, done)

    def _start_epoch(self) -> None:
        """All randomness of an epoch follows from (seed, epoch), so a resumed one is the same.

        Each further process that trains along draws other noise.
        """
        epoch = self.trainer.state.epoch
        self.dataset.epoch = self.sampler.epoch = epoch
        further = (distributed.rank(),) if distributed.rank() else ()
        self.generator.manual_seed(derive_seed(self.config.seed, "noise", epoch, *further))
        self.epoch_loss, self.epoch_start = [], time.monotonic()

    def _after_step(self) -> None:
        state = self.trainer.state
        loss = float(state.output["loss"].detach())
        if not math.isfinite(loss):
            raise InputError(
                f"the loss became {loss} at step {state.iteration}; lower training.learning_rate "
                f"and resume from {self.run_dir / 'last.pt'}"
            )
        self.rate.step()
        # Early on the average must forget the random start quickly.
        state.ema_momentum = max(self.ema.momentum, 1.0 / (1.0 + 0.1 * state.iteration))
        if self.board is not None and state.iteration % STEPS_A_POINT == 0:
            self.board.scalar("loss/train_step", loss, state.iteration)
        self.epoch_loss.append(loss)
        self.bar.update()
        self.bar.set_postfix(loss=f"{sum(self.epoch_loss) / len(self.epoch_loss):.4f}")

    def _after_epoch(self) -> None:
        train_loss = distributed.mean(sum(self.epoch_loss) / len(self.epoch_loss), self.device)
        if self.board is not None:
            self._record(self.board, train_loss)
        distributed.wait()

    def _record(self, board: Board, train_loss: float) -> None:
        state = self.trainer.state
        row = {
            "epoch": state.epoch,
            "step": state.iteration,
            "train_loss": train_loss,
            "val_loss": self.validation_loss(),
            "learning_rate": self.rate.get_last_lr()[0],
            "seconds": round(time.monotonic() - self.epoch_start, 2),
        }
        self.rows.append(row)
        for name in ("train", "val"):
            board.scalar(f"loss/{name}_epoch", row[f"{name}_loss"], state.iteration)
        board.scalar("loss/val_best", min(row["val_loss"] for row in self.rows), state.iteration)
        board.scalar("learning_rate", row["learning_rate"], state.iteration)
        last = state.epoch == self.config.training.epochs
        if last or state.epoch % EPOCHS_A_LOOK == 1:
            self._look(board, state.iteration)
        if last:
            board.end(state.iteration, with_probes=bool(self.probes))
        self._checkpoint()
        write_text(self.run_dir / LOSSES, _csv(self.rows))

    def _look(self, board: Board, step: int) -> None:
        """Pictures, and what is found of the tumours in the probes; it draws from no generator."""
        board.picture(PICTURES, self.pictures(), step)
        if self.probes:
            network = self.ema.ema_model
            findings = [
                find(probe, network, self.scheduler, self.config, self.device)
                for probe in self.probes
            ]
            board.found(self.probes, findings, step)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Loss of the EMA weights on the same validation slices, timesteps and noise each time."""
        generator = torch.Generator().manual_seed(derive_seed(self.config.seed, "validation"))
        prepare = self._prepare_with(generator)
        ema_model = typing.cast(DiffusionModelUNet, self.ema.ema_model)
        total, count = 0.0, 0
        for batch in DataLoader(self.validation, self.config.training.batch_size):
            images, target, _, infer = prepare(batch, self.device)
            prediction = self.inferer(images, ema_model, **infer)
            total += float(self.loss(prediction, target)) * len(images)
            count += len(images)
        return total / count

    @torch.no_grad()
    def pictures(self) -> np.ndarray:
        """Validation slices at some timesteps: image, noisy, restored, |difference|.

        Returns:
            One picture ``(H', W', 3)`` uint8, a row for each slice and timestep.
        """
        rows = []
        last = self.scheduler.num_train_timesteps - 1
        areas = [int((item["image"] > BACKGROUND).sum()) for item in _items(self.validation)]
        large = sorted(range(len(areas)), key=areas.__getitem__)[len(areas) // 2 :]
        for i in (sorted(large)[k] for k in _spread_indices(len(large), 3)):
            image = self.validation[i]["image"][None].to(self.device)
            for t in (min(t, last) for t in PICTURE_TIMESTEPS):
                row = self._picture_row(image, t, derive_seed(self.config.seed, i, t))
                rows.append((f"t = {t}", row))
        return labelled_grid(("image", "with noise", "restored", "|difference|"), rows)

    def _picture_row(self, image: Tensor, t: int, seed: int) -> list[np.ndarray]:
        field = self.scheduler.noise.seeded(image, [seed])
        noisy = self.scheduler.add_noise(image, field, t)
        restored = self.scheduler.reconstruct(self.ema.ema_model, image, t, lambda _: field)
        shown = [(x[0, 0] + 1) / 2 for x in (image, noisy, restored)]
        shown.append((restored - image)[0, 0].abs())
        return [x.flip(0).float().cpu().numpy() for x in shown]

    def _state(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "ema": self.ema.ema_model,
            "optimizer": self.optimizer,
            "rate": self.rate,
            "trainer": self.trainer,
        }

    def _checkpoint(self) -> None:
        state = {name: part.state_dict() for name, part in self._state().items()}
        state["rows"] = self.rows
        save_state(self.run_dir / CHECKPOINT, state)

    def _restore(self) -> None:
        path = self.run_dir / CHECKPOINT
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.rows = state["rows"]
            for name, part in self._state().items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    part.load_state_dict(state[name])
        except Exception as error:
            raise InputError(
                f"{path}: not a checkpoint of this run ({str(error).splitlines()[0]}); "
                "delete it to start again"
            ) from error
        reached = self.trainer.state
        if reached.iteration != reached.epoch * len(self.loader):
            raise InputError(
                f"{path}: was left by another number of processes than the "
                f"{distributed.n_processes()} of now; resume with as many"
            )


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint; the same state gives the same bytes, so its SHA-256 tells the weights.

    Given a path, `torch.save` would put the name of the temporary file into it.
    """

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            torch.save(state, file)

    write_atomically(path, write)


def learning_rate_factor(step: int, n_steps: int, training: TrainingConfig) -> float:
    """Linear warm-up, then cosine decay to 0 at the last step."""
    warmup = min(training.warmup_steps, max(1, n_steps // 10))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, n_steps - warmup))))


def _items(dataset: Subset) -> Iterator[dict[str, Tensor]]:
    return (dataset[i] for i in range(len(dataset)))


def _spread_indices(n: int, wanted: int) -> list[int]:
    """At most ``wanted`` indices, evenly over ``range(n)``."""
    return sorted({int((i + 0.5) * n / wanted) for i in range(wanted)})


def _spread(dataset: SliceDataset, wanted: int) -> Subset:
    return Subset(dataset, _spread_indices(len(dataset), wanted))


def _csv(rows: Sequence[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, LOSS_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
