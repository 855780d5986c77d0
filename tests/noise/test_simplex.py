"""The simplex kernel against `opensimplex` itself, and against its own distribution."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import opensimplex
import pytest
import torch
from opensimplex.constants import GRADIENTS3
from opensimplex.internals import _init

from pipeline.noise.lattice import Octaves, simplex_grid
from pipeline.noise.simplex import (
    _gradients,
    _random_hashes,
    permutations,
    random_fields,
    simplex_fields,
    simplex_slices,
)

EDGE_SEEDS = (0, 1, -1, 42, 255, 256, 2**31, 2**62, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**70)


def reference(seed: int, y: int, x: int, octaves: Octaves, z: float) -> float:
    """One pixel of a field, by `opensimplex`."""
    noise = opensimplex.OpenSimplex(seed)
    frequencies = [octaves.base_frequency * 2**k for k in range(octaves.count)]
    return sum(octaves.decay**k * noise.noise3(x * f, y * f, z) for k, f in enumerate(frequencies))


# Twin ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", range(40))
def test_every_pixel_is_the_octave_sum_of_opensimplex(draw: int) -> None:
    rng = np.random.default_rng([1, draw])
    height, width = (int(n) for n in rng.integers(20, 90, 2))
    octaves = Octaves(
        base_frequency=float(2.0 ** rng.uniform(-6, 0)),
        count=int(rng.integers(1, 8)),
        decay=float(rng.uniform(0.3, 1.2)),
    )
    z = float(rng.uniform(-40, 300)) if draw % 2 else 0.0
    seeds = [int(s) for s in rng.integers(-(2**63), 2**63, 3)]
    fields = simplex_fields(seeds, (height, width), octaves=octaves, z=z)
    assert fields.shape == (3, height, width)
    assert fields.dtype == torch.float32
    worst = 0.0
    for _ in range(60):
        i, y, x = int(rng.integers(3)), int(rng.integers(height)), int(rng.integers(width))
        value_range = float(fields[i].max() - fields[i].min())
        error = abs(float(fields[i, y, x]) - reference(seeds[i], y, x, octaves, z))
        worst = max(worst, error / value_range)
    assert worst < 2e-4


def test_a_whole_field_with_the_default_parameters_is_that_of_opensimplex() -> None:
    field = simplex_fields([2023], (24, 31))[0].numpy()
    twin = [
        [reference(2023, y, x, Octaves(2**-5, 6, 0.8), 0.0) for x in range(31)] for y in range(24)
    ]
    assert np.abs(field - np.array(twin)).max() < 2e-4 * np.ptp(field)


@pytest.mark.parametrize("draw", range(12))
def test_every_pixel_of_a_section_is_the_octave_sum_of_opensimplex_in_3_d(draw: int) -> None:
    rng = np.random.default_rng([2, draw])
    shape = (int(rng.integers(10, 60)), int(rng.integers(10, 60)))
    octaves = Octaves(
        base_frequency=float(2.0 ** rng.uniform(-6, -1)),
        count=int(rng.integers(1, 7)),
        decay=float(rng.uniform(0.3, 1.2)),
    )
    seeds = [int(s) for s in rng.integers(-(2**63), 2**63, 2)] * 3
    depths = [float(d) for d in rng.uniform(-50, 200, 5)] + [0.0]
    fields = simplex_slices(seeds, depths, shape, octaves=octaves)
    frequencies = [octaves.base_frequency * 2**k for k in range(octaves.count)]
    for _ in range(60):
        i, y, x = int(rng.integers(6)), int(rng.integers(shape[0])), int(rng.integers(shape[1]))
        noise = opensimplex.OpenSimplex(seeds[i])
        twin = sum(
            octaves.decay**k * noise.noise3(x * f, y * f, depths[i] * f)
            for k, f in enumerate(frequencies)
        )
        value_range = float(fields[i].max() - fields[i].min())
        assert abs(float(fields[i, y, x]) - twin) < 2e-4 * value_range
    alone = simplex_fields([seeds[5]], shape, octaves=octaves)
    assert torch.allclose(fields[5], alone[0], atol=1e-6)


def test_each_hash_picks_the_gradient_that_opensimplex_picks() -> None:
    hashes = torch.arange(256).to(torch.uint8)[:, None]
    gradients = _gradients(hashes).reshape(256, 3)
    for value, gradient in enumerate(gradients.tolist()):
        first = value % 24 * 3
        assert gradient == list(GRADIENTS3[first : first + 3])


def test_permutations_are_those_of_opensimplex_for_any_seed() -> None:
    random_seeds = np.random.default_rng(0).integers(-(2**63), 2**63, 40).tolist()
    seeds = [*EDGE_SEEDS, *random_seeds, *range(-20, 20)]
    for table, seed in zip(permutations(seeds), seeds, strict=True):
        assert np.array_equal(table, _init(seed)[0]), seed
        assert np.array_equal(np.sort(table), np.arange(256))


# Distribution -------------------------------------------------------------------------------------

N_FIELDS, SIZE = 600, 64


@pytest.fixture(scope="module")
def seeded() -> np.ndarray:
    seeds = np.random.default_rng(5).integers(0, 2**62, N_FIELDS).tolist()
    return simplex_fields(seeds, (SIZE, SIZE)).numpy()


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    generator = torch.Generator().manual_seed(6)
    return random_fields(N_FIELDS, (SIZE, SIZE), generator).numpy()


def assert_equal_means(a: np.ndarray, b: np.ndarray, visible: float) -> None:
    """The means over fields of ``(n_fields, k)`` statistics agree within 4 standard errors.

    And these are small enough for a difference of ``visible`` to be seen.
    """
    error = np.sqrt(a.var(0, ddof=1) / len(a) + b.var(0, ddof=1) / len(b))
    assert 4 * error.max() < visible
    assert (np.abs(a.mean(0) - b.mean(0)) <= 4 * error).all()


def power(fields: np.ndarray) -> np.ndarray:
    window = np.hanning(SIZE)[:, None] * np.hanning(SIZE)
    centred = fields - fields.mean((1, 2), keepdims=True)
    return np.abs(np.fft.fft2(centred * window)) ** 2


def radial_power(fields: np.ndarray) -> np.ndarray:
    """Log power in octave bands of the spatial frequency, ``(n_fields, 5)``."""
    frequency = np.fft.fftfreq(SIZE) * SIZE
    radius = np.hypot(frequency[:, None], frequency)
    edges = (1, 2, 4, 8, 16, 32)
    bands = [(radius >= low) & (radius < high) for low, high in pairwise(edges)]
    spectrum = power(fields)
    return np.log(np.stack([spectrum[:, band].mean(1) for band in bands], axis=1))


def test_random_fields_vary_as_much_as_seeded_ones(seeded: np.ndarray, drawn: np.ndarray) -> None:
    assert 0.4 < drawn.std() < 0.6
    variances = [fields.var((1, 2))[:, None] for fields in (seeded, drawn)]
    assert_equal_means(*variances, visible=0.02)


def test_random_fields_vary_as_seeded_ones_at_every_pixel(
    seeded: np.ndarray, drawn: np.ndarray
) -> None:
    a, b = seeded.std(0), drawn.std(0)
    # The noise is zero at its lattice vertices, so the spread differs from pixel to pixel.
    assert a[0, 0] == b[0, 0] == 0
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.8
    # Relative standard error of the two standard deviations, a Gaussian's.
    error = np.sqrt(1 / N_FIELDS)
    assert np.abs(a - b)[a > 0].max() < 5 * error * a.max()


def test_random_fields_have_the_quantiles_of_seeded_ones(
    seeded: np.ndarray, drawn: np.ndarray
) -> None:
    levels = [0.01, 0.05, 0.25, 0.75, 0.95, 0.99]
    a, b = (np.quantile(f.reshape(len(f), -1), levels, axis=1).T for f in (seeded, drawn))
    assert_equal_means(a, b, visible=0.07)


def test_random_fields_have_the_spectrum_of_seeded_ones(
    seeded: np.ndarray, drawn: np.ndarray
) -> None:
    assert_equal_means(radial_power(seeded), radial_power(drawn), visible=0.2)


def test_fields_have_no_preferred_axis(seeded: np.ndarray, drawn: np.ndarray) -> None:
    for fields in (seeded, drawn):
        half = len(fields) // 2
        first, second = power(fields[:half]), power(fields[half:])
        near, far = slice(1, SIZE // 8), slice(SIZE // 8, SIZE // 2)
        along_x = np.log([first[:, 0, band].mean(1) for band in (near, far)]).T
        along_y = np.log([second[:, band, 0].mean(1) for band in (near, far)]).T
        assert_equal_means(along_x, along_y, visible=0.3)


@pytest.mark.parametrize("depth", [0.0, 1.0, 7.37, 100.0])
def test_random_sections_have_the_distribution_of_seeded_ones(depth: float) -> None:
    n_fields = 300
    seeds = np.random.default_rng(11).integers(0, 2**62, n_fields).tolist()
    a = simplex_slices(seeds, [depth] * n_fields, (SIZE, SIZE)).numpy()
    generator = torch.Generator().manual_seed(12)
    b = random_fields(n_fields, (SIZE, SIZE), generator, depths=[depth] * n_fields).numpy()
    assert_equal_means(a.var((1, 2))[:, None], b.var((1, 2))[:, None], visible=0.03)
    assert_equal_means(radial_power(a), radial_power(b), visible=0.3)


def test_a_volume_varies_along_its_depth_as_it_does_within_a_slice() -> None:
    generator = np.random.default_rng(13)
    steps = {"depth": [], "row": []}
    for seed in generator.integers(0, 2**62, 40).tolist():
        volume = simplex_slices([seed] * 9, range(20, 29), (40, 40)).numpy()
        for lag in (1, 2, 4, 8):
            steps["depth"].append(np.square(volume[lag] - volume[0]).mean())
            steps["row"].append(np.square(volume[0, lag:] - volume[0, :-lag]).mean())
    depth, row = (np.array(steps[k]).reshape(40, 4) for k in ("depth", "row"))
    # Steps grow with the lag, alike in both directions: one noise in 3-D, not a stack of fields.
    assert (np.diff(depth.mean(0)) > 0).all()
    assert depth[:, 0].mean() < 0.5 * depth[:, 3].mean()
    assert np.abs(np.log(depth.mean(0) / row.mean(0))).max() < 0.15


def test_random_fields_are_independent_of_each_other(drawn: np.ndarray) -> None:
    flat = drawn.reshape(N_FIELDS, -1)
    flat = (flat - flat.mean(1, keepdims=True)) / flat.std(1, keepdims=True)
    for lag in range(1, 65):
        products = (flat[lag:] * flat[:-lag]).mean(1)
        assert abs(products.mean()) < 4.5 * products.std() / np.sqrt(len(products)), lag
        assert products.max() < 0.9


def test_random_hashes_are_uniform_whatever_their_place_in_a_word() -> None:
    grid = simplex_grid((32, 32))
    hashes = _random_hashes(grid, torch.Generator().manual_seed(0))(0, 160).numpy()
    for place in range(8):
        drawn = hashes[:, place::8].ravel()
        expected = len(drawn) / 256
        chi_square = ((np.bincount(drawn, minlength=256) - expected) ** 2 / expected).sum()
        # 255 degrees of freedom: standard deviation 22.6.
        assert abs(chi_square - 255) < 5 * 22.6


def test_seeds_have_a_bias_near_the_origin_that_drawn_fields_do_not_have(
    seeded: np.ndarray, drawn: np.ndarray
) -> None:
    # opensimplex's shuffle does not make all permutations equally often.
    error = seeded.std() / np.sqrt(N_FIELDS)
    corner, rest = np.s_[:, :8, :8], np.s_[:, 16:, 16:]
    assert np.abs(seeded[corner].mean(0)).max() > 5 * error
    assert np.abs(drawn[corner].mean(0)).max() < 5 * error
    for fields in (seeded, drawn):
        assert np.abs(fields[rest].mean(0)).max() < 5.5 * error


# Contract -----------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_field_wherever_it_stands() -> None:
    together = simplex_fields([3, -7, 3], (17, 40))
    assert torch.equal(together[0], together[2])
    assert torch.allclose(together[1], simplex_fields([-7], (17, 40))[0], atol=1e-6)
    assert not torch.allclose(together[0], together[1])


def test_a_field_does_not_depend_on_the_fields_beside_it() -> None:
    seeds = np.random.default_rng(3).integers(-(2**63), 2**63, 70).tolist()
    together = simplex_fields(seeds, (24, 20))
    for i in (0, 1, 31, 32, 63, 64, 69):
        assert torch.allclose(together[i], simplex_fields([seeds[i]], (24, 20))[0], atol=1e-6)


def test_sections_come_in_the_order_of_their_depths() -> None:
    seeds, depths = [1, 2, 1, 3], [4.0, 0.0, 0.0, 4.0]
    fields = simplex_slices(seeds, depths, (16, 16))
    for field, seed, depth in zip(fields, seeds, depths, strict=True):
        assert torch.allclose(field, simplex_slices([seed], [depth], (16, 16))[0], atol=1e-6)


def test_a_depth_is_needed_for_each_field() -> None:
    with pytest.raises(ValueError, match="a depth is needed"):
        simplex_slices([1, 2], [0.0], (8, 8))
    with pytest.raises(ValueError, match="a depth is needed"):
        random_fields(3, (8, 8), depths=[0.0])


def test_the_same_generator_gives_the_same_random_fields() -> None:
    a, b, c = (
        random_fields(70, (16, 16), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_a_larger_field_continues_a_smaller_one() -> None:
    small, large = simplex_fields([9], (20, 24)), simplex_fields([9], (40, 33))
    assert torch.allclose(large[:, :20, :24], small, atol=1e-6)


def test_mixed_precision_does_not_touch_the_fields() -> None:
    plain = simplex_fields([1], (16, 16))
    drawn = random_fields(2, (16, 16), torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(simplex_fields([1], (16, 16)), plain)
        again = random_fields(2, (16, 16), torch.Generator().manual_seed(0))
    assert torch.equal(again, drawn)


def test_no_field_at_all_is_an_empty_batch() -> None:
    assert simplex_fields([], (8, 9)).shape == (0, 8, 9)
    assert random_fields(0, (8, 9)).shape == (0, 8, 9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (0, 8)},
        {"shape": (8, -1)},
        {"count": 0},
        {"count": 1100},
        {"base_frequency": 1e17},
        {"z": 1e12},
        {"base_frequency": 0.0},
        {"base_frequency": -0.1},
        {"base_frequency": float("nan")},
        {"base_frequency": float("inf")},
        {"decay": float("nan")},
        {"decay": float("inf")},
        {"z": float("nan")},
    ],
    ids=str,
)
def test_parameters_out_of_range_are_refused(wrong: dict) -> None:
    shape, z = wrong.get("shape", (8, 8)), wrong.get("z", 0.0)
    octaves = {key: value for key, value in wrong.items() if key not in ("shape", "z")}
    with pytest.raises(ValueError, match=r"simplex noise (needs|is exact)"):
        simplex_fields([0], shape, octaves=Octaves(**octaves), z=z)


def test_the_first_use_in_a_process_is_silent() -> None:
    code = (
        "import warnings, torch, opensimplex\n"
        "from pipeline.noise.simplex import simplex_fields as s\n"
        "warnings.simplefilter('error'); s([1], (8, 8))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
