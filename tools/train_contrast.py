"""Makes what tells the contrast of a scan, and says how well it does.

    python -m tools.train_contrast --data DATA --bank WORK/bank.npz OUT.npz

DATA holds ixi_t1/, novosibirsk_t1/, nichart_flair/, brats_flair/, brats_multimodal/ and cbica_wml/
(see data/README.md for their sources); the bank is of ``tools.any_contrast.train``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from pipeline.cases.brain.window import robust_window
from pipeline.cases.find import find_cases
from pipeline.cases.grid import Grid
from pipeline.cases.transforms import CaseTransforms
from pipeline.errors import InputError
from pipeline.maps.contrast.recognise import CONFIDENT, features
from pipeline.maps.placement import on_box
from tools.any_contrast.healthy import (
    CEREBELLAR_GREY,
    CEREBELLAR_WHITE,
    CORTEX,
    DEEP,
    FLUID,
    STEM,
    WHITE,
    load_person,
)
from tools.any_contrast.lesions import with_lesions
from tools.any_contrast.train import people, read_bank

NAMES = ("flair", "t1", "t1ce", "t2", "pd")
GROUPS = ((FLUID,), (CORTEX,), (WHITE, STEM), (DEEP,), (CEREBELLAR_GREY, CEREBELLAR_WHITE))
CHOSEN = (
    *("BRATS_460", "BRATS_462", "BRATS_464", "BRATS_466", "BRATS_468", "Brats18_2013_11_1"),
    *("Brats18_CBICA_ABM_1", "Brats18_TCIA01_201_1", "Brats18_TCIA01_425_1"),
    *("Brats18_TCIA02_135_1", "BraTS2021_01476"),
)
"""Tumours that may be chosen on."""
SETS = {
    "ixi_t1": ("t1",),
    "novosibirsk_t1": ("t1",),
    "nichart_flair": ("flair",),
    "brats_flair": ("flair",),
    "brats_multimodal": ("flair", "t1", "t1ce", "t2"),
    "cbica_wml": ("flair", "t1", "t2", "pd"),
}
ONLY_REPORTED = ("novosibirsk_t1",)
PAINTED_WEIGHT = 1.0
SHAPES = [np.pad(np.ones((6, 6, 6), np.float16), 2)]
"""In place of real ones, which this needs not."""


def template(root: Path) -> np.ndarray:
    """Shares of the tissues in the frame, ``(5, *FRAME)`` uint8, 255 is all."""
    total: np.ndarray | float = 0.0
    names = people(root, "t1")
    for name in names:
        person = load_person(root / f"{name}_T1w.nii.gz", root / f"{name}_dseg.nii.gz")
        tissues = person.tissues.transpose(2, 1, 0)
        placement = on_box(tissues > 0)
        total = total + np.stack(
            [placement.to_frame(np.isin(tissues, group).astype(np.float32)) for group in GROUPS]
        )
    return np.rint(np.asarray(total) / len(names) * 255).clip(0, 255).astype(np.uint8)


def rows(data: Path, tissues: np.ndarray) -> list[tuple[str, str, bool, np.ndarray]]:
    """Contrast, name, whether it may be learnt from, features."""
    known = {"ixi_t1": people(data / "ixi_t1", "t1")}
    known["nichart_flair"] = people(data / "nichart_flair", "flair")
    found = []
    for folder, modalities in SETS.items():
        for modality in modalities:
            transforms = CaseTransforms((modality,), Grid())
            cases = find_cases(data / folder, modalities=(modality,)).cases
            for number, case in enumerate(cases):
                learnt = case.name in (*CHOSEN, *known.get(folder, ()))
                learnt = learnt or (folder == "cbica_wml" and number % 2 == 0)
                try:
                    prepared = transforms(case)
                except InputError as error:
                    print(f"left out: {error}"[:200])
                    continue
                brain = prepared.brain[:, 0].numpy()
                values = features(prepared.slices[:, 0].numpy(), brain, tissues)
                found.append((modality, f"{folder}/{case.name}", learnt, values))
    return found


def painted(bank: Path, tissues: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Features of painted brains of contrasts that have a name, nine of ten with lesions."""
    found = []
    for number, brain in enumerate(read_bank(bank)):
        if brain.family not in NAMES:
            continue
        rng = np.random.default_rng([17, number])
        image = with_lesions(brain, SHAPES, rng).image
        low, high = robust_window(image[brain.brain].astype(np.float64))
        unit = np.clip((image - low) / (high - low) * 2 - 1, -1, 1)
        found.append((brain.family, features(unit, brain.brain, tissues)))
    return found


def main() -> None:
    """Template, regression, confusion."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    tissues = template(arguments.data / "ixi_t1")
    shares = tissues.astype(np.float32) / 255
    real = rows(arguments.data, shares)
    drawn = painted(arguments.bank, shares)
    learnt = [(m, v) for m, _, is_learnt, v in real if is_learnt]
    x = np.stack([v for _, v in (*learnt, *drawn)])
    y = np.array([NAMES.index(m) for m, _ in (*learnt, *drawn)])
    counts = np.bincount(y[: len(learnt)], minlength=len(NAMES))
    weight = np.array(
        [1 / max(counts[i], 1) for i in y[: len(learnt)]]
        + [PAINTED_WEIGHT / (y[len(learnt) :] == i).sum() for i in y[len(learnt) :]]
    )
    mean, spread = x.mean(0), x.std(0)
    model = LogisticRegression(C=30.0, max_iter=5000)
    model.fit((x - mean) / spread, y, sample_weight=weight * len(y) / weight.sum())
    np.savez_compressed(
        arguments.out,
        tissues=tissues,
        names=np.array(NAMES),
        mean=mean,
        spread=spread,
        weights=model.coef_,
        bias=model.intercept_,
    )
    for title, is_learnt in (("learnt from", True), ("not learnt from", False)):
        report(title, [(m, n, v) for m, n, was, v in real if was == is_learnt], model, mean, spread)


def report(title, found, model, mean, spread) -> None:  # type: ignore[no-untyped-def]
    """The confusion matrix, and who is not told for certain."""
    print(
        f"\n{title}: {len(found)} scans\n{'is':>6} "
        + " ".join(f"{n:>6}" for n in (*NAMES, "asked"))
    )
    table = {name: [0] * (len(NAMES) + 1) for name in NAMES}
    for modality, name, values in found:
        share = model.predict_proba(((values - mean) / spread)[None])[0]
        best = int(share.argmax())
        sure = share[best] >= CONFIDENT
        table[modality][best if sure else len(NAMES)] += 1
        if not sure or NAMES[best] != modality:
            print(f"  {name}: {modality}, told {NAMES[best]} {share[best]:.2f}")
    for name, counts in table.items():
        print(f"{name:>6} " + " ".join(f"{n:6d}" for n in counts))


if __name__ == "__main__":
    main()
