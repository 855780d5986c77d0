"""What is computed of one case and wanted by several methods, each computed once."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pipeline.cases.transforms import Prepared
from pipeline.detection.reconstruction import reconstruct, reconstruction_of
from pipeline.errors import InputError
from pipeline.maps.lesions.network import Marked, mark
from pipeline.maps.placement import Placement
from pipeline.maps.registration import Template, register
from pipeline.run.config import DetectionConfig
from pipeline.run.model import Model
from pipeline.stages import stage


@dataclass(frozen=True)
class Restored:
    """Every slice of a case restored from every timestep and draw of a recipe.

    Attributes:
        slices: ``(T, D, N, C, H, W)`` float32 in [-1, 1]. Outside the brain, and in slices without
            brain, the image itself.
        earlier_seconds: that it took when it was computed for another recipe; 0 where it is
            computed now.
    """

    slices: Tensor
    earlier_seconds: float = 0.0


class CaseWork:
    """A prepared case, with what was computed of it; make one a case, and pass it to each method.

    Recipes that differ in the map alone share the restored slices, and all methods of a run where
    its atlas lies. So the arrays of the case are not changed in place.

    Args:
        prepared: the case on the working grid.
    """

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self._restored: dict[tuple[Model, int, tuple[object, ...]], Restored] = {}
        self._placements: list[tuple[Template, Placement]] = []
        self._marked: Marked | None = None

    def restored(self, model: Model, config: DetectionConfig, seed: int) -> Restored:
        """The slices as a network restores them; computed once for a model, seed and recipe."""
        key = (model, seed, reconstruction_of(config))
        if (known := self._restored.get(key)) is not None:
            return known
        start = time.monotonic()
        with stage("restore"):
            slices = _restore(self.prepared, model, config, seed)
        self._restored[key] = Restored(slices, earlier_seconds=time.monotonic() - start)
        return replace(self._restored[key], earlier_seconds=0.0)

    def placement(self, template: Template) -> Placement:
        """Where the frame of an atlas lies on the case; found once for a template.

        Raises:
            ValueError: there is no brain.
        """
        for known, placement in self._placements:
            if known is template:
                return placement
        placement = register(self.prepared.slices, self.prepared.brain, template)
        self._placements.append((template, placement))
        return placement

    def marked(self) -> Marked:
        """What the lesion network says; asked once."""
        if self._marked is None:
            with stage("mark lesions"):
                self._marked = mark(self.prepared.slices, self.prepared.brain, self.prepared.grid)
        return self._marked


def measured_map(prepared: Prepared, anomaly_map: Tensor) -> np.ndarray:
    """A map ``(N, 1, H, W)`` of the working grid on the source grid, ``(X, Y, Z)`` float32.

    Raises:
        InputError: nothing was measured: it is not a number somewhere, or 0 all over the brain.
    """
    on_source = prepared.to_source(anomaly_map)
    if not np.isfinite(on_source).all():
        raise InputError(f"case {prepared.case.name}: its map is not a number in some voxels")
    if not on_source.any():
        raise InputError(f"case {prepared.case.name}: its map is 0 all over the brain")
    return on_source


def _restore(prepared: Prepared, model: Model, config: DetectionConfig, seed: int) -> Tensor:
    has_brain = prepared.brain.flatten(1).any(1)
    in_brain = reconstruct(
        model,
        prepared.slices[has_brain],
        config,
        content=prepared.content,
        seed=seed,
        positions=has_brain.nonzero().flatten().tolist(),
    )
    restored = prepared.slices.repeat(*in_brain.shape[:2], 1, 1, 1, 1)
    restored[:, :, has_brain] = in_brain
    return torch.where(prepared.brain, restored, prepared.slices)
