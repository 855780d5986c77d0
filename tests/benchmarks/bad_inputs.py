"""Inputs of every kind by the thousand: each is read, or refused in one line that names it.

    python tests/benchmarks/bad_inputs.py --inputs 100000 --seed 0

Draws files, records, settings, zips, folders and names (tests/foreign), plain and impossible ones,
and reads them with the functions that the commands use, in one process. A fault is any other
exception, a refusal that is no line or names nothing, a write outside a result, more memory than
the stated bounds, or more than ten seconds. Prints a table, and every kind of fault once; exits
with 1 where there is one. What caused it is kept under --keep. One input of a campaign is repeated
by `--seed S --only NUMBER`.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))
# Imported when a first file needs them; what that takes is no fault of the file.
import SimpleITK  # noqa: F401
from foreign.attempts import MEBIBYTE, READ, REFUSED, Fault, outcome_of
from foreign.kinds import KINDS, Kind

MOST_MEMORY = 6 << 30
"""Bytes of address space beyond those at the start: a bomb ends an input, not the machine."""


@dataclass
class Row:
    """What became of one kind."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    longest: float = 0.0
    peak_bytes: int = 0


def main() -> int:
    """Run the campaign; the exit status."""
    options = _arguments()
    kept = options.keep
    ram = Path("/dev/shm")
    rows = {kind.name: Row() for kind in KINDS}
    _limit_memory()
    logging.disable()  # what libraries say of a file that is then refused
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=ram if ram.is_dir() else None) as scratch:
        # What is unpacked goes there too.
        tempfile.tempdir = scratch
        numbers = [options.only] if options.only is not None else range(options.inputs)
        for i in numbers:
            rng = Random(f"{options.seed} {i}")
            kind = _drawn_kind(rng, options.kind)
            _try(kind, rng, Path(scratch) / "i", rows[kind.name], kept / f"{options.seed}_{i}")
            if options.progress and i % 1000 == 999:
                faults = sum(row.faults.total() for row in rows.values())
                print(f"{i + 1} inputs, {faults} faults", file=sys.stderr)
        tempfile.tempdir = None
    _print(rows, time.perf_counter() - start)
    return int(any(row.faults for row in rows.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one input")
    parser.add_argument("--kind", choices=[kind.name for kind in KINDS], help="of one kind alone")
    parser.add_argument("--keep", type=Path, default=Path("bad_inputs"), help="what made a fault")
    parser.add_argument("--progress", action="store_true")
    return parser.parse_args()


def _drawn_kind(rng: Random, name: str | None) -> Kind:
    if name is not None:
        return next(kind for kind in KINDS if kind.name == name)
    return rng.choices(KINDS, [kind.share for kind in KINDS])[0]


def _limit_memory() -> None:
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + MOST_MEMORY, resource.RLIM_INFINITY))


def _try(kind: Kind, rng: Random, folder: Path, row: Row, kept: Path) -> None:
    folder.mkdir()
    began = time.perf_counter()
    try:
        outcome = outcome_of(kind.make(rng, folder))
        row.outcomes[outcome.what] += 1
        row.peak_bytes = max(row.peak_bytes, outcome.peak_bytes)
    except Fault as fault:
        reason = str(fault)
        key = "".join("0" if c.isdigit() else c for c in reason.replace(str(folder), ""))[:70]
        if not row.faults[key]:
            shown = reason.encode("unicode_escape").decode("ascii")
            print(f"FAULT {kind.name} {kept.name}: {shown[:400]}", flush=True)
        row.faults[key] += 1
        if row.faults[key] <= 3:
            shutil.copytree(folder, kept, symlinks=True, dirs_exist_ok=True, ignore=_pipes)
    finally:
        seconds = time.perf_counter() - began
        row.seconds, row.longest = row.seconds + seconds, max(row.longest, seconds)
        shutil.rmtree(folder, ignore_errors=True)
        for left in folder.parent.iterdir():
            shutil.rmtree(left, ignore_errors=True)


def _pipes(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_fifo()]


def _print(rows: dict[str, Row], seconds: float) -> None:
    print("| kind | tried | read | refused | faults | seconds | longest | peak |")
    print("|---|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        faults, tried = row.faults.total(), row.faults.total() + row.outcomes.total()
        print(
            f"| {name} | {tried} | {row.outcomes[READ]} | {row.outcomes[REFUSED]} | {faults} | "
            f"{row.seconds:.0f} | {row.longest:.2f} s | {row.peak_bytes / MEBIBYTE:.0f} MiB |"
        )
    tried = sum(row.faults.total() + row.outcomes.total() for row in rows.values())
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{tried} inputs in {seconds:.0f} s; the process held {highest:.0f} MiB at most")


if __name__ == "__main__":
    sys.exit(main())
