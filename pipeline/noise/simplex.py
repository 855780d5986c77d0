"""The simplex kernel alone: seeds and a grid in, fields out.

OpenSimplex noise at a point is the sum over the lattice vertices within distance sqrt(2) of
``(2 - d^2)^4 <g, d> / 103``, where d points from the vertex to the point and g is one of 24
gradients that the seed picks for the vertex (K. Spencer, OpenSimplex, 2014). The weights depend on
the grid alone, so all octaves of a field are one fixed sparse matrix, built once per grid, applied
to the gradients of a seed. A batch of fields is one matrix product, on any device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from opensimplex.constants import GRADIENTS3
from scipy.sparse import csr_array
from torch import Tensor

from pipeline.noise.lattice import PERIOD, Octaves, SimplexGrid, simplex_grid

# A hash of 0..255 picks gradient number hash % 24; components along the columns.
_GRADIENTS = np.asarray(GRADIENTS3, dtype=np.int8).reshape(-1, 3)
_GRADIENT_OF_HASH = torch.from_numpy(_GRADIENTS[np.arange(PERIOD) % len(_GRADIENTS)].T.copy())

# So few that their gradients stay in the processor's cache.
_FIELDS_AT_ONCE = 32


def simplex_fields(
    seeds: Sequence[int],
    shape: tuple[int, int],
    *,
    octaves: Octaves = Octaves(),
    z: float = 0.0,
    device: str | torch.device | None = None,
) -> Tensor:
    """Octave sums of simplex noise, one field a seed, as `opensimplex` computes them.

    ``field[i, y, x] = sum_k decay^k OpenSimplex(seeds[i]).noise3(x f_k, y f_k, z)`` with
    ``f_k = base_frequency 2^k``. All vertices within reach are summed; `opensimplex` drops a few
    contributions of up to 1.2e-4 an octave. The two agree to 2e-4 of the field's range, as long as
    the finest octave spans a lattice step or more.

    Args:
        seeds: one integer a field (64-bit, as `opensimplex` takes them).
        shape: H, W in pixels.
        octaves: that are summed: frequency of the first, number, decay of the amplitude.
        z: third coordinate, in lattice units, the same for all octaves.
        device: where the fields are computed; CPU by default.

    Returns:
        ``(len(seeds), H, W)`` float32, raw sums: standard deviation near 0.5, not 1.

    Raises:
        ValueError: a parameter is out of range.
    """
    grid = simplex_grid(shape, octaves, z=z, device=device)
    return _fields(grid, len(seeds), _seeded_hashes(grid, seeds), device)


def simplex_slices(
    seeds: Sequence[int],
    depths: Sequence[float],
    shape: tuple[int, int],
    *,
    octaves: Octaves = Octaves(),
    device: str | torch.device | None = None,
) -> Tensor:
    """Sections of 3-D octave sums: fields of one seed are parallel slices of one noise.

    ``field[i, y, x] = sum_k decay^k OpenSimplex(seeds[i]).noise3(x f_k, y f_k, depths[i] f_k)``, so
    the noise varies along the depth as it does within a slice. At depth 0 these are the
    `simplex_fields` of the seeds.

    Args:
        depths: where each field lies along the third axis, in pixels; as many as seeds.

    Other arguments and errors are those of `simplex_fields`. Each depth has an operator of its own,
    which the first call for it must build.

    Returns:
        ``(len(seeds), H, W)`` float32, raw sums as of `simplex_fields`.
    """
    if len(depths) != len(seeds):
        raise ValueError(f"a depth is needed for each seed; got {len(depths)} for {len(seeds)}")

    def section(depth: float, indices: list[int]) -> Tensor:
        grid = simplex_grid(shape, octaves, depth=depth, device=device)
        chosen = [seeds[i] for i in indices]
        return _fields(grid, len(chosen), _seeded_hashes(grid, chosen), device)

    return _by_depth(depths, section, shape, device)


def random_fields(
    n_fields: int,
    shape: tuple[int, int],
    generator: torch.Generator | None = None,
    *,
    depths: Sequence[float] | None = None,
    octaves: Octaves = Octaves(),
    device: str | torch.device | None = None,
) -> Tensor:
    """Fields as `simplex_fields` of random seeds would be, if seeds hashed ideally.

    Every lattice vertex gets an independent, uniform hash of 0..255, where a seed has its
    permutation. The fields are independent of each other. Spectrum, variance and marginal
    distribution are those of seeded fields, which differ in two ways that are faults of their hash:
    within a few pixels of (0, 0) all seeds share a bias (up to 0.4 standard deviations), and in
    fields of 128 pixels and more hashes repeat, so that the power of the finest octave varies more
    from field to field.

    Args:
        generator: source of randomness, torch's own where None. One on the CPU gives the same
            fields on every device.
        depths: as of `simplex_slices`; all 0 where None.

    Other arguments and errors are those of `simplex_fields`.

    Returns:
        ``(n_fields, H, W)`` float32, raw sums as of `simplex_fields`.
    """
    if depths is not None and len(depths) != n_fields:
        raise ValueError(f"a depth is needed for each field; got {len(depths)} for {n_fields}")

    def section(depth: float, indices: list[int]) -> Tensor:
        grid = simplex_grid(shape, octaves, depth=depth, device=device)
        return _fields(grid, len(indices), _random_hashes(grid, generator), device)

    every = [0.0] * n_fields if depths is None else depths
    return _by_depth(every, section, shape, device)


def _by_depth(
    depths: Sequence[float],
    section: Callable[[float, list[int]], Tensor],
    shape: tuple[int, int],
    device: str | torch.device | None,
) -> Tensor:
    """``section(depth, indices)`` of every distinct depth, put together in the order of indices."""
    groups: dict[float, list[int]] = {}
    for i, depth in enumerate(depths):
        groups.setdefault(float(depth), []).append(i)
    if len(groups) == 1:
        return section(*next(iter(groups.items())))
    fields = torch.empty(len(depths), *shape, dtype=torch.float32, device=device or "cpu")
    for depth, indices in groups.items():
        fields[indices] = section(depth, indices)
    return fields


# From hashes to fields ----------------------------------------------------------------------------

Hashes = Callable[[int, int], Tensor]
"""``hashes(first, last)``: those of the vertices for these fields, ``(V, last - first)`` uint8."""


def _fields(
    grid: SimplexGrid, n_fields: int, hashes: Hashes, device: str | torch.device | None
) -> Tensor:
    """Apply the operator to a few fields at a time: their gradients then fit in the cache."""
    n_pixels = grid.shape[0] * grid.shape[1]
    fields = torch.empty(n_fields, n_pixels, dtype=torch.float32, device=grid.device)
    with torch.autocast(grid.device.type, enabled=False):
        for first in range(0, n_fields, _FIELDS_AT_ONCE):
            last = min(first + _FIELDS_AT_ONCE, n_fields)
            gradients = _gradients(hashes(first, last))
            fields[first:last] = _multiply(grid.operator, gradients).T
    return fields.reshape(n_fields, *grid.shape).to(device or "cpu")


def _gradients(hashes: Tensor) -> Tensor:
    """Components of the gradients that hashes ``(V, B)`` pick, ``(3 V, B)`` float32."""
    n_vertices, n_fields = hashes.shape
    picked = hashes.flatten().to(torch.int32)
    gradients = torch.empty(n_vertices, 3, n_fields, dtype=torch.float32, device=hashes.device)
    for axis, component in enumerate(_GRADIENT_OF_HASH.to(hashes.device)):
        gradients[:, axis] = component.index_select(0, picked).view_as(hashes)
    return gradients.flatten(0, 1)


def _multiply(operator: Tensor | csr_array, dense: Tensor) -> Tensor:
    if isinstance(operator, Tensor):
        return operator @ dense
    return torch.from_numpy(operator @ dense.numpy())


def _random_hashes(grid: SimplexGrid, generator: torch.Generator | None) -> Hashes:
    n_vertices = len(grid.z)
    source = generator.device if generator is not None else grid.device

    def hashes(first: int, last: int) -> Tensor:
        n_bytes = n_vertices * (last - first)
        # Eight hashes from one draw of 64 bits.
        words = torch.empty(-(-n_bytes // 8), dtype=torch.int64, device=source)
        words.random_(-(2**63), None, generator=generator)
        drawn = words.view(torch.uint8)[:n_bytes].view(n_vertices, last - first)
        return drawn.to(grid.device)

    return hashes


def _seeded_hashes(grid: SimplexGrid, seeds: Sequence[int]) -> Hashes:
    """``p[p[p[x] + y] + z]`` modulo 256 with each seed's permutation p, as `opensimplex` hashes."""
    tables = torch.from_numpy(permutations(seeds))

    def hashes(first: int, last: int) -> Tensor:
        table = tables[first:last].T.contiguous().to(grid.device)
        field = torch.arange(last - first, dtype=torch.int32, device=grid.device)

        def look_up(index: Tensor) -> Tensor:
            flat = (index.to(torch.int32) * len(field) + field).flatten()
            return table.flatten().index_select(0, flat).view_as(index)

        x, y = grid.columns
        # Sums of bytes wrap at 256, as they should.
        of_column = look_up(table.index_select(0, x.to(torch.int32)) + y[:, None])
        return look_up(of_column.index_select(0, grid.column_of) + grid.z[:, None])

    return hashes


# Permutations -------------------------------------------------------------------------------------


def permutations(seeds: Sequence[int]) -> np.ndarray:
    """`opensimplex`'s permutation tables, ``(len(seeds), 256)`` uint8."""
    state = np.array([_wrapped(int(seed)) for seed in seeds], dtype=np.int64)[:, None]
    size = np.arange(PERIOD, 0, -1)
    chosen = ((state * _LCG_FACTORS + _LCG_STEPS) % size + 31) % size
    tables = np.empty((len(seeds), PERIOD), dtype=np.uint8)
    for table, swaps in zip(tables, chosen.tolist(), strict=True):
        shuffled = list(range(PERIOD))
        for i, j in zip(range(PERIOD - 1, -1, -1), swaps, strict=True):
            shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
        table[:] = shuffled
    return tables


def _wrapped(value: int) -> int:
    """As a signed 64-bit integer."""
    return (value + 2**63) % 2**64 - 2**63


def _lcg_jumps() -> tuple[np.ndarray, np.ndarray]:
    """Factors and steps that take a seed straight to the states after 4, 5, ..., 259 steps."""
    factor, step, jumps = 1, 0, []
    for _ in range(3 + PERIOD):
        factor = _wrapped(factor * 6364136223846793005)
        step = _wrapped(step * 6364136223846793005 + 1442695040888963407)
        jumps.append((factor, step))
    factors, steps = np.array(jumps[3:], dtype=np.int64).T
    return factors, steps


_LCG_FACTORS, _LCG_STEPS = _lcg_jumps()
