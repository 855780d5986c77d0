"""anomap: unsupervised detection of brain tumours with simplex-noise diffusion models.

In arrays::

    import anomap
    found = anomap.detect(voxels, affine, modality="flair")
    found.anomaly_map, found.mask, found.pseudo_healthy["flair"], found.findings

In files, everything that the commands do: `detect_files`, `train`, `benchmark`, `evaluate` ...
Noises and methods of one's own: `anomap.noise.register`, `anomap.methods.register`. Nothing heavy
is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pipeline
from pipeline import __version__

if TYPE_CHECKING:
    from anomap import methods, noise
    from anomap.arrays import Detection, detect
    from pipeline import (
        BenchmarkOptions,
        Compared,
        DetectOptions,
        EvaluateOptions,
        Execution,
        FigureOptions,
        FittedRun,
        FusionOptions,
        InputError,
        PhantomOptions,
        Selection,
        TooManyFailuresError,
        TrainOptions,
        ViewOptions,
        benchmark,
        calibrate_run,
        compare,
        convert,
        demo,
        detect_with,
        evaluate,
        export,
        find_all,
        fuse,
        load_model,
        make_phantoms,
        remake_findings,
        train,
        write_figures,
        write_report,
    )
    from pipeline import detect as detect_files

__all__ = [
    "BenchmarkOptions",
    "Compared",
    "DetectOptions",
    "Detection",
    "EvaluateOptions",
    "Execution",
    "FigureOptions",
    "FittedRun",
    "FusionOptions",
    "InputError",
    "PhantomOptions",
    "Selection",
    "TooManyFailuresError",
    "TrainOptions",
    "ViewOptions",
    "__version__",
    "benchmark",
    "calibrate_run",
    "compare",
    "convert",
    "demo",
    "detect",
    "detect_files",
    "detect_with",
    "evaluate",
    "export",
    "find_all",
    "fuse",
    "load_model",
    "make_phantoms",
    "methods",
    "noise",
    "remake_findings",
    "train",
    "write_figures",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name in ("methods", "noise"):
        return importlib.import_module(f"anomap.{name}")
    if name in ("detect", "Detection"):
        return getattr(importlib.import_module("anomap.arrays"), name)
    if name == "detect_files":
        return pipeline.detect
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(pipeline, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
