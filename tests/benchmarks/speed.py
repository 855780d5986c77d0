"""Where the time goes, as ratios within one run: medians of repeats, everything on made data.

``python tests/benchmarks/speed.py`` takes some minutes; ``--memory 10 100 1000`` adds the peak
memory of cohorts of so many cases. Run it on an idle machine: other programs are not noticed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from ignite.engine import Events

from pipeline import Execution, PhantomOptions, Selection, make_phantoms
from pipeline.cases.find import find_cases
from pipeline.cases.grid import Grid
from pipeline.cases.loop import QUIET
from pipeline.cases.transforms import CaseTransforms
from pipeline.noise.noises import make_noise
from pipeline.run.locate import shipped_run
from pipeline.run.model import load_model
from pipeline.run.presets import preset_config
from pipeline.run.settings import override
from pipeline.scores.case_metrics import METRICS, ScoredCase
from pipeline.scores.histogram import ScoreHistogram
from pipeline.training.data import HealthyCases, prepare
from pipeline.training.engine import Training

CPU = torch.device("cpu")
N_STEPS = 24


def median(work: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of a call, after one that is not counted."""
    work()
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def say(what: str, seconds: float, of: float | None = None, note: str = "") -> None:
    """A row of the table."""
    ratio = "" if of is None else f"{seconds / of:.3f}"
    print(f"| {what} | {1000 * seconds:,.1f} | {ratio} | {note} |", flush=True)


def made_cohort(folder: Path, n: int, spacing_mm: float) -> Path:
    """Phantoms, healthy ones and as many with a tumour."""
    options = PhantomOptions(n_healthy=n, n_tumour=n, spacing_mm=spacing_mm)
    make_phantoms(
        folder, options=options, selection=Selection(modalities=("flair",)), execution=QUIET
    )
    return folder


def training_step(cohort: Path, work: Path) -> None:
    """A step of the engine against forward, backward and AdamW of the same network alone."""
    values = {"training.epochs": 1, "training.slices_per_epoch": 16 * N_STEPS}
    config = override(preset_config("tiny", ("flair",)), values)
    cases = [case for case in find_cases(cohort / "healthy").cases if "flair" in case.images]
    data = prepare(HealthyCases(cases), config, work / "run", execution=QUIET)
    training = Training(
        data, config, work / "run", execution=Execution(progress=False, device="cpu")
    )
    ends: list[float] = []
    training.trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda: ends.append(time.perf_counter())
    )
    training.run()
    engine = statistics.median(np.diff(ends))

    network = training.learner.network
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6)
    images = torch.randn(config.training.batch_size, 1, config.grid.size, config.grid.size)
    timesteps = torch.randint(0, 1000, (len(images),))

    def bare() -> None:
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(network(images, timesteps), images).backward()
        optimizer.step()

    alone = median(bare, 9)
    say("training: forward, backward, AdamW of the network alone", alone)
    say("training: a step of the engine", engine, alone, "asked: at most 1.05")
    fused = torch.optim.AdamW(network.parameters(), lr=1e-6, fused=True)
    say("of it: AdamW", median(optimizer.step, 9), alone)
    say("AdamW, fused", median(fused.step, 9), alone)
    network.to(memory_format=torch.channels_last)
    say("the network alone, channels last", median(bare, 9), alone)


def detection(cohort: Path, work: Path) -> None:
    """A cohort's time against that inside the networks, and what a second process gives."""
    spent = {}
    command = [sys.executable, "-m", "pipeline", "detect", str(cohort / "tumour")]
    command += ["--modality", "flair", "--device", "cpu", "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for workers in (1, 2):
        log, out = work / f"log{workers}.jsonl", work / f"out{workers}"
        options = ["-o", str(out), "--workers", str(workers), "--log-json", str(log)]
        subprocess.run([*command, *options], env=environment, check=True, capture_output=True)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        stages = [line for line in lines if line["event"] == "stage" and line["case"]]
        network = [s["seconds"] for s in stages if s["stage"] in ("restore", "mark lesions")]
        done = sorted(line["time"] for line in lines if line["event"] == "case done")
        # From when each worker has finished a case to the last: starting Python is not counted.
        first, last = (np.datetime64(done[k].split("+")[0]) for k in (workers - 1, -1))
        wall = float((last - first) / np.timedelta64(1, "s"))
        rate = (len(done) - workers) / wall
        spent[workers] = rate
        share = sum(network) / sum(s["seconds"] for s in stages)
        say(f"detection: a case, {workers} process(es) of one thread", 1 / rate)
        print(f"| of it inside the networks | | {share:.3f} | asked: 0.90 |")
    print(
        f"| two processes against one, cases a second | | {spent[2] / spent[1]:.3f} | asked: 1.8 |"
    )


def pieces(cohort: Path) -> None:
    """Network, noise, loading and evaluation of one case of 1 mm."""
    model = load_model(shipped_run(["flair"]), CPU)
    slices = torch.randn(16, 1, 64, 64)
    timesteps = torch.full((16,), 200)
    with torch.inference_mode():
        network = median(lambda: model.network(slices, timesteps))
        say("network: one evaluation of 16 slices", network)
        noise = make_noise("simplex")
        seeds = iter(range(10**6))
        drawn = median(lambda: noise(slices, torch.Generator().manual_seed(next(seeds))))
        say("noise: 16 fields of 64 x 64", drawn, network)
    case = find_cases(cohort / "tumour").cases[0]
    transforms = CaseTransforms(("flair",), Grid())
    say("loading: read, find the brain, to the grid", median(lambda: transforms(case), 3), network)
    image = nib.load(case.images["flair"].path)
    label = np.asarray(nib.load(case.label.path).dataobj) > 0
    brain = np.asarray(image.dataobj) > 0
    rng = np.random.default_rng(0)
    scores = (rng.gamma(2, size=brain.shape) + 3 * label).astype(np.float32)
    regions = {name: label for name in ("whole_tumour", "tumour_core", "enhancing")}

    def evaluate() -> None:
        scored = ScoredCase(scores, brain, regions, image.affine, scores > 5)
        for metric in METRICS.values():
            metric(scored)
        ScoreHistogram.of(scored.scores, scored.lesion)

    say(f"evaluation: all metrics, {brain.sum() / 1e6:.2f} million voxels", median(evaluate, 3))


def memory(counts: list[int], work: Path) -> None:
    """Peak memory of a detection of so many cases, each a small one, by a recipe of one draw."""
    made = made_cohort(work / "small", 1, 4.0)
    scan = next(path for path in made.glob("tumour/*/*_flair.nii.gz"))
    script = (
        "import sys, resource; from pipeline.cli.main import main; "
        "status = main(sys.argv[1:]); "
        "print(status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)"
    )
    for n in counts:
        folder = work / f"cohort{n}"
        folder.mkdir()
        for k in range(n):
            (folder / f"p{k:04d}_flair.nii.gz").hardlink_to(scan)
        words = ["benchmark", folder, "--healthy", "--model", "flair", "--methods", "intensity"]
        words += ["-o", work / f"of{n}", "--quiet"]
        command = [sys.executable, "-c", script, *map(str, words)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peak = done.stderr.split()[-1]
        print(f"| memory: `benchmark --methods intensity` of {n} cases, peak MiB | {peak} | | |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--of", nargs="+", default=["training", "pieces", "detection"])
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--memory", type=int, nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"{given.threads} thread(s), torch {torch.__version__}, CPU {capability}")
    print("\n| what | ms | ratio | |\n|---|---:|---:|---|")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        cohort = made_cohort(work / "cohort", given.cases, 1.0)
        if "training" in given.of:
            training_step(cohort, work)
        if "pieces" in given.of:
            pieces(cohort)
        if "detection" in given.of:
            detection(cohort, work)
        memory(given.memory, work)


if __name__ == "__main__":
    main()
