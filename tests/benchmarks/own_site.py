"""What thresholds mean on healthy people of a site: before and after `anomap calibrate`.

    anomap calibrate t1 TEN_PEOPLE --healthy -o RUN
    python tests/benchmarks/own_site.py --model t1 --model RUN OTHER_PEOPLE

For each model: the mean share of a healthy brain above the thresholds of 1 % and 5 %, how many
people have p of 0.05 or less (by the scores of the people behind the thresholds, however few), a
Kolmogorov-Smirnov test of these p-values against a uniform one, and the median volume of the mask.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[2]))
import anomap
from pipeline.files.images.reading import read_volume_or_zeros
from pipeline.files.record.result import CaseResult
from pipeline.run.finished import calibration_of
from pipeline.run.locate import run_folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("data", type=Path, nargs="+")
    arguments = parser.parse_args()
    for model in arguments.model:
        table = calibration_of(run_folder(Path(model))).methods["anomap"]
        shares: dict[float, list[float]] = {0.01: [], 0.05: []}
        p_values, volumes = [], []
        with tempfile.TemporaryDirectory() as out:
            found = anomap.detect_files(
                arguments.data,
                out,
                options=anomap.DetectOptions(model=Path(model), any_scan=True),
                selection=anomap.Selection(healthy=True),
            )
            for name in found.done:
                folder = Path(out) / name
                result = CaseResult.of(folder)
                values = read_volume_or_zeros(folder / "anomaly.nii.gz").data
                inside = read_volume_or_zeros(folder / "brain_mask.nii.gz").data > 0
                for rate, kept in shares.items():
                    kept.append(float((values[inside] > table.threshold(rate)).mean()))
                higher = sum(score >= result.score for score in table.scores)
                p_values.append((1 + higher) / (1 + len(table.scores)))
                volumes.append(result.anomalous_ml or 0.0)
        # Ties of few people make steps; a uniform one has the same.
        rng = np.random.default_rng(0)
        spread = np.array(p_values) - rng.uniform(0, 1, len(p_values)) / (1 + len(table.scores))
        above = ", ".join(f"of {100 * r:g} %: {100 * np.mean(s):.2f} %" for r, s in shares.items())
        low = ", ".join(f"<= {limit}: {sum(p <= limit for p in p_values)}" for limit in (0.05, 0.1))
        print(f"{model}: {len(p_values)} people, thresholds of {len(table.scores)}")
        print(f"  above the threshold {above}; median mask {np.median(volumes):.1f} mL")
        print(f"  p {low}; KS p {stats.kstest(spread, 'uniform').pvalue:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
