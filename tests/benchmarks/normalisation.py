"""How far a lesion shifts the normalised intensity of the healthy tissue around it.

    python tests/benchmarks/normalisation.py MSD:flair BRATS:t1 BRATS:t2 ...

For each candidate window, fitted once to the whole brain and once to the brain without its labelled
lesion: the largest difference of five quantiles (5 to 95 %) of the healthy tissue after
normalisation, as a share of their range; and how much of the lesion is clipped at the top.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from pipeline.cases.brain.find import find_brain
from pipeline.cases.brain.window import robust_window
from pipeline.cases.find import find_cases
from pipeline.cases.loading import read_label, read_modalities

Window = tuple[float, float]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def _quantiles(low: float, high: float) -> Callable[[np.ndarray], Window]:
    return lambda values: tuple(np.quantile(values, [low, high]))


def _mean_spread(values: np.ndarray) -> Window:
    return values.mean() - 3 * values.std(), values.mean() + 3 * values.std()


def _median_mad(values: np.ndarray) -> Window:
    median = np.median(values)
    spread = 4.5 * 1.4826 * np.median(np.abs(values - median))
    return median - spread, median + spread


WINDOWS: dict[str, Callable[[np.ndarray], Window]] = {
    "1 % to 99 %": _quantiles(0.01, 0.99),
    "0.5 % to 99.5 %": _quantiles(0.005, 0.995),
    "mean ± 3 sd": _mean_spread,
    "median ± 4.5 MAD": _median_mad,
    "`robust_window` (5 % and median)": robust_window,
}


def shift(values: np.ndarray, lesion: np.ndarray, window: Callable[[np.ndarray], Window]) -> float:
    """Largest shift of the healthy tissue's quantiles, as a share of their range."""
    quantiles = np.quantile(values[~lesion], QUANTILES)
    (a, b), (c, d) = window(values), window(values[~lesion])
    with_lesion, without = (quantiles - a) / (b - a), (quantiles - c) / (d - c)
    return float(np.abs(with_lesion - without).max() / (without[-1] - without[0]))


def main(words: list[str]) -> None:
    """Print a markdown table."""
    brains = []
    for word in words:
        data, _, modality = word.rpartition(":")
        for case in find_cases(data, modalities=[modality]).cases:
            volumes = read_modalities(case, [modality])
            brain = find_brain(case, volumes).mask
            lesion = read_label(case, volumes[0]).data > 0
            brains.append((volumes[0].data[brain], lesion[brain]))
    print(f"{len(brains)} images with a lesion\n")
    print("| window | shift of healthy tissue: mean | worst | lesion clipped: mean |")
    print("|---|---:|---:|---:|")
    for name, window in WINDOWS.items():
        shifts = [shift(values, lesion, window) for values, lesion in brains]
        clipped = [float((v[lesion] > window(v)[1]).mean()) for v, lesion in brains]
        numbers = f"{np.mean(shifts):.3f} | {max(shifts):.3f} | {np.mean(clipped):.3f}"
        print(f"| {name} | {numbers} |")


if __name__ == "__main__":
    main(sys.argv[1:])
