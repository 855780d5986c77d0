"""Healthy brains as the measure: atlases of a run, and what is unusual against them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pipeline.cases.case import Case
from pipeline.cases.loop import Execution, each_case
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.detection.reconstruction import reconstruct, reconstruction_of
from pipeline.errors import InputError
from pipeline.maps.atlas import Atlas, AtlasBuilder
from pipeline.maps.placement import WIDE_EXTENT, Placement
from pipeline.maps.registration import Template, register
from pipeline.run.config import DetectionConfig
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


def restored_slices(prepared: Prepared, model: Model, config: DetectionConfig, seed: int) -> Tensor:
    """Every slice restored from every timestep and draw of a recipe, ``(T, D, N, C, H, W)``.

    Outside the brain, and in slices without brain, the image itself.
    """
    return restored_slices_timed(prepared, model, config, seed)[0]


def restored_slices_timed(
    prepared: Prepared, model: Model, config: DetectionConfig, seed: int
) -> tuple[Tensor, float]:
    """As `restored_slices`, with the seconds that it took when it was computed for another recipe.

    Recipes that differ in the map alone share the restored slices of a case; 0 seconds where they
    are computed now.
    """
    key = (id(model), seed, reconstruction_of(config))
    if key in prepared.memo:
        _, restored, seconds = prepared.memo[key]
        return restored, seconds
    start = time.monotonic()
    restored = _restore(prepared, model, config, seed)
    # The model is kept with it, so that no other one gets its id.
    prepared.memo[key] = model, restored, time.monotonic() - start
    return restored, 0.0


def _restore(prepared: Prepared, model: Model, config: DetectionConfig, seed: int) -> Tensor:
    has_brain = prepared.brain.flatten(1).any(1)
    in_brain = reconstruct(
        model,
        prepared.slices[has_brain],
        config,
        case=prepared.case.name,
        seed=seed,
        positions=has_brain.nonzero().flatten().tolist(),
    )
    restored = prepared.slices.repeat(*in_brain.shape[:2], 1, 1, 1, 1)
    restored[:, :, has_brain] = in_brain
    return torch.where(prepared.brain, restored, prepared.slices)


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
        placement = placed(prepared, template)
        intensity.add(prepared.slices.numpy(), *_masks(prepared), placement)
        if case.name in chosen:
            config = model.config
            restored = restored_slices(prepared, model, config.detection, config.seed).mean(1)
            differences = stacked(prepared.slices - restored).numpy()
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
    return prepared.brain[:, 0].numpy(), prepared.healthy[:, 0].numpy()


def placed(prepared: Prepared, template: Template) -> Placement:
    """Where the frame of an atlas lies on a case; found once for a case and a template.

    Raises:
        ValueError: there is no brain.
    """
    key = ("placement", id(template))
    if key not in prepared.memo:
        # The template is kept with it, so that no other one gets its id.
        prepared.memo[key] = template, register(prepared.slices, prepared.brain, template)
    placement: Placement = prepared.memo[key][1]
    return placement


def stacked(differences: Tensor) -> Tensor:
    """``(T, N, C, H, W)`` as the quantities ``(N, T * C, H, W)`` of an atlas."""
    return differences.transpose(0, 1).flatten(1, 2)


def z_scores(name: str, values: Tensor, prepared: Prepared, model: Model) -> Tensor:
    """How unusual values are at their place, in healthy standard deviations.

    Args:
        name: of the run's atlas, `INTENSITY` or `RESIDUAL`.
        values: ``(N, K, H, W)``, of the prepared case.

    Returns:
        Signed, same shape as ``values``; 0 outside the brain.

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
    brain = prepared.brain[:, 0].numpy()
    if not brain.any():
        return torch.zeros_like(values)
    # Atlases that were made before brains were registered have no template: the box then.
    template = model.atlases.get(INTENSITY, atlas).template
    placement = placed(prepared, template) if template is not None else None
    return torch.from_numpy(atlas.z_scores(values.numpy(), brain, placement))
