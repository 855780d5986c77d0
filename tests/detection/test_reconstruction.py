"""Restoring slices with networks that can be computed by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_models import untrained
from torch import Tensor, nn

from pipeline.cases.grid import Grid
from pipeline.detection import reconstruction
from pipeline.detection.reconstruction import chain_path, evaluations_per_slice, reconstruct
from pipeline.noise import lattice
from pipeline.noise.noises import VolumeNoise, derive_seed
from pipeline.run.config import DetectionConfig, DiffusionConfig, RunConfig
from pipeline.run.model import Model


class Halving(nn.Module):
    """A cheap network whose answer depends on image and timestep, slice by slice."""

    def __init__(self) -> None:
        super().__init__()
        self.evaluations = 0

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        self.evaluations += len(x)
        rolled = torch.roll(x, 1, dims=-1)
        return 0.5 * x - 0.2 * rolled + timesteps.reshape(-1, 1, 1, 1) / 1000


def model(noise: str = "simplex", prediction_type: str = "epsilon") -> Model:
    diffusion = DiffusionConfig(noise=noise, prediction_type=prediction_type)
    config = RunConfig(diffusion=diffusion, grid=Grid(16, 1.25, 3.0))
    return untrained(config, Halving())


def stack(n: int = 9, n_channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, n_channels, 16, 16, generator=generator) * 1.8 - 0.9


ONE_SHOT = DetectionConfig(timesteps=(100, 300), draws=2)
COHERENT = DetectionConfig(timesteps=(100, 300), draws=2, coherent_noise=True)
CHAIN = DetectionConfig(reconstruction="chain", timesteps=(40,), draws=2, chain_stride=15)


@pytest.mark.parametrize("config", [ONE_SHOT, CHAIN], ids=["one_shot", "chain"])
@pytest.mark.parametrize("noise", ["simplex", "gaussian", "coarse"])
def test_a_slice_s_result_does_not_depend_on_the_batch_size(
    config: DetectionConfig, noise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for batch_size in (1, 4, 9, 32):
        monkeypatch.setattr(reconstruction, "BATCH_SIZE", batch_size)
        results.append(reconstruct(model(noise), stack(), config, content="a", seed=0))
    for result in results[1:]:
        assert (result - results[0]).abs().max() < 1e-5


def test_coherent_noise_is_one_volume_at_the_depths_of_the_slices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields: list[Tensor] = []
    coherent = model()
    add_noise = coherent.scheduler.add_noise
    monkeypatch.setattr(
        coherent.scheduler,
        "add_noise",
        lambda images, noise, t: (fields.append(noise), add_noise(images, noise, t))[1],
    )
    first = reconstruct(coherent, stack(), COHERENT, content="a", seed=0)
    assert len(fields) == 4
    depths = [2.4 * i for i in range(9)]
    noise = coherent.scheduler.noise
    assert isinstance(noise, VolumeNoise)
    seed = derive_seed(0, "a", 300, 1, 300)
    torch.testing.assert_close(fields[3], noise.seeded_sections(stack(), [seed] * 9, depths))
    monkeypatch.setattr(reconstruction, "BATCH_SIZE", 4)
    assert (reconstruct(model(), stack(), COHERENT, content="a", seed=0) - first).abs().max() < 1e-5


def test_slices_lie_where_they_are_in_the_stack_of_the_case() -> None:
    whole = reconstruct(model(), stack(), COHERENT, content="a", seed=0)
    places = [3, 4, 8]
    some = reconstruct(model(), stack()[places], COHERENT, content="a", seed=0, positions=places)
    assert (some - whole[:, :, places]).abs().max() < 1e-5
    whole = reconstruct(model(), stack(), ONE_SHOT, content="a", seed=0)
    some = reconstruct(model(), stack()[places], ONE_SHOT, content="a", seed=0, positions=places)
    assert (some - whole[:, :, places]).abs().max() < 1e-5


def test_a_coherent_batch_is_so_small_that_its_operators_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lattice, "_cache", type(lattice._cache)())
    monkeypatch.setattr(lattice, "_CACHE_BYTES", 3_000_000)
    built: list[tuple] = []
    build = lattice._build_grid
    monkeypatch.setattr(lattice, "_build_grid", lambda *key: (built.append(key), build(*key))[1])
    reconstruct(model(), stack(30), COHERENT, content="a", seed=0)
    assert len(built) == 31  # One for each slice, and one to know its size.


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
def test_a_clean_reconstruction_asks_the_network_once_and_adds_no_noise(
    prediction_type: str,
) -> None:
    config = DetectionConfig(reconstruction="clean", timesteps=(200,), draws=3)
    clean = model(prediction_type=prediction_type)
    restored = reconstruct(clean, stack(), config, content="a", seed=0)
    assert clean.network.evaluations == 9
    scheduler = clean.scheduler
    x_t = scheduler.alpha_bar(200, stack()).sqrt() * stack()
    output = Halving()(x_t, torch.tensor([200]))
    expected = scheduler.predict_x_0(output, 200, x_t)
    torch.testing.assert_close(restored[0, 0], expected)
    other = reconstruct(clean, stack(), config, content="b", seed=5)
    assert torch.equal(other, restored)


def test_coherent_noise_of_a_noise_without_volumes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs a noise in 3-D; got Gaussian"):
        reconstruct(model("gaussian"), stack(), COHERENT, content="a", seed=0)


def test_each_step_of_a_coherent_chain_has_a_volume_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coherent = model()
    fields: list[Tensor] = []
    step = coherent.scheduler.step

    def watched(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if args[4] is not None:
            fields.append(args[4])
        return step(*args, **kwargs)

    monkeypatch.setattr(coherent.scheduler, "step", watched)
    config = replace(CHAIN, coherent_noise=True, draws=1)
    reconstruct(coherent, stack(), config, content="a", seed=0)
    assert len(fields) == 2
    assert not torch.allclose(fields[0], fields[1], atol=0.1)


def test_a_slice_s_result_does_not_depend_on_the_others_in_the_stack() -> None:
    slices = stack()
    whole = reconstruct(model(), slices, ONE_SHOT, content="a", seed=0)
    fewer = reconstruct(model(), slices[:4], ONE_SHOT, content="a", seed=0)
    other = slices.clone()
    other[[0, 2]] = -1.0
    changed = reconstruct(model(), other, ONE_SHOT, content="a", seed=0)
    assert (whole[:, :, :4] - fewer).abs().max() < 1e-6
    untouched = [1, *range(3, 9)]
    assert torch.equal(whole[:, :, untouched], changed[:, :, untouched])


def test_a_case_s_result_does_not_depend_on_the_cases_before_it() -> None:
    restorer = model()
    torch.manual_seed(0)
    first = reconstruct(restorer, stack(), CHAIN, content="a", seed=0)
    reconstruct(restorer, stack(3), ONE_SHOT, content="b", seed=0)
    torch.manual_seed(1)
    assert torch.equal(reconstruct(restorer, stack(), CHAIN, content="a", seed=0), first)


def test_case_seed_slice_timestep_and_draw_each_give_other_noise() -> None:
    slices = stack(1).expand(2, -1, -1, -1)
    one_draw = DetectionConfig(timesteps=(200,), draws=1)
    base = reconstruct(model(), slices, one_draw, content="a", seed=0)
    assert not torch.allclose(base[0, 0, 0], base[0, 0, 1])
    two = reconstruct(
        model(), slices, DetectionConfig(timesteps=(200,), draws=2), content="a", seed=0
    )
    assert torch.equal(two[:, :1], base)
    assert not torch.allclose(two[0, 0], two[0, 1])
    for other in (
        reconstruct(model(), slices, one_draw, content="b", seed=0),
        reconstruct(model(), slices, one_draw, content="a", seed=1),
    ):
        assert not torch.allclose(base, other)


@pytest.mark.parametrize("config", [ONE_SHOT, CHAIN], ids=["one_shot", "chain"])
def test_the_result_has_a_place_for_every_timestep_and_stays_in_range(
    config: DetectionConfig,
) -> None:
    slices = stack(5, n_channels=2)
    before = slices.clone()
    restored = reconstruct(model(), slices, config, content="a", seed=0)
    assert restored.shape == (len(config.timesteps), config.draws, *slices.shape)
    assert restored.dtype == torch.float32
    assert restored.abs().max() <= 1
    assert torch.equal(slices, before)
    assert not restored.requires_grad


def test_each_timestep_is_restored_as_if_it_were_alone() -> None:
    together = reconstruct(model(), stack(), ONE_SHOT, content="a", seed=0)
    for i, t in enumerate(ONE_SHOT.timesteps):
        alone = DetectionConfig(timesteps=(t,), draws=2)
        assert torch.equal(
            together[i], reconstruct(model(), stack(), alone, content="a", seed=0)[0]
        )


def test_the_mean_of_draws_varies_less_than_one() -> None:
    slices = stack(2)

    def restored(draws: int, seed: int) -> Tensor:
        config = DetectionConfig(timesteps=(300,), draws=draws)
        return reconstruct(model(), slices, config, content="a", seed=seed).mean(1)

    spread = [
        torch.stack([restored(draws, seed) for seed in range(12)]).std(0).mean()
        for draws in (1, 16)
    ]
    assert 0.15 < spread[1] / spread[0] < 0.4


def test_an_identity_of_x_0_is_returned_unchanged() -> None:
    class Knows(nn.Module):
        def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
            return stack(len(x))

    diffusion = DiffusionConfig(prediction_type="sample")
    knows = untrained(RunConfig(diffusion=diffusion), Knows())
    for config in (ONE_SHOT, CHAIN):
        restored = reconstruct(knows, stack(), config, content="a", seed=0)
        assert (restored - stack()).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (DetectionConfig(timesteps=(200,), draws=1), 1),
        (DetectionConfig(reconstruction="clean", timesteps=(100, 200), draws=3), 2),
        (DetectionConfig(timesteps=(100, 200, 300), draws=3), 9),
        (DetectionConfig(reconstruction="chain", timesteps=(250,), draws=1), 251),
        (DetectionConfig(reconstruction="chain", timesteps=(50,), draws=2, chain_stride=10), 12),
        (DetectionConfig(reconstruction="chain", timesteps=(7, 50), draws=1, chain_stride=8), 8),
        (DetectionConfig(reconstruction="chain", timesteps=(0,), draws=1), 1),
    ],
)
def test_the_evaluations_of_a_slice_are_counted(config: DetectionConfig, expected: int) -> None:
    restorer = model("gaussian")
    reconstruct(restorer, stack(3), config, content="a", seed=0)
    assert evaluations_per_slice(config) == expected
    assert restorer.network.evaluations == 3 * expected


@pytest.mark.parametrize(
    ("timestep", "stride", "path"),
    [(3, 1, [3, 2, 1, 0]), (10, 4, [10, 6, 2]), (0, 5, [0]), (9, 3, [9, 6, 3, 0])],
)
def test_a_chain_goes_down_in_strides(timestep: int, stride: int, path: list[int]) -> None:
    assert chain_path(timestep, stride) == path


def test_ddim_draws_the_forward_noise_alone_and_walks_the_path_of_the_chain() -> None:
    walk = {"timesteps": (40,), "draws": 1, "chain_stride": 15}
    ddim = DetectionConfig(reconstruction="ddim", **walk)
    ours = model()
    restored = reconstruct(ours, stack(), ddim, content="a", seed=0)
    assert ours.network.evaluations == 9 * evaluations_per_slice(ddim) == 9 * 3
    seeds = [derive_seed(0, "a", i, 40, 0, 40) for i in range(9)]
    x_t = ours.scheduler.add_noise(stack(), ours.scheduler.noise.seeded(stack(), seeds), 40)
    for t, t_prev in ((40, 25), (25, 10), (10, -1)):
        x_0 = ours.scheduler.predict_x_0(Halving()(x_t, torch.tensor([t])), t, x_t)
        a_t, a_p = (ours.scheduler.alpha_bar(step, x_t) for step in (t, t_prev))
        epsilon = (x_t - a_t.sqrt() * x_0) / (1 - a_t).sqrt()
        x_t = a_p.sqrt() * x_0 + (1 - a_p).sqrt() * epsilon
    torch.testing.assert_close(restored[0, 0], x_t)
    chain = replace(ddim, reconstruction="chain")
    assert not torch.allclose(restored, reconstruct(model(), stack(), chain, content="a", seed=0))


def test_a_network_of_mixed_noises_is_given_simplex_noise() -> None:
    mixed = reconstruct(model("mixed"), stack(), ONE_SHOT, content="a", seed=0)
    assert torch.equal(mixed, reconstruct(model("simplex"), stack(), ONE_SHOT, content="a", seed=0))
    assert (model("mixed").noise, model("coarse").noise) == ("simplex", "coarse")
