"""Work on many items, spread over processes of this machine or the workers of a Dask cluster.

The function that does the work travels once to each worker, by value. What a worker logs and how
long its stages took comes back with each result, so that nobody who reads messages, lines of JSON
or the summary of stages sees where the work was done.
"""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pipeline.errors import FullDiskError, InputError, interruption_in, reason_of
from pipeline.stages import of_case, timed

T = TypeVar("T")
R = TypeVar("R")
logger = logging.getLogger(__name__)
OURS = "pipeline"
"""The logger of this package, and the package."""
LOCAL = "local"
"""The Dask cluster that is started on this machine, for as long as it is needed."""
WAIT_S = 60
"""For a scheduler to answer, and for a first worker of a cluster."""
KILLED = "the process that worked on it was killed, for want of memory perhaps"


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


@dataclass(frozen=True)
class Said:
    """A record that a worker logged."""

    logger: str
    level: int
    message: str
    created: float
    fields: dict[str, object]


@dataclass(frozen=True)
class Report(Generic[R]):
    """What became of an item.

    Attributes:
        value: what the work returned; None where it failed.
        reason: why it failed, in a line; "" where it did not.
        disk_is_full: whether that was for want of room, of which no item is to blame.
        said: what was logged.
        seconds: stage -> of this item.
    """

    value: R | None = None
    reason: str = ""
    disk_is_full: bool = False
    said: tuple[Said, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


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
    do = _in_processes if crew.cluster is None else _on_cluster
    yield from do(Task.of(work), items, crew)


# --- processes of this machine -------------------------------------------------------------------


def _in_processes(
    task: Task, items: Mapping[str, T], crew: Crew
) -> Generator[tuple[str, Report[Any]]]:
    left, processes = dict(items), min(crew.processes, len(items))
    while left:
        try:
            for name, report in _in_pool(task, left, processes):
                del left[name]
                yield name, report
        except BrokenProcessPool:
            if processes == 1:  # nobody else can have been at work
                name = next(iter(left))
                del left[name]
                yield name, Report(reason=KILLED)
            # One at a time shows which item it is; the next ones go on side by side.
            processes = 1 if processes > 1 else min(crew.processes, max(1, len(left)))


def _in_pool(
    task: Task, items: Mapping[str, T], processes: int
) -> Generator[tuple[str, Report[Any]]]:
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        processes,
        mp_context=_context(),
        initializer=_begin,
        initargs=(task, _threads_each(processes)),
    )
    try:
        futures = {pool.submit(_run, task.key, name, item): name for name, item in items.items()}
        for future in as_completed(futures):
            report = future.result()
            yield futures.pop(future), report
        pool.shutdown()
    except BaseException:  # whoever stops does not wait for the items that are being done
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _context() -> Any:
    """Processes that share no thread and no lock with this one, with its modules loaded."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    ours = [name for name in sys.modules if name.partition(".")[0] == OURS]
    context.set_forkserver_preload(ours)
    return context


def _threads_each(processes: int) -> int:
    import torch

    return max(1, torch.get_num_threads() // processes)


def _begin(task: Task, n_threads: int) -> None:
    """Make this process a worker: its threads, and that it ends with whom it works for."""
    import torch

    torch.set_num_threads(n_threads)
    task.unpack()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever is asked to stop ends this one
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


# --- a Dask cluster -------------------------------------------------------------------------------


def _on_cluster(
    task: Task, items: Mapping[str, T], crew: Crew
) -> Generator[tuple[str, Report[Any]]]:
    distributed = _distributed()
    with _client(crew, distributed) as client:
        key = task.key
        client.register_plugin(_sender(distributed)(task), name=key)
        try:
            futures = {
                client.submit(_run, key, name, item, key=f"{name}-{key[:8]}", retries=1): name
                for name, item in items.items()
            }
            for future in distributed.as_completed(futures):
                name = futures[future]
                if future.status == "cancelled" or client.status != "running":
                    raise InputError(_lost(crew))
                error = future.exception()
                report = Report(reason=_reason(error)) if error else future.result()
                future.release()  # else it is done again where its worker dies
                yield name, report
        finally:
            if client.status == "running":
                client.unregister_worker_plugin(key)


def _reason(error: BaseException) -> str:
    return KILLED if type(error).__name__ == "KilledWorker" else reason_of(error)


def _lost(crew: Crew) -> str:
    return (
        f"the cluster {crew.cluster} was lost; what is done stays: repeat the command when it is "
        "back"
    )


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "--cluster needs Dask, which is not installed: pip install 'anomap[cluster]'"
        ) from error
    return distributed


@contextmanager
def _client(crew: Crew, distributed: Any) -> Iterator[Any]:
    """A client of the cluster, with at least one worker.

    Raises:
        InputError: there is no scheduler, or no worker.
    """
    own = None
    if crew.cluster == LOCAL:
        processes = crew.processes if crew.processes > 1 else os.cpu_count() or 1
        own = distributed.LocalCluster(
            n_workers=processes,
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
    answered = False
    try:
        with distributed.Client(own or crew.cluster, timeout=WAIT_S) as client:
            client.wait_for_workers(1, timeout=WAIT_S)
            answered = True
            yield client
    except InputError:
        raise
    except (OSError, TimeoutError, ValueError) as error:
        if answered:
            raise InputError(_lost(crew)) from error
        raise InputError(
            f"--cluster {crew.cluster}: no scheduler with a worker answers ({reason_of(error)}); "
            f"expected an address as tcp://HOST:8786, or {LOCAL}"
        ) from error
    finally:
        if own is not None:
            own.close()


def _sender(distributed: Any) -> type:
    """The plugin that brings the work to every worker, those that join later among them."""

    class Sender(distributed.WorkerPlugin):  # type: ignore[misc]
        def __init__(self, task: Task) -> None:
            self.task = task

        def setup(self, worker: Any) -> None:
            self.task.unpack()

        def teardown(self, worker: Any) -> None:
            _WORK.pop(self.task.key, None)

    return Sender


# --- in a worker ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Manners:
    """What a worker says aloud: as little as this process.

    Attributes:
        levels: of the loggers of libraries.
        filters: of warnings.
    """

    levels: dict[str, int]
    filters: tuple[Any, ...]

    @classmethod
    def of_this_process(cls) -> Manners:
        """Those of now."""
        known = logging.root.manager.loggerDict.items()
        levels = {
            name: one.level
            for name, one in known
            if isinstance(one, logging.Logger) and one.level and not name.startswith(OURS)
        }
        return cls(levels, tuple(warnings.filters))

    def take_on(self) -> None:
        """Make them those of this process."""
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)
        warnings.filters[:] = list(self.filters)  # type: ignore[index]


@dataclass(frozen=True)
class Task:
    """The work as it travels: what is done, and how.

    Attributes:
        payload: the function, pickled by value.
        key: hash of it.
        manners: see `Manners`.
    """

    payload: bytes
    key: str
    manners: Manners

    @classmethod
    def of(cls, work: Callable[[Any], Any]) -> Task:
        """Of a function."""
        import cloudpickle  # not by a bundle that works alone

        payload = cloudpickle.dumps(work)
        return cls(payload, hashlib.sha256(payload).hexdigest(), Manners.of_this_process())

    def unpack(self) -> None:
        """Make the function that of this worker."""
        import cloudpickle

        self.manners.take_on()
        _WORK[self.key] = cloudpickle.loads(self.payload)


_WORK: dict[str, Callable[[Any], Any]] = {}
"""Key -> function, of this worker."""
_ONE_AT_A_TIME = threading.Lock()


def _run(key: str, name: str, item: object) -> Report[Any]:
    """Do the work on an item; whatever comes of it is a report."""
    ours, heard = logging.getLogger(OURS), _Heard()
    before = ours.level, ours.propagate
    # One item at a time, whatever threads a worker has: an item may use all cores by itself.
    with _ONE_AT_A_TIME, timed() as clock, of_case(name):
        ours.addHandler(heard)
        ours.setLevel(logging.DEBUG)
        ours.propagate = False
        try:
            report = Report(_WORK[key](item))
        except FullDiskError as error:
            report = Report(reason=reason_of(error), disk_is_full=True)
        except Exception as error:  # whatever it is, it does not stop the other items
            if interruption_in(error) is not None:
                raise KeyboardInterrupt from error
            logger.debug("%s", name, exc_info=True)
            report = Report(reason=reason_of(error))
        finally:
            ours.removeHandler(heard)
            ours.level, ours.propagate = before
    return replace(report, said=tuple(heard.said), seconds=clock.seconds)


class _Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[Said] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, without what cannot travel."""
        fields = dict(getattr(record, "fields", {}))
        message = record.getMessage()
        self.said.append(Said(record.name, record.levelno, message, record.created, fields))


def repeat(said: Sequence[Said]) -> None:
    """Log in this process what was logged in a worker."""
    for one in said:
        target = logging.getLogger(one.logger)
        if target.isEnabledFor(one.level):
            record = target.makeRecord(
                one.logger,
                one.level,
                "",
                0,
                "%s",
                (one.message,),
                None,
                extra={"fields": one.fields},
            )
            record.created = one.created
            target.handle(record)
