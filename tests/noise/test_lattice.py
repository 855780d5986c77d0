"""The operators: their memory, and that they work wherever noise is drawn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from noise_processes import Fields, gather_fields
from torch import Tensor
from torch.utils.data import DataLoader

from pipeline.noise import lattice
from pipeline.noise.lattice import LATTICE_PERIOD, Octaves, SimplexGrid, simplex_grid
from pipeline.noise.noises import Simplex
from pipeline.noise.simplex import random_fields, simplex_fields

ONE_OCTAVE = Octaves(0.1, 1)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattice, "_cache", type(lattice._cache)())


def dense(grid: SimplexGrid) -> Tensor:
    assert isinstance(grid.operator, Tensor)
    return grid.operator.to_dense()


# The lattice --------------------------------------------------------------------------------------


def test_the_offsets_reach_every_vertex_near_a_point() -> None:
    points = np.random.default_rng(0).uniform(-3, 3, (4000, 3))
    point, vertex, weight = lattice._octave_weights(points)
    found = {(int(p), *map(int, v)) for p, v in zip(point, vertex, strict=True)}
    axis = np.arange(-8, 9)
    every = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    positions = every + every.sum(1, keepdims=True) / 3
    for i, p in enumerate(points[:500]):
        near = ((positions - p) ** 2).sum(1) < 2 - 1e-9
        assert {(i, *map(int, v)) for v in every[near]} <= found
    counts = np.bincount(point)
    assert counts.max() <= 8
    assert abs(counts.mean() - 5.9) < 0.1
    assert np.isfinite(weight).all()


def test_a_lattice_period_along_any_axis_changes_no_weight() -> None:
    base = dense(simplex_grid((3, 4), Octaves(0.7, 1, 0.8), z=0.3))
    moved = dense(simplex_grid((3, 4), Octaves(0.7, 1, 0.8), z=0.3 + LATTICE_PERIOD))
    # Vertices are numbered modulo 256, so only their order may change.
    assert torch.allclose(base.sum(1), moved.sum(1), atol=1e-5)
    assert torch.allclose(base.square().sum(1), moved.square().sum(1), atol=1e-5)


def test_octaves_share_the_gradient_of_a_vertex_they_have_in_common() -> None:
    one, two = (
        simplex_grid((32, 32), Octaves(0.25, 1, 1.0)),
        simplex_grid((32, 32), Octaves(0.25, 2, 1.0)),
    )
    alone = simplex_grid((32, 32), Octaves(0.5, 1, 1.0))
    assert len(alone.z) <= len(two.z) < len(one.z) + len(alone.z)


# Memory -------------------------------------------------------------------------------------------


def test_an_operator_is_built_once() -> None:
    assert simplex_grid((9, 7), ONE_OCTAVE) is simplex_grid((9, 7), ONE_OCTAVE)
    assert simplex_grid((9, 7), ONE_OCTAVE) is not simplex_grid((9, 7), ONE_OCTAVE, z=0.5)


def test_the_memory_of_an_operator_is_that_of_its_tensors() -> None:
    grid = simplex_grid((20, 30), Octaves(0.1, 2, 0.8))
    assert isinstance(grid.operator, Tensor)
    operator = grid.operator
    parts = [operator.values(), operator.col_indices(), operator.crow_indices()]
    parts += [grid.columns, grid.column_of, grid.z]
    assert grid.n_bytes == sum(part.numel() * part.element_size() for part in parts)


def test_only_the_latest_operators_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    size = simplex_grid((16, 16), ONE_OCTAVE).n_bytes
    monkeypatch.setattr(lattice, "_CACHE_BYTES", int(3.5 * size))
    for height in (0.1, 0.2, 0.3):
        simplex_grid((16, 16), ONE_OCTAVE, z=height)
    recent = simplex_grid((16, 16), ONE_OCTAVE, z=0.1)
    simplex_grid((16, 16), ONE_OCTAVE, z=0.4)
    heights = [key[3] for key in lattice._cache]
    assert heights == [(0.3,), (0.1,), (0.4,)]
    assert simplex_grid((16, 16), ONE_OCTAVE, z=0.1) is recent


def test_an_operator_larger_than_the_cache_is_used_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lattice, "_CACHE_BYTES", 10)
    assert simplex_fields([1], (16, 16)).shape == (1, 16, 16)
    assert len(lattice._cache) == 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read in /proc")
def test_fields_of_256_pixels_take_less_than_a_gibibyte() -> None:
    code = (
        "from pipeline.noise.simplex import random_fields, simplex_fields;"
        "random_fields(128, (256, 256)); simplex_fields(range(128), (256, 256));"
        "print(open('/proc/self/status').read())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak_kib = float(done.stdout.split("VmHWM:")[1].split()[0])
    assert peak_kib < 2**20


# Wherever noise is drawn --------------------------------------------------------------------------


def test_scipy_gives_the_same_fields_where_torch_has_no_sparse_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fields() -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return simplex_fields([1, 2], (20, 30)), random_fields(3, (20, 30), generator)

    by_torch = fields()
    lattice._cache.clear()
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    by_scipy = fields()
    assert not isinstance(simplex_grid((20, 30)).operator, Tensor)
    for a, b in zip(by_torch, by_scipy, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_an_operator_that_is_built_in_inference_mode_serves_in_training() -> None:
    with torch.inference_mode():
        Simplex()(torch.empty(1, 1, 16, 16))
    scale = torch.ones((), requires_grad=True)
    (Simplex()(torch.empty(1, 1, 16, 16)) * scale).square().mean().backward()
    assert scale.grad is not None
    assert abs(float(scale.grad) - 2) < 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_another_default_dtype_changes_nothing(dtype: torch.dtype) -> None:
    expected = simplex_fields([1, 2], (20, 24))
    lattice._cache.clear()
    torch.set_default_dtype(dtype)
    try:
        fields = simplex_fields([1, 2], (20, 24))
        drawn = random_fields(2, (20, 24), depths=[0.0, 1.0])
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(fields, expected)
    assert drawn.dtype == torch.float32


def test_another_default_device_changes_nothing() -> None:
    expected = simplex_fields([1, 2], (20, 24))
    lattice._cache.clear()
    with torch.device("meta"):
        assert torch.equal(simplex_fields([1, 2], (20, 24)), expected)
        assert random_fields(2, (20, 24), depths=[0.0, 1.0]).device.type == "cpu"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_process_that_is_forked_while_the_cache_is_in_use_does_not_hang() -> None:
    stop = threading.Event()

    def use() -> None:
        while not stop.is_set():
            simplex_grid((4, 4), ONE_OCTAVE)

    thread = threading.Thread(target=use)
    thread.start()
    try:
        for _ in range(30):
            child = os.fork()
            if child == 0:
                signal.alarm(60)  # Ends a child that hangs; long, since a machine may be busy.
                simplex_grid((4, 4), ONE_OCTAVE)
                os._exit(0)
            assert os.waitpid(child, 0) == (child, 0)
    finally:
        stop.set()
        thread.join()


def test_warnings_that_a_user_has_set_are_left_alone() -> None:
    before = list(warnings.filters)
    simplex_grid((8, 9), Octaves(0.3, 1, 0.8), z=0.25)
    assert list(warnings.filters) == before


def test_threads_get_the_fields_that_one_thread_gets() -> None:
    expected = simplex_fields([4], (33, 17))
    lattice._cache.clear()
    results: list[Tensor] = []
    threads = [
        threading.Thread(target=lambda: results.append(simplex_fields([4], (33, 17))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(torch.equal(result, expected) for result in results)


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.slow
def test_data_loader_workers_draw_what_the_process_itself_draws(context: str) -> None:
    expected = torch.stack([Fields()[i] for i in range(6)])
    loader = DataLoader(Fields(), 3, num_workers=2, multiprocessing_context=context)
    assert torch.allclose(torch.cat(list(loader)), expected, atol=1e-6)


@pytest.mark.slow
def test_each_rank_of_a_distributed_training_draws_from_its_own_generator(tmp_path: object) -> None:
    torch.multiprocessing.spawn(gather_fields, (str(tmp_path),), nprocs=2)
    fields = torch.load(f"{tmp_path}/fields.pt")
    for rank, field in enumerate(fields):
        alone = Simplex()(torch.empty(1, 1, 24, 24), torch.Generator().manual_seed(rank))
        assert torch.allclose(field, alone, atol=1e-5)
    assert not torch.allclose(*fields)
