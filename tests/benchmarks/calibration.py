"""What the thresholds of many people or pictures cost, as they are found and as they were.

``python tests/benchmarks/calibration.py --cases 1000 --voxels 16000 --methods 8``. The former way
sorts the values of all cases together, and sums the weights of the others up again for a case that
is left out wherever rounding could decide; it is timed on a few cases and reckoned for all.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc

import numpy as np

from pipeline.detection.calibration import tabulate
from pipeline.run.words import FALSE_POSITIVE_RATES

N_TIMED = 3
"""Cases that the former way is timed on."""


def samples_of(n_cases: int, n_voxels: int, seed: int) -> list[np.ndarray]:
    """Sorted values of cases that differ a little in size."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(max(1, int(0.9 * n_voxels)), int(1.1 * n_voxels) + 1, n_cases)
    return [np.sort(rng.gamma(2, rng.uniform(0.8, 1.2), n)).astype(np.float32) for n in sizes]


def seconds_of_former(samples: list[np.ndarray]) -> tuple[float, float]:
    """Of sorting once, and of one left-out quantile."""
    start = time.monotonic()
    sizes = [len(sample) for sample in samples]
    order = np.argsort(np.concatenate(samples), kind="stable")
    owners = np.repeat(np.arange(len(samples)), sizes)[order]
    weights = (1.0 / np.array(sizes))[owners]
    sorting = time.monotonic() - start
    start = time.monotonic()
    for i in range(N_TIMED):
        cumulative = np.cumsum(weights[owners != i])
        np.searchsorted(cumulative, 0.99 * cumulative[-1])
    return sorting, (time.monotonic() - start) / N_TIMED


def main() -> None:
    """Print both, and the memory that the new way takes beside the samples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--voxels", type=int, default=16_000)
    parser.add_argument("--methods", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    samples = samples_of(given.cases, given.voxels, given.seed)
    sorting, left_out = seconds_of_former(samples)
    worst = given.methods * (sorting + left_out * given.cases * len(FALSE_POSITIVE_RATES))
    start = time.monotonic()
    for _ in range(given.methods):
        tabulate(samples, [])
    now = time.monotonic() - start
    tracemalloc.start()
    tabulate(samples, [])
    beside_mb = tracemalloc.get_traced_memory()[1] / 1e6
    kept_mb = given.methods * sum(sample.nbytes for sample in samples) / 1e6
    print(f"{given.cases} cases x {given.voxels} voxels x {given.methods} methods")
    print(f"before  {given.methods * sorting:8.1f} s where ranks do, {worst:8.0f} s at worst")
    print(f"now     {now:8.1f} s; {beside_mb:.0f} MB beside {kept_mb:.0f} MB of values")


if __name__ == "__main__":
    main()
