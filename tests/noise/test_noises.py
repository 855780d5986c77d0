"""One contract for every registered noise."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from pipeline.noise.noises import (
    NOISES,
    Coarse,
    Gaussian,
    Mixed,
    Noise,
    Simplex,
    VolumeNoise,
    derive_seed,
    make_noise,
    noise_at_test,
)

SHAPES = [(3, 2, 32, 32), (2, 1, 24, 48), (2, 3, 50, 17), (1, 1, 16, 16)]


@pytest.fixture(params=sorted(NOISES))
def noise(request: pytest.FixtureRequest) -> Noise:
    return make_noise(request.param)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_fields_have_the_shape_asked_for_zero_mean_and_unit_variance(
    noise: Noise, shape: tuple[int, ...]
) -> None:
    like = torch.empty(shape)
    for fields in (noise(like, generator()), noise.seeded(like, range(shape[0])), noise(like)):
        assert fields.shape == shape
        assert fields.dtype == like.dtype
        assert fields.device == like.device
        assert fields.mean((-2, -1)).abs().max() < 1e-4
        assert (fields.var((-2, -1), unbiased=False) - 1).abs().max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_fields_have_the_dtype_asked_for(noise: Noise, dtype: torch.dtype) -> None:
    like = torch.empty(2, 1, 16, 16, dtype=dtype)
    assert noise(like).dtype == noise.seeded(like, [1, 2]).dtype == dtype


def test_the_values_of_the_image_are_not_used(noise: Noise) -> None:
    full = torch.full((2, 1, 16, 16), torch.nan)
    assert torch.equal(noise(full, generator()), noise(torch.zeros_like(full), generator()))


def test_every_sample_and_channel_has_a_field_of_its_own(noise: Noise) -> None:
    like = torch.empty(3, 3, 48, 48)
    for fields in (noise(like, generator()), noise.seeded(like, [11, 2**40, 500])):
        flat = fields.flatten(0, 1)
        for i in range(9):
            for j in range(i):
                assert abs(correlation(flat[i], flat[j])) < 0.8


def test_a_generator_fixes_the_draw(noise: Noise) -> None:
    like = torch.empty(2, 1, 24, 24)
    assert torch.equal(noise(like, generator(3)), noise(like, generator(3)))
    assert not torch.equal(noise(like, generator(3)), noise(like, generator(4)))
    shared = generator(3)
    assert not torch.equal(noise(like, shared), noise(like, shared))


def test_without_a_generator_torch_s_own_seed_fixes_the_draw(noise: Noise) -> None:
    like = torch.empty(2, 1, 24, 24)
    torch.manual_seed(0)
    first = noise(like)
    torch.manual_seed(0)
    assert torch.equal(noise(like), first)


@pytest.mark.parametrize("n_channels", [1, 2])
def test_a_seeded_sample_depends_on_its_own_seed_alone(noise: Noise, n_channels: int) -> None:
    seeds = [derive_seed("test", i) for i in range(6)]
    like = torch.empty(6, n_channels, 24, 40)
    together = noise.seeded(like, seeds)
    backwards = noise.seeded(like, seeds[::-1]).flip(0)
    alone = torch.cat([noise.seeded(like[:1], [seed]) for seed in seeds])
    torch.manual_seed(1)
    again = noise.seeded(like[2:5], seeds[2:5])
    assert (together - backwards).abs().max() < 1e-6
    # Fewer fields are another shape for the matrix product, which some CPUs then round otherwise.
    assert (together - alone).abs().max() < 4e-6
    assert (together[2:5] - again).abs().max() < 4e-6


def test_neighbouring_seeds_do_not_share_a_field(noise: Noise) -> None:
    fields = noise.seeded(torch.empty(2, 2, 32, 32), [7, 8])
    assert abs(correlation(fields[0, 1], fields[1, 0])) < 0.8


def test_seeding_leaves_torch_s_own_generator_alone(noise: Noise) -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    noise.seeded(torch.empty(1, 1, 16, 16), [5])
    assert torch.equal(torch.rand(1), expected)


def test_drawing_from_a_generator_leaves_torch_s_own_alone(noise: Noise) -> None:
    before = torch.get_rng_state()
    noise(torch.empty(2, 1, 16, 16), generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_seed_is_needed_for_each_sample(noise: Noise) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        noise.seeded(torch.empty(3, 1, 16, 16), [1, 2])


def test_an_empty_batch_gives_no_fields(noise: Noise) -> None:
    like = torch.empty(0, 2, 16, 16)
    assert noise(like, generator()).shape == noise.seeded(like, []).shape == like.shape


# Noise in volumes ---------------------------------------------------------------------------------

VOLUME_NOISES = sorted(name for name, kind in NOISES.items() if issubclass(kind, VolumeNoise))


@pytest.fixture(params=VOLUME_NOISES)
def volume_noise(request: pytest.FixtureRequest) -> VolumeNoise:
    noise = make_noise(request.param)
    assert isinstance(noise, VolumeNoise)
    return noise


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sections_have_the_shape_asked_for_zero_mean_and_unit_variance(
    volume_noise: VolumeNoise, shape: tuple[int, ...]
) -> None:
    like = torch.empty(shape, dtype=torch.bfloat16)
    depths = [1.5 * i for i in range(shape[0])]
    assert volume_noise.sections(like, depths, generator()).dtype == torch.bfloat16
    like = like.float()
    drawn = volume_noise.sections(like, depths, generator())
    for fields in (drawn, volume_noise.seeded_sections(like, [5] * shape[0], depths)):
        assert fields.shape == shape
        assert fields.mean((-2, -1)).abs().max() < 1e-4
        assert (fields.var((-2, -1), unbiased=False) - 1).abs().max() < 1e-4


def test_sections_of_one_seed_belong_together_and_drawn_ones_do_not(
    volume_noise: VolumeNoise,
) -> None:
    like = torch.empty(8, 2, 48, 48)
    depths = [10 + 0.5 * i for i in range(8)]
    one = volume_noise.seeded_sections(like, [3] * 8, depths)
    others = volume_noise.seeded_sections(like, range(8), depths)
    drawn = volume_noise.sections(like, depths, generator())
    assert all(correlation(a, b) > 0.8 for a, b in pairwise(one))
    assert all(
        abs(correlation(a, b)) < 0.7 for fields in (others, drawn) for a, b in pairwise(fields)
    )
    # Channels are volumes of their own.
    assert abs(correlation(one[:, 0], one[:, 1])) < 0.7


def test_every_channel_of_a_section_lies_at_its_depth(volume_noise: VolumeNoise) -> None:
    like, depths = torch.empty(2, 2, 24, 32), [7.3, 20.0]
    seeded = volume_noise.seeded_sections(like, [1, 2], depths)
    moved = volume_noise.seeded_sections(like, [1, 2], [7.8, 20.5])
    far = volume_noise.seeded_sections(like, [1, 2], [0.0, 0.0])
    drawn = volume_noise.sections(like, depths, generator())
    shallow = volume_noise.sections(like, [0.0, 0.0], generator())
    for i in range(2):
        for channel in range(2):
            assert correlation(seeded[i, channel], moved[i, channel]) > 0.8
            assert abs(correlation(seeded[i, channel], far[i, channel])) < 0.8
            # The same draws, elsewhere: an operator that ignored the depth would repeat them.
            assert abs(correlation(drawn[i, channel], shallow[i, channel])) < 0.9


def test_a_section_does_not_depend_on_the_others(volume_noise: VolumeNoise) -> None:
    like = torch.empty(4, 1, 24, 32)
    depths = [0.0, 3.0, 3.0, 40.5]
    together = volume_noise.seeded_sections(like, [1, 1, 2, 2], depths)
    for i, seed in enumerate((1, 1, 2, 2)):
        alone = volume_noise.seeded_sections(like[:1], [seed], [depths[i]])
        assert (together[i] - alone[0]).abs().max() < 1e-5


def test_a_depth_is_needed_for_each_sample(volume_noise: VolumeNoise) -> None:
    like = torch.empty(3, 2, 16, 16)
    with pytest.raises(ValueError, match="a depth is needed for each sample"):
        volume_noise.sections(like, [1.0, 2.0])
    with pytest.raises(ValueError, match="a depth is needed for each sample"):
        volume_noise.seeded_sections(like, [1, 2, 3], [1.0, 2.0])


def test_a_section_at_depth_zero_is_the_field_of_the_seed(volume_noise: VolumeNoise) -> None:
    like = torch.empty(2, 2, 24, 24)
    sections = volume_noise.seeded_sections(like, [8, 9], [0.0, 0.0])
    assert torch.allclose(sections, volume_noise.seeded(like, [8, 9]), atol=1e-5)


def test_typical_depths_differ_and_lie_within_a_period_of_the_lattice() -> None:
    depths = Simplex(base_frequency=0.125).typical_depths(8)
    assert len({round(depth, 3) for depth in depths}) == 8
    assert all(0 <= depth < 48 for depth in depths)
    edges = [0.0, *sorted(depths), 48.0]
    assert max(b - a for a, b in pairwise(edges)) < 12


# What sets them apart -----------------------------------------------------------------------------


def band_power(fields: torch.Tensor) -> list[float]:
    """Mean power in octave bands of the spatial frequency, from coarse to fine."""
    size = fields.shape[-1]
    frequency = torch.fft.fftfreq(size) * size
    radius = torch.hypot(frequency[:, None], frequency)
    spectrum = torch.fft.fft2(fields).abs().square().mean((0, 1))
    edges = [1, 2, 4, 8, 16, 32]
    return [
        float(spectrum[(radius >= low) & (radius < high)].mean()) for low, high in pairwise(edges)
    ]


def test_simplex_noise_falls_with_frequency_and_white_noise_does_not() -> None:
    like = torch.empty(60, 1, 64, 64)
    simplex = band_power(Simplex()(like, generator()))
    white = band_power(Gaussian()(like, generator()))
    assert all(b < 0.75 * a for a, b in pairwise(simplex[1:]))
    assert simplex[0] > 20 * simplex[-1]
    assert max(white) < 1.2 * min(white)


def test_the_standard_deviation_before_scaling_is_near_a_half_as_in_brain_damage() -> None:
    raw = Simplex().draw(200, torch.empty(1, 1, 128, 128), generator())
    assert 0.4 < float(raw.std()) < 0.6


def test_coarse_noise_is_smooth_within_a_cell() -> None:
    fields = Coarse(cells=4)(torch.empty(50, 1, 64, 64), generator())
    inner = fields[..., 1:] - fields[..., :-1]
    # The roll leaves one seam; elsewhere 16 pixels a cell make small steps.
    assert float(inner.abs().median()) < 0.15
    spectrum = band_power(fields)
    assert spectrum[0] > 100 * spectrum[-1]


# Registry and seeds -------------------------------------------------------------------------------


def test_a_noise_is_made_by_its_name_and_parameters() -> None:
    assert make_noise("simplex", octaves=3) == Simplex(octaves=3)
    assert make_noise("coarse", cells=8) == Coarse(cells=8)


def test_an_unknown_noise_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"perlin.*coarse, gaussian, mixed, simplex"):
        make_noise("perlin")


@pytest.mark.parametrize(
    "wrong",
    [
        {"octaves": 2.5},
        {"octaves": float("inf")},
        {"octaves": 17},
        {"base_frequency": float("inf")},
        {"base_frequency": 6.0},
        {"decay": float("nan")},
        {"decay": 1e30},
    ],
    ids=str,
)
def test_parameters_that_give_no_noise_are_refused_before_any_is_drawn(wrong: dict) -> None:
    with pytest.raises(ValueError, match="simplex needs whole octaves"):
        Simplex(**wrong)


def test_whole_octaves_may_be_written_with_a_point() -> None:
    like = torch.empty(1, 1, 16, 16)
    assert torch.equal(Simplex(octaves=3.0).seeded(like, [1]), Simplex(octaves=3).seeded(like, [1]))


def test_seeds_may_be_numpy_s() -> None:
    like = torch.empty(2, 2, 8, 8)
    expected = Simplex().seeded(like, [1, 2])
    assert torch.equal(Simplex().seeded(like, np.array([1, 2])), expected)


def test_a_derived_seed_never_changes_between_releases() -> None:
    assert derive_seed(0, "case", 12, 200, 0) == 879165701279203375
    assert 0 <= derive_seed() < 2**62


def test_each_part_of_a_derived_seed_counts() -> None:
    base = (0, "case", 12, 200, 0)
    changed = [(1, *base[1:]), (0, "other", *base[2:]), (*base[:2], 13, *base[3:]), (*base[:4], 1)]
    swapped = (0, "case", 200, 12, 0)
    assert len({derive_seed(*parts) for parts in (base, *changed, swapped)}) == 6
    assert derive_seed("ab", "c") != derive_seed("a", "bc")


def _roughness(fields: torch.Tensor) -> torch.Tensor:
    """Mean squared step from pixel to pixel: 2 for white noise of unit variance."""
    return fields.diff(dim=-1).square().mean((-2, -1)).flatten()


def test_mixed_noise_draws_each_kind_as_often_as_its_share_says() -> None:
    like = torch.empty(600, 1, 32, 32)
    parts = {
        name: _roughness(make_noise(name)(like[:50], generator()))
        for name in ("coarse", "simplex", "gaussian")
    }
    assert parts["coarse"].max() < parts["gaussian"].min()
    assert parts["simplex"].max() < parts["gaussian"].min()
    mixed = _roughness(Mixed(simplex=0, gaussian=1, coarse=3)(like, generator()))
    white = (mixed > parts["gaussian"].min() * 0.95).float().mean()
    assert white == pytest.approx(0.25, abs=0.06)
    coarse_alone = Mixed(simplex=0, gaussian=0, coarse=1)(like[:50], generator(3))
    simplex_alone = Mixed(simplex=1, gaussian=0, coarse=0)(like[:50], generator(3))
    assert _roughness(coarse_alone).mean() > 1.5 * _roughness(simplex_alone).mean()
    assert noise_at_test(Mixed()) == Simplex()
    assert noise_at_test(Gaussian()) == Gaussian()


@pytest.mark.parametrize(
    "shares", [(-1, 1, 1), (0, 0, 0), (float("nan"), 1, 1), (float("inf"), 1, 1)]
)
def test_shares_that_are_none_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="shares"):
        Mixed(*shares)
