"""Every write, rename, fsync, chmod and open of a detection and of a training fails once, and the
process is killed at each: what stands under its final name is whole, and the next try ends in the
same bits as an undisturbed one.

    python tests/benchmarks/faults.py [--of detection training] [--every 1]

With ``--kills N`` the process is killed N times at random moments instead, again while it goes on
with what the last kill left, up to four times in a row; then it must end in the same bits:

    python tests/benchmarks/faults.py --kills 200 --of detection training benchmark phantoms export

Prints a table; exit status 1 where anything was lost. On Linux, without a GPU.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))
import nibabel as nib
import numpy as np
import torch
from failing_disk import OPERATIONS, Trouble, failing, in_child

from pipeline.cli.main import main as anomap
from pipeline.files.names import CHECKPOINT, COHORT, LOSSES, PART, RUN_RECORD, TENSORBOARD

SMALL = (
    *("training.epochs=1", "training.slices_per_epoch=4", "training.batch_size=2"),
    *("grid.size=32", "grid.spacing_mm=6.5", "grid.slice_spacing_mm=20"),
    *("detection.timesteps=[300]", "detection.draws=1"),
)
CHANGING = {"seconds", "s/case", "seconds_per_case", "command", "modified_ns", "changed_ns"}
CHANGING |= {"inode", "software"}
"""Keys of records that differ from one run to the next."""


GROWING = (CHECKPOINT, RUN_RECORD, COHORT)


@dataclass
class Tally:
    """What became of the faults of one kind."""

    tried: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


# --- what is disturbed ----------------------------------------------------------------------------


def train(cohort: Path, run: Path) -> int:
    """One epoch, atlases and thresholds; goes on with what is there."""
    settings = [word for value in SMALL for word in ("--set", value)]
    words = ["train", cohort / "healthy", "--modality", "flair", "--healthy", "-o", run, "--quiet"]
    return anomap([*map(str, words), *settings, "--resume"])


def detect(scan: Path, run: Path, out: Path) -> int:
    """Map, mask and pseudo-healthy image of a scan."""
    return anomap([str(w) for w in ("detect", scan, "--model", run, "-o", out, "--quiet")])


def benchmark(cohort: Path, run: Path, out: Path) -> int:
    """Two methods on labelled cases."""
    words = ["benchmark", cohort / "tumour", "--model", run, "--modality", "flair", "-o", out]
    return anomap([*map(str, words), "--methods", "anomap,intensity", "--quiet"])


def phantoms(folder: Path, n: int = 2) -> int:
    """A cohort of synthetic brains."""
    words = ["phantom", folder, "--healthy", n, "--tumour", 1, "--spacing", 6]
    return anomap([*map(str, words), "--modality", "flair", "--quiet"])


def export(run: Path, folder: Path) -> int:
    """A bundle; one that is whole already is not written again."""
    folder.mkdir(exist_ok=True)
    bundle = folder / "bundle.zip"
    return 0 if bundle.exists() else anomap(["export", str(run), "-o", str(bundle), "--quiet"])


# --- what must be there ---------------------------------------------------------------------------


def content(path: Path) -> Any:
    """What a file says, without what differs from one run to the next.

    Raises:
        Exception: the file is torn, of whatever kind its reader finds.
    """
    if path.suffix == ".json":
        return _steady(json.loads(path.read_text()))
    if path.name.endswith(".nii.gz"):
        image = nib.Nifti1Image.from_bytes(gzip.decompress(path.read_bytes()))
        return (np.asarray(image.dataobj).tobytes(), image.affine.tobytes())
    if path.name == LOSSES:
        return [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]
    if path.name == CHECKPOINT:
        state = torch.load(path, weights_only=True)
        state["rows"] = [_steady(row) for row in state["rows"]]
        return _plain(state)
    if path.suffix == ".csv":
        with path.open(newline="") as text:
            rows = list(csv.DictReader(text))
        return [{k: v for k, v in row.items() if k not in CHANGING} for row in rows]
    if path.suffix in (".md", ".png", ".pdf"):  # seconds or the date are in them
        return path.stat().st_size > 0
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as held:
            return {name: held.read(name) for name in held.namelist()}
    if path.suffix == ".npz":
        with np.load(path) as held:
            return {name: held[name].tobytes() for name in held.files}
    return path.read_bytes()


def _steady(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _steady(value) for key, value in tree.items() if key not in CHANGING}
    return [_steady(value) for value in tree] if isinstance(tree, list) else tree


def _plain(tree: Any) -> Any:
    if isinstance(tree, torch.Tensor):
        return tree.numpy().tobytes()
    if isinstance(tree, dict):
        return {key: _plain(value) for key, value in tree.items()}
    return [_plain(value) for value in tree] if isinstance(tree, list | tuple) else tree


def files(folder: Path) -> Iterator[Path]:
    """Files with a final name; TensorBoard's grow, and hidden ones are no results."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inner.parts)
        if path.is_file() and not hidden and inner.parts[0] != TENSORBOARD:
            yield path


def faults_of(folder: Path, whole: dict[str, Any], *, complete: bool) -> Iterator[str]:
    """What is torn, missing (where all must be there) or other than in the undisturbed folder."""
    there = {str(path.relative_to(folder)): path for path in files(folder)}
    for name, path in there.items():
        try:
            same = name in whole and content(path) == whole[name]
        except Exception as error:
            yield f"{name} is torn ({type(error).__name__})"
            continue
        # A checkpoint, or the record of a run or cohort, of an earlier moment is whole too.
        if not same and (complete or name not in GROWING):
            yield f"{name} differs"
    if complete:
        yield from (f"{name} is missing" for name in whole if name not in there)
        left = [path for path in folder.rglob(f"{PART}*")]
        yield from (f"{path.relative_to(folder)} was left" for path in left)


# --- the trial ------------------------------------------------------------------------------------


def try_all(
    work: Callable[[Path], int], place: Path, log: Path, *, every: int, name: str
) -> dict[str, Tally]:
    """Disturb some work at each of its changes, and do it again."""
    reference = place / "reference"
    counts = place / "counts.json"

    def counted() -> int:
        with failing(reference) as counter:
            status = work(reference)
        counts.write_text(json.dumps(counter))
        return status

    if in_child(counted, log) != 0:
        raise SystemExit(f"the undisturbed {name} failed, see {log}")
    whole = {str(path.relative_to(reference)): content(path) for path in files(reference)}
    tallies: dict[str, Tally] = {}
    points: Counter[str] = Counter(json.loads(counts.read_text()))
    print(f"{name}: {dict(points)}", flush=True)
    for operation in OPERATIONS:
        for kill in (False, True):
            tally = tallies.setdefault(f"{operation}, {'killed' if kill else 'fails'}", Tally())
            for at in range(1, points[operation] + 1, every):
                trouble = Trouble(operation, at, kill)
                for fault in disturbed(work, place / "tried", trouble, whole, log):
                    tally.lost.append(f"{name}, {trouble}: {fault}")
                    print(f"  LOST {name}, {trouble}: {fault}", flush=True)
                tally.tried[operation] += 1
    return tallies


def disturbed(
    work: Callable[[Path], int], folder: Path, trouble: Trouble, whole: dict[str, Any], log: Path
) -> list[str]:
    """What was lost by one trouble; nothing, if all is well."""
    shutil.rmtree(folder, ignore_errors=True)

    def troubled() -> int:
        with failing(folder, trouble):
            return work(folder)

    with log.open("a") as text:
        text.write(f"--- {trouble}\n")
    status = in_child(troubled, log)
    found = list(faults_of(folder, whole, complete=False)) if folder.exists() else []
    if status in (70, -signal.SIGALRM) or (trouble.kill and status != -signal.SIGKILL):
        found.append(f"ended with {status}")
    if (again := in_child(lambda: work(folder), log)) != 0:
        found.append(f"the next try ended with {again}")
    elif not found:
        found = list(faults_of(folder, whole, complete=True))
    return found


def kill_at_random(
    work: Callable[[Path], int], place: Path, log: Path, *, kills: int, seed: int
) -> Tally:
    """Kill some work at random moments, and let it go on, until it was killed so many times."""
    reference, folder, rng = place / "reference", place / "tried", random.Random(seed)
    start = time.monotonic()
    if in_child(lambda: work(reference), log) != 0:
        raise SystemExit(f"the undisturbed {place.name} failed, see {log}")
    seconds = time.monotonic() - start
    whole = {str(path.relative_to(reference)): content(path) for path in files(reference)}
    tally = Tally()
    while tally.tried["kills"] < kills:
        shutil.rmtree(folder, ignore_errors=True)
        for _ in range(rng.randint(1, 4)):
            after = rng.uniform(0, seconds)
            status = in_child(lambda: work(folder), log, kill_after=after)
            if status == 0:  # done before
                break
            tally.tried["kills"] += 1
            found = list(faults_of(folder, whole, complete=False)) if folder.exists() else []
            tally.lost += [f"{place.name}, killed after {after:.2f} s: {fault}" for fault in found]
        if (again := in_child(lambda: work(folder), log)) != 0:
            tally.lost.append(f"{place.name}: the next try ended with {again}")
        else:
            tally.tried["completed"] += 1
            tally.lost += faults_of(folder, whole, complete=True)
    for fault in tally.lost:
        print(f"  LOST {fault}", flush=True)
    counts = tally.tried
    print(f"{place.name}: {counts['kills']} kills, {counts['completed']} completed", flush=True)
    return Tally(Counter(kills=counts["kills"]), tally.lost)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=0, help="at random moments, in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--of", nargs="+", default=["detection", "training"])
    parser.add_argument("--every", type=int, default=1, help="try every n-th change only")
    parser.add_argument("--folder", type=Path, help="keep the files here (default: none is kept)")
    arguments = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        place = arguments.folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        log, cohort, run = place / "log", place / "cohort", place / "run"
        torch.set_num_threads(1)
        # In this process, so that its children find everything loaded.
        if phantoms(cohort, 3) or train(cohort, run):
            raise SystemExit("there is no run to try with")
        scan = next((cohort / "tumour").iterdir())
        if detect(scan, run, place / "first"):
            raise SystemExit("there is no detection to try")
        works: dict[str, Callable[[Path], int]] = {
            "detection": lambda folder: detect(scan, run, folder),
            "training": lambda folder: train(cohort, folder),
            "benchmark": lambda folder: benchmark(cohort, run, folder),
            "phantoms": phantoms,
            "export": lambda folder: export(run, folder),
        }
        tallies = {}
        for name in arguments.of:
            (place / name).mkdir(exist_ok=True)
            if arguments.kills:
                share = -(-arguments.kills // len(arguments.of))
                tally = kill_at_random(
                    works[name], place / name, log, kills=share, seed=arguments.seed
                )
                tallies[name] = {"killed at random": tally}
                continue
            tallies[name] = try_all(
                works[name], place / name, log, every=arguments.every, name=name
            )
    return report(tallies, time.monotonic() - start)


def report(tallies: dict[str, dict[str, Tally]], seconds: float) -> int:
    """Print the table; the exit status."""
    print("\n| of | what | tried | lost |\n|---|---|---|---|")
    n_tried = n_lost = 0
    for name, kinds in tallies.items():
        for kind, tally in kinds.items():
            tried, lost = sum(tally.tried.values()), len(tally.lost)
            n_tried, n_lost = n_tried + tried, n_lost + lost
            print(f"| {name} | {kind} | {tried} | {lost} |")
    print(f"\n{n_tried} faults, {n_lost} lost something; {seconds:.0f} s")
    return 1 if n_lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
