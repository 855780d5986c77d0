"""The simplex lattice under a pixel grid: which vertices reach a pixel, and with what weight.

The weights depend on the grid alone, not on the seed, so they are computed once a grid and kept.
"""

from __future__ import annotations

import math
import os
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from torch import Tensor

PERIOD = 256
"""Vertices repeat after so many steps along each lattice axis: hashes are bytes."""

LATTICE_PERIOD = 6.0
"""A shift by this along x, y or z, in noise coordinates, takes the lattice to itself."""

_STRETCH = -1.0 / 6.0
_SQUISH = 1.0 / 3.0
_NORM = 103.0

# The 26 vertices that can be within reach of a point, relative to the corner of the point's cell.
_AROUND = np.array(list(np.ndindex(4, 4, 4))) - 1
_OFFSETS = _AROUND[(np.ptp(_AROUND, axis=1) <= 2) & np.isin(_AROUND.sum(1), range(4))]
_OFFSET_POSITIONS = _OFFSETS + _OFFSETS.sum(1, keepdims=True) * _SQUISH

# So few that the temporary arrays stay in the processor's cache.
_POINTS_AT_ONCE = 4096
_CACHE_BYTES = 512 * 2**20
_MAX_OCTAVES = 32
# Coordinates up to here leave a float64 enough digits for the place within a cell.
_MAX_COORDINATE = 2.0**30


@dataclass(frozen=True)
class Octaves:
    """Which noises a field is the sum of.

    Attributes:
        base_frequency: f_0, cycles per pixel of the first octave, > 0; f_k = f_0 2^k.
        count: number of octaves, 1 to 32.
        decay: amplitude ratio from one octave to the next.
        shared_depth: depths are lattice units, the same for all octaves, instead of pixels.

    Raises:
        ValueError: a parameter is out of range.
    """

    base_frequency: float = 2**-5
    count: int = 6
    decay: float = 0.8
    shared_depth: bool = False

    def __post_init__(self) -> None:
        finite = math.isfinite(self.base_frequency) and math.isfinite(self.decay)
        if not finite or self.base_frequency <= 0 or not 1 <= self.count <= _MAX_OCTAVES:
            raise ValueError(
                f"simplex noise needs 1..{_MAX_OCTAVES} octaves, a base frequency > 0 and finite "
                f"numbers; got {self}"
            )

    @property
    def frequencies(self) -> tuple[float, ...]:
        """Cycles per pixel of each octave."""
        return tuple(self.base_frequency * 2.0**k for k in range(self.count))

    @property
    def depth_scales(self) -> tuple[float, ...]:
        """What a depth is multiplied by to be the third coordinate of each octave."""
        return (1.0,) * self.count if self.shared_depth else self.frequencies


@dataclass(frozen=True)
class SimplexGrid:
    """What a field is made of on one pixel grid.

    Attributes:
        operator: sparse CSR, ``(H * W, 3 V)`` float32; takes vertex gradients to pixels, with all
            octaves and their amplitudes in it. A torch tensor on ``device``, or SciPy's where this
            torch has no sparse product.
        columns: lattice coordinates (x, y) modulo 256 of the columns of vertices, ``(2, K)`` uint8.
        column_of: column in which each of the V vertices lies, ``(V,)`` int32. Octaves that have a
            vertex in common have it, and its gradient, once.
        z: lattice coordinate z modulo 256 of the vertices, ``(V,)`` uint8.
        shape: H, W.
    """

    operator: Tensor | csr_array
    columns: Tensor
    column_of: Tensor
    z: Tensor
    shape: tuple[int, int]

    @property
    def device(self) -> torch.device:
        """Where the fields are computed."""
        return self.z.device

    @property
    def multiply_adds(self) -> int:
        """Of one field."""
        if isinstance(self.operator, Tensor):
            return self.operator.values().numel()
        return int(self.operator.nnz)

    @property
    def n_bytes(self) -> int:
        """Memory of it all; of the operator, a float32 weight and an int32 index each."""
        operator = 8 * self.multiply_adds + 4 * (self.shape[0] * self.shape[1] + 1)
        return operator + self.columns.numel() + 5 * self.z.numel()


_Key = tuple[tuple[int, int], float, float, tuple[float, ...], torch.device]
"""H and W, base frequency, decay, the third coordinate of each octave, device."""

_cache: OrderedDict[_Key, SimplexGrid] = OrderedDict()
_cache_lock = Lock()
if hasattr(os, "register_at_fork"):
    # A process must not be born with the lock held by a thread that it does not have.
    os.register_at_fork(
        before=_cache_lock.acquire,
        after_in_parent=_cache_lock.release,
        after_in_child=_cache_lock.release,
    )


def simplex_grid(
    shape: tuple[int, int],
    octaves: Octaves = Octaves(),
    *,
    z: float = 0.0,
    depth: float = 0.0,
    device: str | torch.device | None = None,
) -> SimplexGrid:
    """The operator of a grid, built at the first call; the latest are kept, up to 512 MiB.

    Args:
        shape: H, W in pixels.
        octaves: that are summed.
        z: third coordinate, in lattice units, the same for all octaves.
        depth: of a slice of noise in 3-D, in pixels: octave k lies at ``z + depth f_k``; with
            ``octaves.shared_depth`` in lattice units: all octaves lie at ``z + depth``.
        device: where fields are computed; CPU by default.

    Raises:
        ValueError: a parameter is out of range.
    """
    heights = tuple(z + depth * scale for scale in octaves.depth_scales)
    _check(shape, octaves, heights)
    where = _operator_device(torch.device(device or "cpu"))
    pixels = (int(shape[0]), int(shape[1]))
    key = (pixels, float(octaves.base_frequency), float(octaves.decay), heights, where)
    with _cache_lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    # Not under the lock: a process may fork while this one builds.
    grid = _build_grid(*key)
    with _cache_lock:
        _cache[key] = grid
        while len(_cache) > 1 and sum(g.n_bytes for g in _cache.values()) > _CACHE_BYTES:
            _cache.popitem(last=False)
    return grid


def _check(shape: tuple[int, int], octaves: Octaves, heights: tuple[float, ...]) -> None:
    if min(shape) < 1 or not all(map(math.isfinite, heights)):
        raise ValueError(
            f"simplex noise needs H, W >= 1 and a finite place in depth; got {shape=}, {heights=}"
        )
    highest = max(shape) * octaves.frequencies[-1]
    if max(highest, *map(abs, heights)) > _MAX_COORDINATE:
        raise ValueError(
            f"simplex noise is exact up to coordinates of {_MAX_COORDINATE:.2g} lattice units; "
            f"got {shape=}, {octaves}, {heights=}"
        )


def grids_kept(grid: SimplexGrid) -> int:
    """How many operators are kept at a time, if none is a tenth larger than this one."""
    return max(1, int(_CACHE_BYTES / (1.1 * grid.n_bytes)))


def _operator_device(device: torch.device) -> torch.device:
    """The device itself, with its index, if it multiplies sparse matrices; else the CPU."""
    if device.type != "cuda":
        return torch.device("cpu")
    return device if device.index is not None else torch.device("cuda", torch.cuda.current_device())


def _build_grid(
    shape: tuple[int, int],
    base_frequency: float,
    decay: float,
    heights: tuple[float, ...],
    device: torch.device,
) -> SimplexGrid:
    pixels, keys, weights = [], [], []
    for octave, height in enumerate(heights):
        points = _grid_points(shape, base_frequency * 2.0**octave, height)
        for first in range(0, len(points), _POINTS_AT_ONCE):
            pixel, vertex, weight = _octave_weights(points[first : first + _POINTS_AT_ONCE])
            x, y, z = (vertex % PERIOD).T
            pixels.append((pixel + first).astype(np.int32))
            keys.append(((x * PERIOD + y) * PERIOD + z).astype(np.int32))
            weights.append((weight * decay**octave).astype(np.float32))
    distinct, index = np.unique(np.concatenate(keys), return_inverse=True)
    size = (shape[0] * shape[1], 3 * len(distinct))
    operator = _csr(np.concatenate(pixels), index, np.concatenate(weights), size)
    columns, column_of = np.unique(distinct // PERIOD, return_inverse=True)
    return SimplexGrid(
        _as_torch(operator, device),
        torch.from_numpy(np.stack(np.divmod(columns, PERIOD))).to(device, torch.uint8),
        torch.from_numpy(column_of).to(device, torch.int32),
        torch.from_numpy(distinct % PERIOD).to(device, torch.uint8),
        shape,
    )


def _grid_points(shape: tuple[int, int], frequency: float, z: float) -> np.ndarray:
    """Noise coordinates (x, y, z) of all pixels, row by row, ``(H * W, 3)`` float64."""
    y, x = np.mgrid[: shape[0], : shape[1]].reshape(2, -1).astype(np.float64) * frequency
    return np.stack([x, y, np.full_like(x, z)], axis=1)


def _octave_weights(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Point index, vertex ``(n, 3)`` and weight vector ``(n, 3)`` of all pairs within reach."""
    corner = np.floor(points + points.sum(1, keepdims=True) * _STRETCH)
    inside = points - (corner + corner.sum(1, keepdims=True) * _SQUISH)
    attenuation = 2.0 - (
        (inside**2).sum(1)[:, None]
        - 2.0 * inside @ _OFFSET_POSITIONS.T
        + (_OFFSET_POSITIONS**2).sum(1)
    )
    point, offset = np.nonzero(attenuation > 0)
    delta = inside[point] - _OFFSET_POSITIONS[offset]
    weight = (attenuation[point, offset] ** 4 / _NORM)[:, None] * delta
    return point, corner[point].astype(np.int64) + _OFFSETS[offset], weight


def _csr(
    rows: np.ndarray, vertex: np.ndarray, weight: np.ndarray, size: tuple[int, int]
) -> csr_array:
    """The ``(H * W, 3 V)`` operator; vertex v has the columns 3 v, 3 v + 1, 3 v + 2."""
    columns = (3 * vertex[:, None] + np.arange(3)).astype(np.int32)
    return coo_array((weight.ravel(), (np.repeat(rows, 3), columns.ravel())), shape=size).tocsr()


def _as_torch(operator: csr_array, device: torch.device) -> Tensor | csr_array:
    """As torch's own CSR tensor, which uses all cores, where this torch can multiply with it."""
    if device.type == "cpu" and not torch.backends.mkl.is_available():
        return operator
    return _csr_tensor(operator).to(device)


def _csr_tensor(operator: csr_array) -> Tensor:
    return torch.sparse_csr_tensor(
        torch.from_numpy(operator.indptr),
        torch.from_numpy(operator.indices),
        torch.from_numpy(operator.data),
        size=operator.shape,
        device="cpu",
        check_invariants=False,
    )


with warnings.catch_warnings():
    # torch says once a process that CSR is in beta; the user can do nothing about it. Once, here:
    # later another thread could be between the two halves of such a block.
    warnings.simplefilter("ignore", UserWarning)
    _csr_tensor(csr_array((1, 1), dtype=np.float32))
