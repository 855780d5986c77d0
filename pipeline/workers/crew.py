"""Who does the work on many items, and the one way to have it done."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pipeline.errors import InputError
from pipeline.workers.cluster import on_cluster
from pipeline.workers.processes import in_processes
from pipeline.workers.task import Report, Task

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Crew:
    """Who does the work.

    Attributes:
        processes: of this machine; 1 is this process itself.
        cluster: address of a Dask scheduler, or `LOCAL`; None is no cluster.
    """

    processes: int = 1
    cluster: str | None = None

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise InputError(f"--workers {self.processes}: expected 1 or more")

    @property
    def is_this_process(self) -> bool:
        """Whether nothing is spread."""
        return self.processes == 1 and self.cluster is None


def spread_over(
    work: Callable[[T], R], items: Mapping[str, T], crew: Crew
) -> Generator[tuple[str, Report[R]]]:
    """Do some work on every item, on several at once; the results come as they are done.

    A worker that dies takes nothing with it but the item that it was at, and that is tried once
    more. Where this process ends, so do the workers of this machine.

    Args:
        work: a function of an item that changes nothing but files.
        items: name -> item.

    Raises:
        InputError: the cluster cannot be reached, or was lost.
    """
    task = Task.of(work)
    if crew.cluster is None:
        yield from in_processes(task, items, crew.processes)
    else:
        yield from on_cluster(task, items, crew.cluster, crew.processes)
