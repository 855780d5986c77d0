"""Work by the workers of a Dask cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline.errors import InputError, reason_of
from pipeline.workers.task import KILLED, Report, Task, run

LOCAL = "local"
"""The Dask cluster that is started on this machine, for as long as it is needed."""
CONNECT_S, WAIT_S = 10, 60
"""For a scheduler to answer, and for a first worker of its own."""


def on_cluster(
    task: Task, items: Mapping[str, Any], address: str, n: int
) -> Generator[tuple[str, Report[Any]]]:
    """Names and reports as they are done; see `spread_over`.

    Args:
        address: of the scheduler, or `LOCAL`.
        n: processes of a cluster that is started here; 1 takes one a core.

    Raises:
        InputError: there is no Dask, no scheduler, no worker, or they were lost.
    """
    distributed = _distributed()
    with _client(address, n, distributed) as client:
        key = task.key
        client.register_plugin(_sender(distributed)(task), name=key)
        try:
            futures = {
                client.submit(run, key, name, item, key=f"{name}-{key[:8]}", retries=1): name
                for name, item in items.items()
            }
            for future in distributed.as_completed(futures):
                name = futures[future]
                if future.status == "cancelled" or client.status != "running":
                    raise InputError(_lost(address))
                error = future.exception()
                report = Report(reason=_reason(error)) if error else future.result()
                future.release()  # else it is done again where its worker dies
                yield name, report
        finally:
            if client.status == "running":
                client.unregister_worker_plugin(key)


def _reason(error: BaseException) -> str:
    return KILLED if type(error).__name__ == "KilledWorker" else reason_of(error)


def _lost(address: str) -> str:
    return f"the cluster {address} was lost; what is done stays: repeat the command when it is back"


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "--cluster needs Dask, which is not installed: pip install 'anomap[cluster]'"
        ) from error
    return distributed


@contextmanager
def _client(address: str, n: int, distributed: Any) -> Iterator[Any]:
    """A client of the cluster, with at least one worker.

    Raises:
        InputError: there is no scheduler, or no worker.
    """
    own = None
    if address == LOCAL:
        processes = n if n > 1 else os.cpu_count() or 1
        own = distributed.LocalCluster(
            n_workers=processes,
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
    answered = False
    try:
        with distributed.Client(own or address, timeout=CONNECT_S) as client:
            client.wait_for_workers(1, timeout=WAIT_S)
            answered = True
            yield client
    except InputError:
        raise
    except (OSError, TimeoutError, ValueError) as error:
        if answered:
            raise InputError(_lost(address)) from error
        raise InputError(
            f"--cluster {address}: no scheduler with a worker answers ({reason_of(error)}); "
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
            self.task.forget()

    return Sender
