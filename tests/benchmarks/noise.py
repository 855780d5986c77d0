"""Simplex fields a second: ours beside those of others, on one grid, in one run.

    pip install -c constraints.txt numba
    python tests/benchmarks/noise.py [--sizes 64 128 256] [--batches 1 16 128] [--device cuda]

- brain_damage: `np.vectorize` over `OpenSimplex.noise3`, pixel by pixel and octave by octave.
- noise3array: `opensimplex.noise3array`, which numba runs on all cores, octave by octave.
- AnoDDPM: its algorithm, a compiled loop over pixels and octaves that adds in place, on all cores;
  its own on one thread is "one thread".
- seeded, unseeded: `simplex_fields` and `random_fields`.

The first three know no batch: theirs is one field after another, so a few fields tell their rate.
All methods take turns; the figures are medians of the repeats. With numba, `opensimplex` compiles
itself; without it the first three would be some hundred times slower, so it is required.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import opensimplex
import torch
from opensimplex.internals import _init, _noise3

from pipeline.diffusion.network import build_network
from pipeline.noise.lattice import Octaves, simplex_grid
from pipeline.noise.noises import Simplex
from pipeline.noise.simplex import random_fields, simplex_fields, simplex_slices
from pipeline.run.model import make_scheduler
from pipeline.run.presets import PRESETS
from pipeline.training.batch import NoisePrepareBatch

try:
    from numba import njit, prange
except ImportError:
    sys.exit("this benchmark compares with numba: pip install -c constraints.txt numba")

FREQUENCY, OCTAVES, DECAY = 2**-5, 6, 0.8
AMPLITUDES = [(FREQUENCY * 2**k, DECAY**k) for k in range(OCTAVES)]

Method = Callable[[list[int], int], object]


def brain_damage(seeds: list[int], size: int) -> np.ndarray:
    """Pixel by pixel through Python."""
    y, x = np.mgrid[:size, :size].astype(float)
    fields = []
    for seed in seeds:
        noise3 = np.vectorize(opensimplex.OpenSimplex(seed).noise3)
        fields.append(sum(a * noise3(x * f, y * f, 0.0) for f, a in AMPLITUDES))
    return np.stack(fields)


def noise3array(seeds: list[int], size: int) -> np.ndarray:
    """A compiled, parallel loop over the pixels of an octave."""
    axis, zero = np.arange(size, dtype=float), np.zeros(1)
    fields = []
    for seed in seeds:
        noise = opensimplex.OpenSimplex(seed)
        fields.append(
            sum(a * noise.noise3array(axis * f, axis * f, zero)[0] for f, a in AMPLITUDES)
        )
    return np.stack(fields)


def _octave(field, frequency, amplitude, perm, perm_grad_index3):
    for row in prange(field.shape[0]):
        for column in range(field.shape[1]):
            field[row, column] += amplitude * _noise3(
                column * frequency, row * frequency, 0.0, perm, perm_grad_index3
            )


_octave_parallel, _octave_serial = njit(parallel=True)(_octave), njit(_octave)


def anoddpm(seeds: list[int], size: int, octave: Callable = _octave_parallel) -> np.ndarray:
    """A compiled loop over the pixels of an octave."""
    fields = np.zeros((len(seeds), size, size))
    for field, seed in zip(fields, seeds, strict=True):
        tables = _init(seed)
        for frequency, amplitude in AMPLITUDES:
            octave(field, frequency, amplitude, *tables)
    return fields


def median_rates(
    methods: dict[str, Callable[[], object]], counts: dict[str, int], repeats: int
) -> dict[str, float]:
    """Fields a second of each method: all in turn, again and again."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for repeat in range(repeats + 1):
        for name, method in methods.items():
            start = time.perf_counter()
            method()
            _synchronise()
            if repeat:  # The first round warms up.
                seconds[name].append(time.perf_counter() - start)
    return {name: counts[name] / statistics.median(times) for name, times in seconds.items()}


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def compare(size: int, batch: int, device: str, repeats: int) -> dict[str, float]:
    """Fields a second of all methods on one grid."""
    seeds = list(range(1, batch + 1))
    few = seeds[: max(1, min(batch, 256 * 256 // size**2))]
    shape = (size, size)
    methods: dict[str, Callable[[], object]] = {
        "brain_damage": lambda: brain_damage(few[:4], size),
        "noise3array": lambda: noise3array(few, size),
        "AnoDDPM": lambda: anoddpm(few, size),
        "one thread": lambda: anoddpm(few, size, _octave_serial),
        "seeded": lambda: simplex_fields(seeds, shape, device=device),
        "unseeded": lambda: random_fields(batch, shape, device=device),
    }
    counts = dict.fromkeys(methods, batch)
    counts |= dict.fromkeys(("noise3array", "AnoDDPM", "one thread"), len(few))
    counts["brain_damage"] = len(few[:4])
    return median_rates(methods, counts, repeats)


def agreement(size: int, device: str) -> float:
    """Largest difference of all methods from brain_damage's field, as a share of its range."""
    reference = brain_damage([7], size)
    ours = simplex_fields([7], (size, size), device=device).cpu().numpy()
    worst = max(
        np.abs(f - reference).max() for f in (noise3array([7], size), anoddpm([7], size), ours)
    )
    return float(worst / np.ptp(reference))


def first_call(size: int) -> float:
    """Seconds of the first call in a new process, which builds the operator."""
    code = (
        "import time; from pipeline.noise.simplex import random_fields\n"
        "start = time.perf_counter()\n"
        f"random_fields(1, ({size}, {size})); print(time.perf_counter() - start)"
    )
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    return statistics.median(runs)


def step_share(device: str, repeats: int) -> tuple[float, float]:
    """Seconds of the noise and of a whole training step: `small`, 128x128, batch 8."""
    config = PRESETS["small"]
    scheduler = make_scheduler(config.diffusion)
    prepare = NoisePrepareBatch(scheduler, torch.Generator().manual_seed(0), config)
    network = build_network(config.network).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6)
    images = torch.rand(8, 1, 128, 128, device=device) * 2 - 1
    noise_seconds, step_seconds = [], []
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        noise = prepare.get_noise(images)
        _synchronise()
        drawn = time.perf_counter()
        timesteps = prepare.get_timesteps(images).to(device)
        noisy = scheduler.add_noise(images, noise, timesteps)
        loss = (network(noisy, timesteps) - noise).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        _synchronise()
        if repeat:
            noise_seconds.append(drawn - start)
            step_seconds.append(time.perf_counter() - start)
    return statistics.median(noise_seconds), statistics.median(step_seconds)


def volume(size: int, device: str, repeats: int) -> tuple[int, float, float]:
    """Depths that are kept (16 at most); slices a second of one 3-D noise at new ones and these."""
    kept = min(16, Simplex().depths_kept(torch.empty(1, 1, size, size, device=device)))

    def rate(first_depth: float) -> float:
        start = time.perf_counter()
        depths = [first_depth + i for i in range(kept)]
        simplex_slices([1] * kept, depths, (size, size), device=device)
        _synchronise()
        return kept / (time.perf_counter() - start)

    new = [rate(0.5 + 100 * i) for i in range(3)]
    known = [rate(200.5) for _ in range(repeats)]
    return kept, statistics.median(new), statistics.median(known)


def machine(device: str) -> tuple[float, float]:
    """Multiply-adds a second of a large matrix product, and bytes a second of a large copy."""
    a = torch.rand(2048, 2048, device=device)
    b = torch.rand(2**26, device=device)
    c = torch.empty_like(b)

    def best(work: Callable[[], object]) -> float:
        times = []
        for _ in range(8):
            start = time.perf_counter()
            work()
            _synchronise()
            times.append(time.perf_counter() - start)
        return min(times)

    return 2048**3 / best(lambda: a @ a), 8 * len(b) / best(lambda: c.copy_(b))


def limits(size: int, rate: float, device: str) -> str:
    """How far the unseeded fields are from what this machine could do."""
    grid = simplex_grid((size, size), Octaves(FREQUENCY, OCTAVES, DECAY), device=device)
    products, bytes_ = machine(device)
    # What must move for one field of a long batch: random bytes, gradients out and in, the field.
    moved = len(grid.z) * (2 + 2 * 12) + 4 * size**2 * 3
    dense = grid.multiply_adds / products
    memory = moved / bytes_
    return (
        f"{size}x{size}: {grid.multiply_adds / 1e6:.2f} M multiply-adds and {moved / 1e6:.2f} MB a "
        f"field. A dense product does {products / 1e9:.0f} G multiply-adds/s here, a copy moves "
        f"{bytes_ / 1e9:.0f} GB/s: at least {1e6 * dense:.0f} us and {1e6 * memory:.0f} us. "
        f"Measured {1e6 / rate:.0f} us, {1 / rate / (dense + memory):.1f} times their sum"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 128])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    print(
        f"torch {torch.__version__} on {arguments.device}, {torch.get_num_threads()} threads; "
        f"{OCTAVES} octaves; fields a second, medians of {arguments.repeats} runs"
    )
    worst = agreement(128, arguments.device)
    print(f"largest difference between the methods: {worst:.1e} of the range\n")
    print(
        "| size | batch | brain_damage | noise3array | AnoDDPM | one thread | seeded | unseeded "
        "| seeded / brain_damage | unseeded / brain_damage | unseeded / noise3array |"
    )
    print("|" + "---|" * 11)
    limit_lines = []
    for size in arguments.sizes:
        for batch in arguments.batches:
            rates = compare(size, batch, arguments.device, arguments.repeats)
            cells = [f"{rate:,.0f}" for rate in rates.values()]
            ratios = [
                rates["seeded"] / rates["brain_damage"],
                rates["unseeded"] / rates["brain_damage"],
                rates["unseeded"] / rates["noise3array"],
            ]
            cells += [f"{ratio:,.0f}" for ratio in ratios]
            print(f"| {size} | {batch} | " + " | ".join(cells) + " |", flush=True)
        limit_lines.append(limits(size, rates["unseeded"], arguments.device))
    print()
    print("\n".join(limit_lines), end="\n\n")
    for size in arguments.sizes:
        kept, new, known = volume(size, arguments.device, arguments.repeats)
        print(
            f"{size}x{size}: first call of a process {first_call(size):.2f} s; one 3-D noise at "
            f"{kept} depths, {new:.0f} slices a second at new ones and {known:,.0f} at known ones"
        )
    noise, step = step_share(arguments.device, arguments.repeats)
    print(
        f"\ntraining step of `small`, 128x128, batch 8: {1e3 * step:.0f} ms, of which noise "
        f"{1e3 * noise:.1f} ms, {100 * noise / step:.2f} %"
    )


if __name__ == "__main__":
    main()
