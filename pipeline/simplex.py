"""The simplex kernel alone: seeds and a grid in, fields out.

OpenSimplex noise at a point is the sum over the lattice vertices within distance sqrt(2) of
``(2 - d^2)^4 <g, d> / 103``, where d points from the vertex to the point and g is one of 24
gradients that the seed picks for the vertex (K. Spencer, OpenSimplex, 2014). The weights depend on
the grid alone, so all octaves of a field are one fixed sparse matrix, built once per grid, applied
to the gradients of a seed. A batch of fields is one matrix product, on any device.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from opensimplex.constants import GRADIENTS3
from torch import Tensor

_N_GRADIENTS = len(GRADIENTS3) // 3
_STRETCH = -1.0 / 6.0
_SQUISH = 1.0 / 3.0
_NORM = 103.0
_PERIOD = 256
_LCG_FACTOR, _LCG_STEP = 6364136223846793005, 1442695040888963407


@dataclass(frozen=True)
class SimplexGrid:
    """What a field is made of on one pixel grid.

    Attributes:
        operator: sparse CSR, ``(H * W, 3 V)`` float32; takes vertex gradients to pixels, with all
            octaves and their amplitudes in it.
        vertices: lattice coordinates of the V vertices, modulo 256, ``(V, 3)`` int64; a vertex that
            serves two octaves stands twice.
        vertex_keys: index into ``n_distinct`` for each of the V, ``(V,)`` int64.
        n_distinct: number of distinct lattice vertices: those share a gradient.
        shape: H, W.
    """

    operator: Tensor
    vertices: np.ndarray
    vertex_keys: Tensor
    n_distinct: int
    shape: tuple[int, int]


def simplex_fields(
    seeds: Sequence[int],
    shape: tuple[int, int],
    *,
    base_frequency: float = 2**-5,
    octaves: int = 6,
    decay: float = 0.8,
    z: float = 0.0,
    device: str | torch.device | None = None,
) -> Tensor:
    """Octave sums of simplex noise, one field a seed, as `opensimplex` computes them.

    ``field[i, y, x] = sum_k decay^k OpenSimplex(seeds[i]).noise3(x f_k, y f_k, z)`` with
    ``f_k = base_frequency 2^k``. All vertices within reach are summed; `opensimplex` drops a few
    contributions of up to 6e-5 an octave.

    Args:
        seeds: one integer a field (64-bit, as `opensimplex` takes them).
        shape: H, W in pixels.
        base_frequency: cycles per pixel of the first octave, > 0.
        octaves: number of octaves, >= 1.
        decay: amplitude ratio from one octave to the next.
        z: third coordinate, in lattice units, the same for all octaves.
        device: where the fields are computed; CPU by default.

    Returns:
        ``(len(seeds), H, W)`` float32, raw sums: standard deviation near 0.5, not 1.

    Raises:
        ValueError: a parameter is out of range.
    """
    grid = simplex_grid(shape, base_frequency, octaves, decay, z, torch.device(device or "cpu"))
    return apply_gradients(grid, _gradients_of_seeds(seeds, grid))


def random_fields(
    n_fields: int,
    shape: tuple[int, int],
    generator: torch.Generator | None = None,
    *,
    base_frequency: float = 2**-5,
    octaves: int = 6,
    decay: float = 0.8,
    device: str | torch.device | None = None,
) -> Tensor:
    """Fields of the same distribution as `simplex_fields` with random seeds, without the seeds.

    Every distinct lattice vertex gets an independent gradient, drawn with the frequencies that
    `opensimplex`'s permutation table has. Arguments and result as `simplex_fields`.
    """
    target = torch.device(device or "cpu")
    grid = simplex_grid(shape, base_frequency, octaves, decay, 0.0, target)
    source = generator.device if generator is not None else target
    drawn = torch.randint(
        _PERIOD, (n_fields, grid.n_distinct), generator=generator, device=source
    ).to(target)
    return apply_gradients(grid, (drawn % _N_GRADIENTS)[:, grid.vertex_keys])


def apply_gradients(grid: SimplexGrid, gradient_index: Tensor) -> Tensor:
    """Fields ``(B, H, W)`` from the index ``(B, V)`` in 0..23 of every vertex's gradient."""
    table = torch.as_tensor(
        np.asarray(GRADIENTS3, dtype=np.float32).reshape(-1, 3), device=gradient_index.device
    )
    n_fields = gradient_index.shape[0]
    with torch.autocast(gradient_index.device.type, enabled=False):
        gradients = table[gradient_index.T].permute(0, 2, 1).flatten(0, 1)
        fields = grid.operator @ gradients
    return fields.T.reshape(n_fields, *grid.shape).contiguous()


def simplex_grid(
    shape: tuple[int, int],
    base_frequency: float,
    octaves: int,
    decay: float,
    z: float,
    device: torch.device,
) -> SimplexGrid:
    """The operator of a grid, built at the first call and kept (the 8 latest grids).

    Raises:
        ValueError: a parameter is out of range.
    """
    finite = all(math.isfinite(value) for value in (base_frequency, decay, z))
    if min(shape) < 1 or octaves < 1 or base_frequency <= 0 or not finite:
        raise ValueError(
            f"simplex noise needs H, W >= 1, octaves >= 1 and base_frequency > 0; got {shape=}, "
            f"{octaves=}, {base_frequency=}, {decay=}, {z=}"
        )
    key = ((int(shape[0]), int(shape[1])), float(base_frequency), octaves, float(decay), float(z))
    return _cached_grid(*key, device)


@lru_cache(maxsize=8)
def _cached_grid(
    shape: tuple[int, int],
    base_frequency: float,
    octaves: int,
    decay: float,
    z: float,
    device: torch.device,
) -> SimplexGrid:
    vertices: list[np.ndarray] = []
    pixels: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    n_vertices = 0
    for octave in range(octaves):
        points = _grid_points(shape, base_frequency * 2**octave, z)
        pixel, vertex, weight = _octave_weights(points)
        distinct, column = np.unique(vertex, axis=0, return_inverse=True)
        pixels.append(pixel)
        columns.append(column.reshape(-1) + n_vertices)
        weights.append(weight * decay**octave)
        vertices.append(distinct)
        n_vertices += len(distinct)
    operator = _csr(
        np.concatenate(pixels),
        np.concatenate(columns),
        np.concatenate(weights),
        (shape[0] * shape[1], n_vertices),
    )
    wrapped = np.concatenate(vertices) % _PERIOD
    distinct, keys = np.unique(wrapped, axis=0, return_inverse=True)
    return SimplexGrid(
        operator.to(device),
        wrapped,
        torch.as_tensor(keys.reshape(-1), device=device),
        len(distinct),
        shape,
    )


def _grid_points(shape: tuple[int, int], frequency: float, z: float) -> np.ndarray:
    """Noise coordinates (x, y, z) of all pixels, row by row, ``(H * W, 3)`` float64."""
    y, x = np.mgrid[: shape[0], : shape[1]].reshape(2, -1).astype(np.float64) * frequency
    return np.stack([x, y, np.full_like(x, z)], axis=1)


def _octave_weights(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel index, vertex ``(n, 3)`` and weight vector ``(n, 3)`` of all pairs within reach."""
    base = np.floor(points + points.sum(1, keepdims=True) * _STRETCH).astype(np.int64)
    pixels, vertices, weights = [], [], []
    for offset in np.ndindex(4, 4, 4):
        vertex = base + (np.array(offset) - 1)
        delta = points - (vertex + vertex.sum(1, keepdims=True) * _SQUISH)
        attenuation = 2.0 - (delta**2).sum(1)
        near = np.flatnonzero(attenuation > 0)
        pixels.append(near)
        vertices.append(vertex[near])
        weights.append((attenuation[near] ** 4 / _NORM)[:, None] * delta[near])
    return np.concatenate(pixels), np.concatenate(vertices), np.concatenate(weights)


def _csr(rows: np.ndarray, vertex: np.ndarray, weight: np.ndarray, size: tuple[int, int]) -> Tensor:
    """The ``(H * W, 3 V)`` operator; vertex v has the columns 3 v, 3 v + 1, 3 v + 2."""
    order = np.lexsort((vertex, rows))
    rows, vertex, weight = rows[order], vertex[order], weight[order]
    columns = (3 * vertex[:, None] + np.arange(3)).reshape(-1)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=size[0]) * 3)])
    with warnings.catch_warnings():
        # torch says once a process that CSR is in beta; the user can do nothing about it.
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(
            torch.as_tensor(starts.astype(np.int32)),
            torch.as_tensor(columns.astype(np.int32)),
            torch.as_tensor(weight.reshape(-1).astype(np.float32)),
            size=(size[0], 3 * size[1]),
            check_invariants=False,
        )


def _gradients_of_seeds(seeds: Sequence[int], grid: SimplexGrid) -> Tensor:
    """Index 0..23 of each vertex's gradient for each seed, ``(B, V)``."""
    permutation = permutations(seeds)
    x, y, z = grid.vertices.T
    hashed = (permutation[:, x] + y) % _PERIOD
    hashed = (np.take_along_axis(permutation, hashed, axis=1) + z) % _PERIOD
    index = np.take_along_axis(permutation, hashed, axis=1) % _N_GRADIENTS
    return torch.as_tensor(index, device=grid.operator.device)


def permutations(seeds: Sequence[int]) -> np.ndarray:
    """`opensimplex`'s permutation tables, ``(len(seeds), 256)`` int64, all seeds at once."""
    wrapped = [(int(seed) + 2**63) % 2**64 - 2**63 for seed in seeds]
    state = np.array(wrapped, dtype=np.int64)
    rows = np.arange(len(state))
    source = np.tile(np.arange(_PERIOD), (len(state), 1))
    permutation = np.empty_like(source)
    for _ in range(3):
        state = state * _LCG_FACTOR + _LCG_STEP
    for i in range(_PERIOD - 1, -1, -1):
        state = state * _LCG_FACTOR + _LCG_STEP
        chosen = (state % (i + 1) + 31) % (i + 1)
        permutation[:, i] = source[rows, chosen]
        source[rows, chosen] = source[:, i]
    return permutation
