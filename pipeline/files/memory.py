"""How much memory is free, and what is said where it does not suffice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import InputError, is_out_of_memory

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def available_bytes() -> int | None:
    """The least that system, control group and process limit leave; None where none is known."""
    known = (_of_system(), _of_group(), _of_process())
    return min((free for free in known if free is not None), default=None)


@contextmanager
def enough_memory(what: str, needed: int) -> Iterator[None]:
    """See that what stands inside has the memory that it needs, before it and while it runs.

    Args:
        what: for the message.
        needed: an estimate in bytes.

    Raises:
        InputError: it has not.
    """
    free = available_bytes()
    left = "" if free is None else f", {free / 1e9:.1f} GB free"
    reason = f"not enough memory for {what} (needs about {needed / 1e9:.1f} GB{left})"
    if free is not None and needed > free:
        raise InputError(reason)
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise InputError(reason) from error
        raise


def _of_system() -> int | None:
    """What /proc/meminfo calls available, and free swap."""
    amounts = dict(line.split(":", 1) for line in _lines(PROC / "meminfo") if ":" in line)
    if "MemAvailable" not in amounts:
        return None
    names = ("MemAvailable", "SwapFree")
    return sum(1024 * int(amounts[name].split()[0]) for name in names if name in amounts)


def _of_group() -> int | None:
    """What the control group leaves, of version 2 or 1; caches of files count as free."""
    own = next((x[3:] for x in _lines(PROC / "self" / "cgroup") if x.startswith("0::")), "/")
    for folder, limit, usage, cache in (
        (CGROUPS / own.strip("/"), "memory.max", "memory.current", "inactive_file"),
        (
            CGROUPS / "memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    ):
        bounds = [*_lines(folder / limit), *_lines(folder / usage)]
        if len(bounds) == 2 and all(text.isdigit() for text in bounds):
            cached = (
                line.split()[1] for line in _lines(folder / "memory.stat") if line.startswith(cache)
            )
            return max(0, int(bounds[0]) - int(bounds[1]) + int(next(cached, 0)))
    return None


def _of_process() -> int | None:
    """What RLIMIT_AS leaves."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    sizes = _lines(PROC / "self" / "statm")
    if limit == resource.RLIM_INFINITY or not sizes:
        return None
    return max(0, limit - int(sizes[0].split()[0]) * os.sysconf("SC_PAGE_SIZE"))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
