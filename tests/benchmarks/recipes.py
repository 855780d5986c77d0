"""What settings of the detection change: one trained run, a few labelled cases, several recipes.

    python tests/benchmarks/recipes.py RUN DATA --only CASE,CASE \
        --try plain --try coherent_noise=true --try draws=1,median_mm=0 --seeds 0 1

Only for cases that are kept for choosing settings; those of a report must not be seen here.
Prints, for each recipe and seed, the mean and pooled AUPRC and the pooled oracle Dice of voxels in
the brain on the source grid, and seconds a case. Nothing is thresholded. With --healthy also, of
each healthy case that calibrates the run, the share above the threshold of 1 % and 5 % of the
others: the mean in per cent, and the highest.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

import numpy as np
import yaml

from pipeline.cases.find import find_cases
from pipeline.cases.loading import read_label
from pipeline.cases.transforms import CaseTransforms
from pipeline.detection.calibration import tabulate
from pipeline.detection.case_work import CaseWork
from pipeline.detection.recipe import recipe_map
from pipeline.errors import InputError
from pipeline.run.model import load_model
from pipeline.run.settings import override
from pipeline.scores.metrics import auprc, best_dice

EVERY = 10
"""Of the voxels of a healthy brain, one in so many is looked at."""


def settings(text: str) -> dict[str, object]:
    """``draws=1,median_mm=0`` as dotted settings; ``plain`` is none."""
    if text == "plain":
        return {}
    pairs = (part.split("=", 1) for part in re.split(r",(?=\w+=)", text))
    return {f"detection.{key}": yaml.safe_load(value) for key, value in pairs}


def left_out_rates(maps: list[np.ndarray]) -> str:
    """Table cells: what healthy cases score above the others' thresholds, in per cent."""
    rates = tabulate(maps, []).left_out_rates
    return " | ".join(
        f"{100 * np.mean(rates[rate]):.2f}, {100 * max(rates[rate]):.1f}"
        for rate in ("0.01", "0.05")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", required=True, help="cases, separated by commas")
    parser.add_argument(
        "--try", dest="recipes", action="append", default=[], metavar="KEY=VALUE,.."
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--healthy", action="store_true", help="left-out rates of healthy cases")
    arguments = parser.parse_args()
    model = load_model(arguments.run)
    transforms = CaseTransforms(model.config.modalities, model.config.grid)
    cohort = find_cases(arguments.data, modalities=model.config.modalities)
    known = {case.name: case for case in cohort.cases}
    wanted = arguments.only.split(",")
    if unknown := [name for name in wanted if name not in known]:
        raise InputError(f"--only {unknown[0]}: no case of that name in {arguments.data}")
    cases = [known[name] for name in wanted]
    prepared = [transforms(case) for case in cases]
    healthy = []
    if arguments.healthy:
        datalist = arguments.run / "datalist.json"
        calibrating = find_cases(datalist, section="validation", modalities=model.config.modalities)
        healthy = [transforms(case) for case in calibrating.cases]
    lesions = [
        (read_label(case).data > 0)[ready.source_brain]
        for case, ready in zip(cases, prepared, strict=True)
    ]
    print(f"{len(cases)} cases: {', '.join(case.name for case in cases)}\n")
    rates = "left out at 1 % | at 5 % | " if healthy else ""
    print(f"| recipe | seed | mean AUPRC | pooled AUPRC | pooled oracle Dice | {rates}s a case |")
    print("|---|---|---|---|---|---|" + "---|---|" * bool(healthy))
    for text in arguments.recipes or ["plain"]:
        config = override(model.config, settings(text)).detection
        for seed in arguments.seeds:
            start = time.monotonic()
            scores = []
            for ready in prepared:
                anomaly_map = recipe_map(CaseWork(ready), model, config, seed).anomaly_map
                scores.append(ready.to_source(anomaly_map)[ready.source_brain])
            seconds = (time.monotonic() - start) / len(cases)
            mean = np.mean([auprc(s, lesion) for s, lesion in zip(scores, lesions, strict=True)])
            rates = ""
            if healthy:
                maps = []
                for ready in healthy:
                    anomaly_map = recipe_map(CaseWork(ready), model, config, seed).anomaly_map
                    maps.append(ready.to_source(anomaly_map)[ready.source_healthy][::EVERY])
                rates = f"{left_out_rates(maps)} | "
            pooled, lesion = np.concatenate(scores), np.concatenate(lesions)
            print(
                f"| {text} | {seed} | {mean:.3f} | {auprc(pooled, lesion):.3f} "
                f"| {best_dice(pooled, lesion)[0]:.3f} | {rates}{seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
