"""Work by processes of this machine, which end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from pipeline.workers.task import KILLED, OURS, Report, Task, run


def in_processes(
    task: Task, items: Mapping[str, Any], n: int
) -> Generator[tuple[str, Report[Any]]]:
    """Names and reports as they are done, by so many processes; see `spread_over`."""
    left, processes = dict(items), min(n, len(items))
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
            processes = 1 if processes > 1 else min(n, max(1, len(left)))


def _in_pool(
    task: Task, items: Mapping[str, Any], processes: int
) -> Generator[tuple[str, Report[Any]]]:
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        processes,
        mp_context=_context(),
        initializer=_begin,
        initargs=(task, _threads_each(processes)),
    )
    try:
        with _main_stays_here():
            futures = {pool.submit(run, task.key, name, item): name for name, item in items.items()}
        for future in as_completed(futures):
            report = future.result()
            yield futures.pop(future), report
        pool.shutdown()
    except BaseException:  # whoever stops does not wait for the items that are being done
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


@contextmanager
def _main_stays_here() -> Iterator[None]:
    """Processes that start inside do not run the script of this one again.

    They need nothing of it, since the work travels by value; and a script without
    ``if __name__ == "__main__"`` would start processes of its own in each of them.
    """
    main = sys.modules["__main__"]
    hidden = {name: getattr(main, name, None) for name in ("__file__", "__spec__")}
    for name in hidden:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in hidden.items():
            setattr(main, name, value)


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
