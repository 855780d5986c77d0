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
from pipeline.maps.placement import WIDE_EXTENT, Placement
from pipeline.maps.registration import Template
from pipeline.run.model import Model

INTENSITY, RESIDUAL = "intensity", "residual"
"""Names of a run's atlases; the second holds a quantity for each timestep and channel."""

MIN_SPREAD = {INTENSITY: 0.08, RESIDUAL: 0.03}
"""Floors of the spread, in units of the intensity range [-1, 1]."""
MAX_KEPT_PICTURES = 2000
"""So many pictures are kept between the two readings: 0.2 GB at 128 x 128 pixels."""
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

    The brains are read twice, but for pictures, which are kept: placed by their boxes they give a
    mean, and placed by that mean (`pipeline.maps.registration`) they give the atlases.

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
    read = _Reading(transforms)
    template, failed = _template(by_name, read, execution)
    good = {name: case for name, case in by_name.items() if name not in failed}
    intensity, residuals = AtlasBuilder(WIDE_EXTENT), AtlasBuilder(WIDE_EXTENT)
    n_chosen = min(len(cases), MAX_RESIDUAL_CASES) if residual else 0
    places = np.linspace(0, len(cases) - 1, n_chosen).round().astype(int)
    chosen = {cases[i].name for i in places}

    def add(case: Case) -> None:
        prepared = read(case)
        work = CaseWork(prepared)
        placement = work.placement(template)
        intensity.add(prepared.slices.numpy(), *masks_of(prepared), placement)
        if case.name in chosen:
            config = model.config
            restored = work.restored(model, config.detection, config.seed).slices.mean(1)
            differences = as_quantities(prepared.slices - restored).numpy()
            residuals.add(differences, *masks_of(prepared), placement)

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
    cases: Mapping[str, Case], read: _Reading, execution: Execution
) -> tuple[Template, dict[str, str]]:
    """The mean of brains placed by their boxes, and why the others are not in it."""
    boxed = AtlasBuilder(WIDE_EXTENT)

    def add(case: Case) -> None:
        prepared = read(case)
        boxed.add(prepared.slices.numpy(), *masks_of(prepared))

    failed = each_case(cases, add, description="mean brain", execution=execution).failed
    if not boxed.n_cases:
        raise InputError(f"no case for an atlas could be read: {next(iter(failed.values()), '')}")
    return boxed.template(), failed


class _Reading:
    """Prepares healthy cases; of single slices, which are many and small, each once."""

    def __init__(self, transforms: CaseTransforms) -> None:
        self._transforms = transforms
        self._kept: dict[str, Prepared] = {}

    def __call__(self, case: Case) -> Prepared:
        """A case on the working grid alone, or with all that it was read from."""
        if case.name in self._kept:
            return self._kept.pop(case.name)
        prepared = healthy_prepared(case, self._transforms)
        if len(prepared.slices) == 1 and len(self._kept) < MAX_KEPT_PICTURES:
            on_grid = Prepared.on_grid(
                *(case, prepared.slices, prepared.brain, prepared.grid), content=prepared.content
            )
            self._kept[case.name] = replace(on_grid, healthy=prepared.healthy)
        return prepared


def healthy_prepared(case: Case, transforms: CaseTransforms) -> Prepared:
    """A case with healthy voxels.

    Raises:
        InputError: it cannot be read, or has none.
    """
    prepared = transforms(case)
    if not prepared.healthy.any():
        raise InputError(f"case {case.name}: nothing of it counts as healthy on the grid")
    return prepared


def masks_of(prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
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
    atlas = _atlas_of(name, model)
    if len(atlas.mean) != values.shape[1]:
        raise InputError(
            f"{model.path}: its atlas of the {name} is that of another recipe: {len(atlas.mean)} "
            f"quantities, {values.shape[1]} now"
        )
    brain = work.prepared.brain[:, 0].numpy()
    if not brain.any():
        return torch.zeros_like(values)
    return torch.from_numpy(atlas.z_scores(values.numpy(), brain, placement_of(work, model, atlas)))


def mean_brain(work: CaseWork, model: Model) -> Tensor:
    """What healthy brains show at each place of a case, the case itself outside the brain.

    Returns:
        ``(N, C, H, W)`` in [-1, 1].

    Raises:
        InputError: the run has no atlas of the intensity.
    """
    atlas = _atlas_of(INTENSITY, model)
    prepared = work.prepared
    if not prepared.brain.any():
        return prepared.slices
    brain = prepared.brain[:, 0].numpy()
    mean = atlas.placed_mean(brain, placement_of(work, model, atlas)).swapaxes(0, 1)
    return torch.where(prepared.brain, torch.from_numpy(mean), prepared.slices)


def _atlas_of(name: str, model: Model) -> Atlas:
    if name not in model.atlases:
        raise InputError(
            f"{model.path}: has no atlas of the {name} for its weights and recipe; "
            "`anomap train ... --resume` makes it"
        )
    return model.atlases[name]


def placement_of(work: CaseWork, model: Model, atlas: Atlas) -> Placement | None:
    """Where an atlas lies on a case; of those made before brains were registered, their box."""
    template = model.atlases.get(INTENSITY, atlas).template
    return work.placement(template) if template is not None else None
