"""Several processes that train together, as torchrun starts them; one alone needs none of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

PATIENCE = timedelta(days=2)
"""How long a process waits for the one that prepares a whole cohort; PyTorch's ten minutes with
nccl are too short for that."""


def local_device() -> torch.device:
    """The GPU of this process (``LOCAL_RANK`` of torchrun) where there is CUDA, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def start() -> None:
    """Join the processes of torchrun: nccl with CUDA, gloo without."""
    device = local_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)


def stop() -> None:
    """Leave them."""
    if is_together():
        dist.destroy_process_group()


def is_together() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if is_together() else 0


def n_processes() -> int:
    """How many train together."""
    return dist.get_world_size() if is_together() else 1


def is_first() -> bool:
    """Whether this is the process that writes files."""
    return rank() == 0


def wait() -> None:
    """Until all processes are here."""
    if is_together():
        dist.barrier()


@contextmanager
def first_before_others() -> Iterator[None]:
    """The first process does what stands inside, then the others do."""
    if not is_first():
        wait()
    yield
    if is_first():
        wait()


def mean(value: float, device: torch.device) -> float:
    """Mean of a number over the processes."""
    return float(mean_of(torch.tensor(value, dtype=torch.float64, device=device)))


def mean_of(value: Tensor) -> Tensor:
    """Mean of a scalar tensor over the processes; nothing is learnt through it."""
    if not is_together():
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / n_processes()


def together(network: nn.Module) -> nn.Module:
    """The network with gradients averaged over the processes; itself where there is one."""
    return DistributedDataParallel(network) if is_together() else network
