"""Healthy brains as the measure: atlases of a run, and what is unusual against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pipeline.cases.case import Case
from pipeline.cases.loop import Execution, each_case
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.detection.case_work import CaseWork
from pipeline.errors import InputError
from pipeline.maps.atlas import Atlas, AtlasBuilder
from pipeline.maps.placement import WIDE_EXTENT
from pipeline.maps.registration import Template
from pipeline.run.model import Model

INTENSITY, RESIDUAL = "intensity", "residual"
"""Names of a run's atlases; the second holds a quantity for each timestep and channel."""

MIN_SPREAD = {INTENSITY: 0.08, RESIDUAL: 0.03}
"""Floors of the spread, in units of the intensity range [-1, 1]."""
MAX_RESIDUAL_CASES = 40
"""So many training brains are reconstructed for the atlas of the residual."""


def smoothing_mm(n_cases: int) -> float:
    """Smoothing of an atlas of so many brains: few brains leave much of their own anatomy in it."""
    return float(np.clip(120.0 / n_cases, 1.0, 12.0))


def make_atlases(
    cases: Sequence[Case],
    model: Model,
    transforms: CaseTransforms,
    *,
    residual: bool,
    execution: Execution = Execution(),
) -> tuple[dict[str, Atlas], dict[str, str]]:
    """Atlases of the intensity and of the residual of healthy brains.

    The brains are read twice: placed by their boxes they give a mean, and placed by that mean
    (`pipeline.maps.registration`) they give the atlases.

    The residual of the recipe, image - restored, has one quantity for each timestep and channel; of
    many brains, `MAX_RESIDUAL_CASES` evenly chosen ones are reconstructed.

    Args:
        cases: those that the run was trained on.
        residual: whether the second is wanted; it costs reconstructions.

    Returns:
        The atlases by name, and case name -> reason for those that could not be read.

    Raises:
        InputError: no case could be read.
    """
    by_name = {case.name: case for case in cases}
    template, failed = _template(by_name, transforms, execution)
    good = {name: case for name, case in by_name.items() if name not in failed}
    intensity, residuals = AtlasBuilder(WIDE_EXTENT), AtlasBuilder(WIDE_EXTENT)
    n_chosen = min(len(cases), MAX_RESIDUAL_CASES) if residual else 0
    places = np.linspace(0, len(cases) - 1, n_chosen).round().astype(int)
    chosen = {cases[i].name for i in places}

    def add(case: Case) -> None:
        prepared = _healthy(case, transforms)
        work = CaseWork(prepared)
        placement = work.placement(template)
        intensity.add(prepared.slices.numpy(), *_masks(prepared), placement)
        if case.name in chosen:
            config = model.config
            restored = work.restored(model, config.detection, config.seed).slices.mean(1)
            differences = as_quantities(prepared.slices - restored).numpy()
            residuals.add(differences, *_masks(prepared), placement)

    failed |= each_case(good, add, description="atlas", execution=execution).failed
    builders = {INTENSITY: intensity} | ({RESIDUAL: residuals} if residuals.n_cases else {})
    atlases = {
        name: builder.build(sigma_mm=smoothing_mm(builder.n_cases), min_spread=MIN_SPREAD[name])
        for name, builder in builders.items()
    }
    # Both were placed by it; it is kept once.
    atlases[INTENSITY] = replace(atlases[INTENSITY], template=template)
    return atlases, failed


def _template(
    cases: Mapping[str, Case], transforms: CaseTransforms, execution: Execution
) -> tuple[Template, dict[str, str]]:
    """The mean of brains placed by their boxes, and why the others are not in it."""
    boxed = AtlasBuilder(WIDE_EXTENT)

    def add(case: Case) -> None:
        prepared = _healthy(case, transforms)
        boxed.add(prepared.slices.numpy(), *_masks(prepared))

    failed = each_case(cases, add, description="mean brain", execution=execution).failed
    if not boxed.n_cases:
        raise InputError(f"no case for an atlas could be read: {next(iter(failed.values()), '')}")
    return boxed.template(), failed


def _healthy(case: Case, transforms: CaseTransforms) -> Prepared:
    """A case with healthy voxels.

    Raises:
        InputError: it cannot be read, or has none.
    """
    prepared = transforms(case)
    if not prepared.healthy.any():
        raise InputError(f"case {case.name}: nothing of it counts as healthy on the grid")
    return prepared


def _masks(prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """Brain and healthy brain, ``(N, H, W)`` bool."""
    return prepared.brain[:, 0].numpy(), prepared.healthy[:, 0].numpy()


def as_quantities(differences: Tensor) -> Tensor:
    """Differences from restored slices as the quantities of an atlas.

    Args:
        differences: image - restored, ``(T, N, C, H, W)``, of each timestep.

    Returns:
        ``(N, T * C, H, W)``, the channels of a timestep side by side.
    """
    return differences.transpose(0, 1).flatten(1, 2)


def z_scores(name: str, values: Tensor, work: CaseWork, model: Model) -> Tensor:
    """How unusual values are at their place, in healthy standard deviations.

    Args:
        name: of the run's atlas, `INTENSITY` or `RESIDUAL`.
        values: ``(N, K, H, W)``, of the case, in units of the intensity range [-1, 1].

    Returns:
        Signed (positive = higher than healthy brains show), same shape as ``values``; 0 outside
        the brain.

    Raises:
        InputError: the run has no such atlas, or one of another recipe.
    """
    if name not in model.atlases:
        raise InputError(
            f"{model.path}: has no atlas of the {name} for its weights and recipe; "
            "`anomap train ... --resume` makes it"
        )
    atlas = model.atlases[name]
    if len(atlas.mean) != values.shape[1]:
        raise InputError(
            f"{model.path}: its atlas of the {name} is that of another recipe: {len(atlas.mean)} "
            f"quantities, {values.shape[1]} now"
        )
    brain = work.prepared.brain[:, 0].numpy()
    if not brain.any():
        return torch.zeros_like(values)
    # Atlases that were made before brains were registered have no template: the box then.
    template = model.atlases.get(INTENSITY, atlas).template
    placement = work.placement(template) if template is not None else None
    return torch.from_numpy(atlas.z_scores(values.numpy(), brain, placement))
