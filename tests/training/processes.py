"""What two processes do that torchrun starts; see test_processes.py.

``gradients BATCH OUT``: of half of a batch each, averaged. ``train DATA RUN KILLED``: a training in
which the second process is killed at a step (0 kills none).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from ignite.engine import Engine, Events

from pipeline.cases.find import find_cases
from pipeline.cases.loop import Execution
from pipeline.diffusion.network import build_network
from pipeline.run.presets import preset_config
from pipeline.run.settings import override
from pipeline.training import distributed
from pipeline.training.data import HealthyCases, prepare
from pipeline.training.engine import Training
from pipeline.training.losses import WeightedLoss

VALUES = {
    **{"grid.size": 32, "grid.spacing_mm": 6.5, "grid.slice_spacing_mm": 8.0},
    **{"training.epochs": 3, "training.slices_per_epoch": 8, "training.batch_size": 2},
}
CPU = Execution(progress=False, device="cpu")


def gradients(batch: Path, out: Path) -> None:
    """Of the loss of all processes."""
    torch.manual_seed(0)
    network = build_network("tiny")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    network = distributed.together(network)
    images, timesteps, target = torch.load(batch, weights_only=True)
    share = slice(distributed.rank(), None, distributed.n_processes())
    prediction = network(images[share], timesteps[share])
    WeightedLoss("l2", by_all=True)(prediction, target[share]).backward()
    if distributed.is_first():
        found = {n.removeprefix("module."): p.grad for n, p in network.named_parameters()}
        torch.save(found, out)


def train(data: Path, run: Path, killed: int) -> None:
    """From the last checkpoint on."""
    config = override(preset_config("tiny", ("flair",)), VALUES)
    healthy = HealthyCases(find_cases(data, modalities=["flair"]).cases)
    there = (run / "config.yaml").is_file()
    training = Training(
        prepare(healthy, config, run, resume=there, execution=CPU), config, run, execution=CPU
    )

    def kill(engine: Engine) -> None:
        if engine.state.iteration == killed and distributed.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    training.trainer.add_event_handler(Events.ITERATION_COMPLETED, kill)
    training.run()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    several = "RANK" in os.environ
    if several:
        distributed.start()
    if sys.argv[1] == "gradients":
        gradients(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        train(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    if several:
        distributed.stop()
