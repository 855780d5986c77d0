"""Training of the network on healthy slices, with MONAI's engines."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.inferers import DiffusionInferer
from torch.utils.data import DataLoader
from tqdm import tqdm

from pipeline.cases.loading import BrainExtractor
from pipeline.cases.loop import Execution, Failures
from pipeline.errors import InputError
from pipeline.files.names import CHECKPOINT, WEIGHTS
from pipeline.noise.noises import derive_seed
from pipeline.run.config import RunConfig
from pipeline.run.model import make_scheduler, usable_device
from pipeline.stages import seconds_text, stage
from pipeline.training import distributed
from pipeline.training.batch import NoisePrepareBatch, make_batches
from pipeline.training.checkpoint import (
    Stateful,
    restore_checkpoint,
    save_checkpoint,
    save_state,
)
from pipeline.training.data import HealthyCases, TrainingData, prepare
from pipeline.training.event_file import EventFile
from pipeline.training.learner import make_learner
from pipeline.training.losses import EpochLosses, WeightedLoss, write_losses
from pipeline.training.pictures import restored_picture
from pipeline.training.probes import map_probe, read_probes

logger = logging.getLogger(__name__)

STEPS_A_POINT = 10
"""Of the chart of single steps."""
EPOCHS_A_LOOK = 5
"""Pictures and tumours are looked at in the first, sixth ... and in the last epoch."""


def train(
    healthy: HealthyCases,
    config: RunConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    extract_brain: BrainExtractor | None = None,
    execution: Execution = Execution(),
) -> dict[str, str]:
    """Train on healthy cases; leaves a run folder with everything but the calibration.

    Writes ``config.yaml``, ``datalist.json`` (who was used for what), ``run.json``, ``loss.csv``,
    ``tensorboard/``, ``last.pt`` after every epoch, and ``model.pt`` (EMA weights) at the end.

    Args:
        resume: continue from ``last.pt``; the result is what an unbroken training gives.
        extract_brain: for images that are not skull-stripped; None makes those an error.

    Returns:
        Case name -> reason of the cases that could not be read.

    Raises:
        InputError: the run folder holds another run, the cases do not suffice, or the device
            cannot be used.
    """
    usable_device(execution.device)  # before the long work
    data = prepare(
        healthy,
        config,
        run_dir,
        resume=resume,
        extract_brain=extract_brain,
        execution=execution,
    )
    Training(data, config, run_dir, execution=execution).run()
    return data.failed


@dataclass
class RunningEpoch:
    """An epoch that is not over yet.

    Attributes:
        losses: of its steps so far.
        start: of `time.monotonic`.
    """

    losses: list[float] = field(default_factory=list)
    start: float = field(default_factory=time.monotonic)

    @property
    def mean_loss(self) -> float:
        """Of the steps so far."""
        return sum(self.losses) / len(self.losses)

    @property
    def seconds(self) -> float:
        """Since its start."""
        return round(time.monotonic() - self.start, 2)


class Training:
    """MONAI's engine with its handlers, from the last checkpoint to the end.

    Attributes:
        batches: what is trained on, and all randomness of it.
        learner: network, averaged weights, optimizer and learning rate.
        trainer: the engine.
        losses: of the epochs so far.
        probes: brains with a tumour that the network is measured on; the first process has them.
    """

    def __init__(
        self,
        data: TrainingData,
        config: RunConfig,
        run_dir: Path,
        *,
        execution: Execution = Execution(),
        inferer: DiffusionInferer | None = None,
    ) -> None:
        self.config, self.run_dir, self.execution = config, run_dir, execution
        self.device = usable_device(execution.device)
        self.validation = data.validation
        self.batches = make_batches(data.training, config)
        self.n_steps = config.training.epochs * len(self.batches.loader)
        self.learner = make_learner(config, self.n_steps, self.device)
        self.scheduler = make_scheduler(config.diffusion)
        self.inferer = inferer or DiffusionInferer(self.scheduler)
        self.loss = WeightedLoss(config.training.loss)
        self.trainer = self._make_trainer()
        self.losses: list[EpochLosses] = []
        self.epoch = RunningEpoch()
        self.probes = read_probes(run_dir) if distributed.is_first() else []

    def _make_trainer(self) -> SupervisedTrainer:
        training = self.config.training
        return SupervisedTrainer(
            device=self.device,
            max_epochs=training.epochs,
            train_data_loader=self.batches.loader,
            network=distributed.together(self.learner.network),
            optimizer=self.learner.optimizer,
            loss_function=WeightedLoss(training.loss, by_all=True),
            inferer=self.inferer,
            prepare_batch=self._prepare_with(self.batches.noise),
            decollate=False,
            amp=training.bfloat16 and self.device.type == "cuda",
            amp_kwargs={"dtype": torch.bfloat16},
        )

    def _prepare_with(self, generator: torch.Generator) -> NoisePrepareBatch:
        return NoisePrepareBatch(self.scheduler, generator, self.config)

    def run(self) -> None:
        """Train from the last checkpoint, or from the start, to the end.

        Raises:
            InputError: the checkpoint cannot be used, or the loss became infinite.
        """
        self._restore()
        if self.trainer.state.iteration < self.n_steps:
            self._run_engine()
        if distributed.is_first():
            # Again: an earlier training may have ended between its checkpoint and this.
            write_losses(self.run_dir, self.losses)
            save_state(self.run_dir / WEIGHTS, self.learner.averaged.state_dict())

    def _run_engine(self) -> None:
        done = self.trainer.state.iteration
        with self._event_file(done) as events, self._bar(done) as bar:
            if events is not None and not done:
                events.introduce(self.learner.n_weights, self.probes)
            trainer = self.trainer
            trainer.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
            trainer.add_event_handler(Events.ITERATION_COMPLETED, self._after_step, events, bar)
            self.learner.ema.attach(trainer, warn_if_exists=False)
            trainer.add_event_handler(Events.EPOCH_COMPLETED, self._after_epoch, events)
            with stage("training"):
                trainer.run()

    def _event_file(self, done: int) -> contextlib.AbstractContextManager[EventFile | None]:
        """TensorBoard of the process that writes files."""
        if not distributed.is_first():
            return contextlib.nullcontext()
        return EventFile(self.run_dir, self.config, done)

    def _bar(self, done: int) -> tqdm[NoReturn]:
        hidden = not (self.execution.progress and distributed.is_first())
        return tqdm(total=self.n_steps, initial=done, desc="training", unit="step", disable=hidden)

    # --- handlers ---------------------------------------------------------------------------------

    def _start_epoch(self) -> None:
        self.batches.begin(self.trainer.state.epoch)
        self.epoch = RunningEpoch()

    def _after_step(self, events: EventFile | None, bar: tqdm[NoReturn]) -> None:
        state = self.trainer.state
        loss = float(state.output["loss"].detach())
        if not math.isfinite(loss):
            raise InputError(
                f"the loss became {loss} at step {state.iteration}; lower training.learning_rate "
                f"and resume from {self.run_dir / CHECKPOINT}"
            )
        self.learner.rate.step()
        state.ema_momentum = self.learner.momentum(state.iteration)
        if events is not None and state.iteration % STEPS_A_POINT == 0:
            events.add_step(loss, state.iteration)
        self.epoch.losses.append(loss)
        bar.update()
        bar.set_postfix(loss=f"{self.epoch.mean_loss:.4f}")

    def _after_epoch(self, events: EventFile | None) -> None:
        train_loss = distributed.mean(self.epoch.mean_loss, self.device)
        if events is not None:
            self._record(events, train_loss)
        distributed.wait()

    def _record(self, events: EventFile, train_loss: float) -> None:
        """Measure the epoch that is over, and write all that is known of it."""
        state = self.trainer.state
        losses = EpochLosses(
            epoch=state.epoch,
            step=state.iteration,
            train_loss=train_loss,
            val_loss=self.validation_loss(),
            learning_rate=float(self.learner.rate.get_last_lr()[0]),
            seconds=self.epoch.seconds,
        )
        self.losses.append(losses)
        self._say(losses)
        events.add_epochs(self.losses)
        last = state.epoch == self.config.training.epochs
        if last or state.epoch % EPOCHS_A_LOOK == 1:
            failures = Failures()
            with failures.catching(f"epoch {state.epoch}"):  # a picture is not worth a training
                self._look(events)
            for name, reason in failures.reasons.items():
                logger.warning("TensorBoard lacks pictures of %s: %s", name, reason)
        if last:
            events.end(state.iteration, with_probes=bool(self.probes))
        save_checkpoint(self.run_dir, self._parts(), self.losses)
        write_losses(self.run_dir, self.losses)

    def _say(self, losses: EpochLosses) -> None:
        """A line of a log."""
        if self.execution.lines:
            logger.info(
                "training: epoch %d of %d, loss %.4f, validation %.4f, %s",
                *(losses.epoch, self.config.training.epochs, losses.train_loss, losses.val_loss),
                seconds_text(losses.seconds),
            )

    def _look(self, events: EventFile) -> None:
        """Pictures, and what is found of the tumours in the probes; it draws from no generator."""
        step, network = self.trainer.state.iteration, self.learner.averaged
        picture = restored_picture(
            self.validation, network, self.scheduler, self.config.seed, self.device
        )
        events.add_restored(picture, step)
        if self.probes:
            maps = [
                map_probe(probe, network, self.scheduler, self.config, self.device)
                for probe in self.probes
            ]
            events.add_probes(self.probes, maps, step)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Loss of the EMA weights on the same validation slices, timesteps and noise each time."""
        generator = torch.Generator().manual_seed(derive_seed(self.config.seed, "validation"))
        prepare_batch = self._prepare_with(generator)
        total, count = 0.0, 0
        for batch in DataLoader(self.validation, self.config.training.batch_size):
            images, target, _, infer = prepare_batch(batch, self.device)
            prediction = self.inferer(images, self.learner.averaged, **infer)
            total += float(self.loss(prediction, target)) * len(images)
            count += len(images)
        return total / count

    # --- checkpoint -------------------------------------------------------------------------------

    def _parts(self) -> Mapping[str, Stateful]:
        """Of a checkpoint, by their names in it."""
        return {
            "network": self.learner.network,
            "ema": self.learner.averaged,
            "optimizer": self.learner.optimizer,
            "rate": self.learner.rate,
            "trainer": self.trainer,
        }

    def _restore(self) -> None:
        self.losses = restore_checkpoint(self.run_dir, self._parts(), self.device)
        reached = self.trainer.state
        if reached.iteration != reached.epoch * len(self.batches.loader):
            raise InputError(
                f"{self.run_dir / CHECKPOINT}: was left by another number of processes than the "
                f"{distributed.n_processes()} of now; resume with as many"
            )
