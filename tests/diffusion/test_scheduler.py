"""The diffusion process against MONAI's, and against the statistics it must have."""

from __future__ import annotations

import pytest
import torch
from monai.inferers import DiffusionInferer
from monai.networks.schedulers import DDPMScheduler
from torch import Tensor, nn

from pipeline.diffusion.scheduler import PREDICTIONS, SCHEDULES, SimplexDDPMScheduler
from pipeline.noise.noises import Gaussian, Simplex

T = 1000


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 1.8 - 0.9


def white(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Oracle(nn.Module):
    """A network that knows x_0, and answers as the scheduler's prediction type wants it."""

    def __init__(self, scheduler: SimplexDDPMScheduler, x_0: Tensor) -> None:
        super().__init__()
        self.scheduler, self.x_0 = scheduler, x_0
        self.asked: list[int] = []

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor | None = None) -> Tensor:
        self.asked.append(int(timesteps[0]))
        t = timesteps.long().expand(len(x))
        a = self.scheduler.alpha_bar(t, x)
        noise = (x - a.sqrt() * self.x_0) / (1 - a).sqrt()
        return self.scheduler.target(self.x_0, noise, t)


# Twins --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_forward_process_is_monai_s_at_every_timestep(schedule: str) -> None:
    ours = SimplexDDPMScheduler(T, schedule)
    twin = DDPMScheduler(T, SCHEDULES[schedule])
    x_0, noise, t = images(T, 1, 2, 3), white(T, 1, 2, 3), torch.arange(T)
    assert torch.allclose(ours.add_noise(x_0, noise, t), twin.add_noise(x_0, noise, t), atol=1e-6)
    alone = torch.cat([ours.add_noise(x_0[i : i + 1], noise[i : i + 1], i) for i in range(T)])
    assert torch.equal(alone, ours.add_noise(x_0, noise, t))


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("t", [1, 2, 10, 250, 500, 998, 999])
def test_a_step_of_stride_1_has_monai_s_mean_and_variance(
    schedule: str, prediction: str, clip: bool, t: int
) -> None:
    ours = SimplexDDPMScheduler(T, schedule, prediction, clip_sample=clip)
    twin = DDPMScheduler(T, SCHEDULES[schedule], prediction_type=prediction, clip_sample=clip)
    x_t, answer = white(2, 1, 8, 8, seed=2), white(2, 1, 8, 8, seed=3)
    # Both divide by 1 - alpha_bar in float32, which cancels at small t: 2e-4 at 1, 1e-6 at 250.
    tolerance = 1e-6 + 2.4e-7 / (1 - float(ours.alphas_cumprod[t]))
    mean, x_0 = ours.step(answer, t, x_t, t - 1, noise=torch.zeros_like(x_t))
    spread = ours.step(answer, t, x_t, t - 1, noise=torch.ones_like(x_t))[0] - mean
    # Without clipping, epsilon is blown up by 1 / sqrt(alpha_bar).
    size = max(1.0, float(x_0.abs().max()))
    twin_x_0 = twin.step(answer, t, x_t)[1]
    assert torch.allclose(x_0, twin_x_0, atol=1e-6 * size, rtol=1e-5)
    twin_mean = twin._get_mean(t, twin_x_0, x_t)
    assert (mean - twin_mean).abs().max() < tolerance * size
    variance = float(twin._get_variance(t))
    assert float((spread.square() - variance).abs().max()) < max(2e-4 * variance, 1e-6 * size)
    # The whole of MONAI's step, with the field it draws.
    field = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(4))
    stepped = twin.step(answer, t, x_t, generator=torch.Generator().manual_seed(4))[0]
    assert (ours.step(answer, t, x_t, noise=field)[0] - stepped).abs().max() < 5 * tolerance * size


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_last_step_gives_the_predicted_image(prediction: str) -> None:
    ours = SimplexDDPMScheduler(T, "linear", prediction)
    twin = DDPMScheduler(T, "linear_beta", prediction_type=prediction)
    x_t, answer = white(2, 1, 8, 8, seed=2), white(2, 1, 8, 8, seed=3)
    stepped, x_0 = ours.step(answer, 0, x_t)
    assert torch.equal(stepped, x_0)
    assert torch.allclose(stepped, twin.step(answer, 0, x_t)[0], atol=1e-3)


# Facts --------------------------------------------------------------------------------------------


def test_the_cosine_schedule_is_that_of_nichol_and_dhariwal() -> None:
    """Equation 17, s = 0.008, up to the clipping of beta at its end."""
    ours = SimplexDDPMScheduler(T, "cosine")
    u = (torch.arange(1, 990, dtype=torch.float64) / T + 0.008) / 1.008
    start = torch.cos(torch.tensor(0.008 / 1.008 * torch.pi / 2, dtype=torch.float64)) ** 2
    expected = torch.cos(u * torch.pi / 2) ** 2 / start
    assert (ours.alphas_cumprod[:989].double() - expected).abs().max() < 2e-3


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_alpha_bar_falls_from_almost_one_to_almost_zero(schedule: str) -> None:
    ours = SimplexDDPMScheduler(T, schedule)
    a = ours.alpha_bar(torch.arange(-1, T), torch.empty(T + 1, 1, 1, 1)).reshape(-1)
    assert a[0] == 1
    assert (a.diff() < 0).all()
    assert a[1] > 0.999
    assert 0 < a[-1] < 1e-3


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_prediction_target_gives_back_the_image_at_every_timestep(
    schedule: str, prediction: str
) -> None:
    ours = SimplexDDPMScheduler(T, schedule, prediction, clip_sample=False)
    x_0, noise, t = images(T, 1, 4, 4), white(T, 1, 4, 4), torch.arange(T)
    x_t = ours.add_noise(x_0, noise, t)
    back = ours.predict_x_0(ours.target(x_0, noise, t), t, x_t)
    float_error = 2e-6 / ours.alpha_bar(t, x_0).sqrt() if prediction == "epsilon" else 2e-6
    assert ((back - x_0).abs() <= float_error).all()


def test_clipping_keeps_the_prediction_in_range() -> None:
    answer = white(1, 1, 8, 8) * 9
    for clip, limit in ((True, 1.0), (False, 5.0)):
        ours = SimplexDDPMScheduler(T, prediction_type="sample", clip_sample=clip)
        x_0 = ours.predict_x_0(answer, 10, answer)
        assert (float(x_0.abs().max()) <= limit) is clip


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("path", [(999, 998, 3, 2, 0), (900, 610, 333, 120, 17), (50,), (400, 1)])
def test_any_walk_back_has_the_forward_marginals_and_ends_at_the_image(
    schedule: str, path: tuple[int, ...]
) -> None:
    """Composing posteriors q(x_s | x_t, x_0) gives q(x_s | x_0), whatever the strides."""
    n = 40_000
    ours = SimplexDDPMScheduler(T, schedule, "sample")
    x_0 = torch.full((n, 1, 1, 1), 0.6)
    generator = torch.Generator().manual_seed(0)

    def gaussian() -> Tensor:
        return torch.randn(x_0.shape, generator=generator)

    x_t = ours.add_noise(x_0, gaussian(), path[0])
    for t, t_prev in zip(path, [*path[1:], -1], strict=True):
        x_t, _ = ours.step(x_0, t, x_t, t_prev, gaussian())
        a = float(ours.alpha_bar(t_prev, x_0))
        assert abs(float(x_t.mean()) - a**0.5 * 0.6) <= 5 * ((1 - a) / n) ** 0.5 + 1e-6
        assert abs(float(x_t.var()) - (1 - a)) <= 5 * (1 - a) * (2 / n) ** 0.5 + 1e-9
    assert torch.equal(x_t, x_0)


def test_a_strided_step_is_the_posterior_of_equation_7() -> None:
    """By Bayes' rule on scalars: q(x_s | x_t, x_0) of q(x_s | x_0) and q(x_t | x_s)."""
    ours = SimplexDDPMScheduler(T, "linear", "sample")
    t, s = 700, 420
    x_0, x_t = torch.full((1, 1, 1, 1), -0.4), torch.full((1, 1, 1, 1), 0.9)
    a_t, a_s = (float(ours.alphas_cumprod[i]) for i in (t, s))
    ratio = a_t / a_s
    precision = 1 / (1 - a_s) + ratio / (1 - ratio)
    mean = (a_s**0.5 * -0.4 / (1 - a_s) + ratio**0.5 * 0.9 / (1 - ratio)) / precision
    ones = torch.ones_like(x_0)
    low, high = (float(ours.step(x_0, t, x_t, s, noise)[0]) for noise in (0 * ones, ones))
    assert abs(low - mean) < 1e-6
    assert abs((high - low) ** 2 - 1 / precision) < 1e-6


# Precision and devices ----------------------------------------------------------------------------


def test_half_precision_images_do_not_round_the_schedule() -> None:
    ours = SimplexDDPMScheduler(T)
    before = ours.alphas_cumprod.clone()
    x_0, noise = images(2, 1, 8, 8), white(2, 1, 8, 8)
    for dtype in (torch.bfloat16, torch.float16):
        x_t = ours.add_noise(x_0.to(dtype), noise.to(dtype), torch.tensor([3, 500]))
        assert x_t.dtype == dtype
        exact = ours.add_noise(x_0, noise, torch.tensor([3, 500]))
        assert torch.allclose(x_t.float(), exact, atol=3 * torch.finfo(dtype).eps)
        assert ours.alphas_cumprod.dtype == torch.float32
        assert torch.equal(ours.alphas_cumprod, before)


# Reconstruction -----------------------------------------------------------------------------------


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("path", [None, range(250, -1, -1), (250, 100, 99, 0), (250, 125)])
def test_a_network_that_knows_the_image_reconstructs_it(
    prediction: str, path: tuple[int, ...] | None
) -> None:
    ours = SimplexDDPMScheduler(T, prediction_type=prediction)
    x_0 = images(2, 1, 16, 16)
    oracle = Oracle(ours, x_0)
    requested: list[int] = []

    def noise_at(t: int) -> Tensor:
        requested.append(t)
        return ours.noise.seeded(x_0, [t, t + 5000])

    restored = ours.reconstruct(oracle, x_0, 250, noise_at, path=path)
    assert (restored - x_0).abs().max() < 1e-4
    assert oracle.asked == [250] if path is None else oracle.asked == list(path)
    assert requested == oracle.asked


def test_the_one_shot_is_the_prediction_at_the_perturbed_image() -> None:
    ours = SimplexDDPMScheduler(T)
    x_0, noise = images(2, 1, 8, 8), white(2, 1, 8, 8)

    def network(x: Tensor, timesteps: Tensor) -> Tensor:
        return 0.5 * x + timesteps.reshape(-1, 1, 1, 1) / T

    x_t = ours.add_noise(x_0, noise, 200)
    expected = ours.predict_x_0(0.5 * x_t + 0.2, 200, x_t)
    restored = ours.reconstruct(network, x_0, 200, lambda t: noise)
    assert torch.allclose(restored, expected, atol=1e-6)
    assert restored.abs().max() <= 1


@pytest.mark.parametrize("path", [(), (100, 50), (200, 200), (200, 201), (200, 50, 60), (200, -1)])
def test_a_path_that_does_not_go_down_from_the_timestep_is_refused(path: tuple[int, ...]) -> None:
    ours = SimplexDDPMScheduler(T)
    x_0 = images(1, 1, 8, 8)
    with pytest.raises(ValueError, match=r"path starts at t=200|a step goes down"):
        ours.reconstruct(Oracle(ours, x_0), x_0, 200, lambda t: white(1, 1, 8, 8), path=path)


@pytest.mark.parametrize(("t", "t_prev"), [(10, 10), (10, 11), (10, -2), (T, 5), (-1, None)])
def test_a_step_that_does_not_go_down_is_refused(t: int, t_prev: int | None) -> None:
    ours = SimplexDDPMScheduler(T)
    x = images(1, 1, 8, 8)
    with pytest.raises(ValueError, match="a step goes down"):
        ours.step(x, t, x, t_prev)


def test_the_field_of_a_step_is_drawn_from_the_scheduler_s_noise() -> None:
    x_t, answer = images(1, 1, 16, 16), images(1, 1, 16, 16, seed=1)
    for noise in (Simplex(), Gaussian()):
        ours = SimplexDDPMScheduler(T, noise=noise)
        drawn = ours.step(answer, 300, x_t, 200, generator=torch.Generator().manual_seed(3))[0]
        field = noise(x_t, torch.Generator().manual_seed(3))
        assert torch.equal(drawn, ours.step(answer, 300, x_t, 200, noise=field)[0])


# Sampling -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_steps", [1, 2, 5, 13])
def test_sampling_asks_the_network_as_often_as_told(n_steps: int) -> None:
    ours = SimplexDDPMScheduler(50, prediction_type="sample")
    x_0 = images(2, 1, 16, 16)
    oracle = Oracle(ours, x_0)
    sample = ours.sample(oracle, ours.noise(x_0), n_steps)
    assert len(oracle.asked) == n_steps
    assert oracle.asked[0] == 49
    assert oracle.asked == sorted(set(oracle.asked), reverse=True)
    assert torch.equal(sample, x_0)


def test_sampling_takes_every_timestep_by_default() -> None:
    ours = SimplexDDPMScheduler(20)
    oracle = Oracle(ours, images(1, 1, 16, 16))
    ours.sample(oracle, ours.noise(oracle.x_0))
    assert oracle.asked == list(range(19, -1, -1))


# MONAI --------------------------------------------------------------------------------------------


def test_monai_s_inferer_perturbs_with_our_scheduler() -> None:
    ours = SimplexDDPMScheduler(T)
    x_0, t = images(3, 1, 16, 16), torch.tensor([0, 400, 999])
    noise = ours.noise(x_0)
    answer = DiffusionInferer(ours)(x_0, Oracle(ours, x_0), noise, t)
    # The oracle answers with the noise, if it was given x_t.
    assert torch.allclose(answer[1:], noise[1:], atol=1e-4)
    assert torch.allclose(answer[0], noise[0], atol=1e-2)


def test_monai_s_inferer_samples_with_our_scheduler() -> None:
    ours = SimplexDDPMScheduler(12, "linear", "sample")
    x_0 = images(2, 1, 16, 16)
    sample = DiffusionInferer(ours).sample(ours.noise(x_0), Oracle(ours, x_0), verbose=False)
    assert torch.equal(sample, x_0)


def test_monai_s_inferer_samples_with_fewer_steps() -> None:
    """At each thinned step the marginal variance is kept, which t - 1 would not do."""
    ours = SimplexDDPMScheduler(1000, "cosine", "sample", noise=Gaussian())
    ours.set_timesteps(7)
    assert len(ours.timesteps) == 7
    assert ours.timesteps[[0, -1]].tolist() == [999, 0]
    x_0 = torch.zeros(2, 1, 64, 64)
    torch.manual_seed(0)
    x_t, _ = ours.step(x_0, 999, white(2, 1, 64, 64))
    expected = 1 - ours.alphas_cumprod[int(ours.timesteps[1])]
    assert x_t.var().item() == pytest.approx(float(expected), rel=0.05)
    sample = DiffusionInferer(ours).sample(white(2, 1, 64, 64), Oracle(ours, x_0), verbose=False)
    assert torch.equal(sample, x_0)
    with pytest.raises(ValueError, match="num_inference_steps"):
        ours.set_timesteps(0)


@pytest.mark.parametrize("wrong", [{"schedule": "sigmoid"}, {"prediction_type": "score"}])
def test_an_unknown_choice_is_refused_with_the_known_ones(wrong: dict[str, str]) -> None:
    known = SCHEDULES if "schedule" in wrong else PREDICTIONS
    with pytest.raises(ValueError, match=next(iter(known))):
        SimplexDDPMScheduler(**wrong)


@pytest.mark.parametrize(("t", "t_prev"), [(250, 249), (250, 200), (40, 0), (300, -1)])
def test_steps_between_ddpm_and_ddim_have_the_variance_that_eta_says(t: int, t_prev: int) -> None:
    """DDPM is eta = 1 of Song's equation 12; at eta = 0 nothing is drawn."""
    ours = SimplexDDPMScheduler(T)
    x, output, noise = images(2, 1, 8, 8), 0.3 * white(2, 1, 8, 8), white(2, 1, 8, 8, seed=5)
    zero = torch.zeros_like(noise)
    almost, _ = ours.step(output, t, x, t_prev, noise, eta=1 - 1e-7)
    ddpm, _ = ours.step(output, t, x, t_prev, noise)
    torch.testing.assert_close(almost, ddpm, rtol=1e-3, atol=1e-3)
    full = ddpm - ours.step(output, t, x, t_prev, zero)[0]
    half = ours.step(output, t, x, t_prev, noise, eta=0.5)[0]
    half = half - ours.step(output, t, x, t_prev, zero, eta=0.5)[0]
    torch.testing.assert_close(half, 0.5 * full, rtol=1e-3, atol=1e-5)
    state = torch.random.get_rng_state()
    still, _ = ours.step(output, t, x, t_prev, eta=0.0)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(still, ours.step(output, t, x, t_prev, noise, eta=0.0)[0])


@pytest.mark.parametrize("eta", [-0.5, 1.5, float("nan")])
def test_eta_lies_between_ddim_and_ddpm(eta: float) -> None:
    x = images(1, 1, 8, 8)
    with pytest.raises(ValueError, match=r"eta lies in 0\.\.1"):
        SimplexDDPMScheduler(T).step(x, 10, x, 5, x, eta=eta)
