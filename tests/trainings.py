"""Trainings in tests: quietly, on the CPU, and what is read back of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pipeline.cases.case import Case
from pipeline.cases.loop import Execution
from pipeline.run.config import RunConfig
from pipeline.training.data import HealthyCases
from pipeline.training.engine import train

QUIET_CPU = Execution(progress=False, device="cpu")


def train_quietly(
    cases: Sequence[Case],
    config: RunConfig,
    run_dir: Path,
    *,
    extra: Sequence[Case] = (),
    resume: bool = False,
) -> dict[str, str]:
    """`train` without a bar; case name -> reason of the failed ones."""
    healthy = HealthyCases(cases, extra)
    return train(healthy, config, run_dir, resume=resume, execution=QUIET_CPU)


def rows_of(run_dir: Path) -> list[dict[str, str]]:
    """``loss.csv`` without the seconds, which differ each time."""
    with (run_dir / "loss.csv").open() as handle:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(handle)]


@dataclass(frozen=True)
class WatchedRun:
    """A finished training, and what its event file holds."""

    path: Path
    config: RunConfig
    events: EventAccumulator
