"""How often 95 % intervals of a mean cover it: ``python tests/benchmarks/intervals.py``."""

import numpy as np
from scipy import stats

from pipeline.scores.intervals import mean_ci

SHAPES = {
    "AUPRC-like, beta(5, 1)": stats.beta(5, 1),
    "AUROC-like, beta(8, 1/2)": stats.beta(8, 0.5),
    "differences, normal": stats.norm(0.02, 0.05),
    "differences, skewed": stats.gamma(1.5, loc=-1),
}


def main(repeats: int = 1000) -> None:
    rng = np.random.default_rng(0)
    for n in (8, 19, 31):
        for name, shape in SHAPES.items():
            covered = dict.fromkeys(("t", "percentile", "BCa"), 0)
            for _ in range(repeats):
                values = shape.rvs(n, random_state=rng)
                ends = {"t": mean_ci(values)[1:]}
                for method in ("percentile", "BCa"):
                    found = stats.bootstrap(
                        (values,), np.mean, n_resamples=1000, method=method, rng=rng
                    )
                    ends[method] = (found.confidence_interval.low, found.confidence_interval.high)
                for method, (low, high) in ends.items():
                    covered[method] += low <= shape.mean() <= high
            shares = ", ".join(f"{m} {100 * c / repeats:.1f} %" for m, c in covered.items())
            print(f"n = {n}, {name}: {shares}")


if __name__ == "__main__":
    main()
