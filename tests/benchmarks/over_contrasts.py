"""What a method gains over another one, over the contrasts of a person together.

    python tests/benchmarks/over_contrasts.py bench_t1 bench_t2 bench_t1ce

The folders are those of `anomap benchmark` on the same people in several contrasts. The difference
of each person is the mean over the contrasts; the interval is Student's t over people.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import stats

from pipeline.scores.case_rows import read_rows

METRICS = ("auprc", "dice_oracle", "dice_at_threshold")


def scores(folder: Path, method: str, metric: str) -> dict[str, float]:
    """Case -> score of a method."""
    rows = read_rows(folder)
    return {row.case: row.numbers[metric] for row in rows if row.method == method}


def main() -> None:
    """Print a row for each method and metric."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmarks", type=Path, nargs="+")
    parser.add_argument("--method", default="anomap")
    parser.add_argument("--others", default="no_network,atlas_ssim,intensity,lesion_network")
    arguments = parser.parse_args()
    for other in arguments.others.split(","):
        for metric in METRICS:
            differences = []
            for folder in arguments.benchmarks:
                own, its = (scores(folder, name, metric) for name in (arguments.method, other))
                differences.append({case: own[case] - its[case] for case in own})
            people = sorted(set.intersection(*(set(one) for one in differences)))
            means = np.array([np.mean([one[case] for one in differences]) for case in people])
            low, high = stats.t.interval(0.95, len(means) - 1, means.mean(), stats.sem(means))
            print(
                f"{arguments.method} less {other}, {metric}, {len(people)} people: "
                f"{means.mean():+.3f} [{low:+.3f}, {high:+.3f}], {(means > 0).sum()} above 0"
            )


if __name__ == "__main__":
    main()
