"""Diffusion with a noise of one's choice: schedules, forward process, reverse step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from monai.networks.schedulers import Scheduler
from torch import Tensor, nn

from pipeline.noise.noises import Noise, Simplex

SCHEDULES = {"linear": "linear_beta", "cosine": "cosine"}
PREDICTIONS = ("epsilon", "sample", "v_prediction")

NoiseAt = Callable[[int], Tensor]
"""The field to use at timestep t, shaped as the images: ``noise_at(t) -> (B, C, H, W)``."""


class SimplexDDPMScheduler(Scheduler):
    """MONAI scheduler whose forward and reverse process use structured noise.

    Args:
        num_train_timesteps: T; timesteps run from 0 (almost clean) to T - 1.
        schedule: ``"linear"`` (Ho et al. 2020) or ``"cosine"`` (Nichol & Dhariwal 2021).
        prediction_type: what the network predicts: ``"epsilon"``, ``"sample"`` (x_0) or
            ``"v_prediction"`` (Salimans & Ho 2022).
        clip_sample: clip the predicted x_0 to [-1, 1].
        noise: the distribution of the noise; `Simplex` by default.
        min_beta: the betas of the schedule are raised to it where they are lower.

    Raises:
        ValueError: an unknown schedule or prediction type.
        TypeError: ``noise`` is a function, or anything else that is no `Noise`.
    """

    is_random = True
    """Whether two restorations of an image differ by what is drawn."""

    def __init__(
        self,
        num_train_timesteps: int = 1000,
        schedule: str = "cosine",
        prediction_type: str = "epsilon",
        *,
        clip_sample: bool = True,
        noise: Noise | None = None,
        min_beta: float = 0.0,
    ) -> None:
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule is one of {', '.join(SCHEDULES)}; got {schedule!r}")
        if prediction_type not in PREDICTIONS:
            raise ValueError(f"prediction_type is one of {PREDICTIONS}; got {prediction_type!r}")
        if noise is not None and not isinstance(noise, Noise):
            raise TypeError(
                f"noise: expected a Noise, such as Simplex(); got {noise!r}. A noise of your own "
                "is a class that derives from Noise and has draw(n_fields, like, generator)"
            )
        super().__init__(num_train_timesteps, SCHEDULES[schedule])
        if min_beta > 0:
            self.betas = self.betas.clamp_min(min_beta)
            self.alphas = 1.0 - self.betas
            self.alphas_cumprod = torch.cumprod(self.alphas, dim=0)
        self.prediction_type = prediction_type
        self.clip_sample = clip_sample
        self.noise = noise if noise is not None else Simplex()

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Let MONAI's samplers use so many evaluations: `step` then goes to the next timestep.

        Raises:
            ValueError: more steps than timesteps, or none.
        """
        if not 1 <= num_inference_steps <= self.num_train_timesteps:
            raise ValueError(
                f"num_inference_steps lies in 1..{self.num_train_timesteps}; got "
                f"{num_inference_steps}"
            )
        self.num_inference_steps = num_inference_steps
        spread = torch.linspace(self.num_train_timesteps - 1, 0, num_inference_steps)
        self.timesteps = spread.round().long().unique().flip(0).to(device)

    def _next_timestep(self, timestep: int) -> int:
        lower = self.timesteps[self.timesteps < timestep]
        return int(lower.max()) if len(lower) else -1

    def alpha_bar(self, timesteps: Tensor | int, like: Tensor) -> Tensor:
        """alpha_bar at ``timesteps`` (1 at t = -1), ``(B or 1, 1, 1, 1)`` float32, in 0..1.

        Args:
            timesteps: ``(B,)`` or one integer, in -1..T-1.
            like: gives the device and the number of axes, ``(B, C, H, W)``.
        """
        t = torch.as_tensor(timesteps, device=like.device).reshape(-1)
        a = self.alphas_cumprod.to(like.device)[t.clamp_min(0)]
        return torch.where(t < 0, torch.ones_like(a), a).reshape(-1, *[1] * (like.ndim - 1))

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor | int) -> Tensor:
        """x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) noise (Ho et al. 2020, eq. 4).

        Args:
            original_samples: x_0, ``(B, C, H, W)``, in [-1, 1].
            noise: unit-variance fields, same shape.
            timesteps: ``(B,)`` or one integer, in 0..T-1.

        Returns:
            x_t, ``(B, C, H, W)``, of the dtype of x_0. Unlike in MONAI's, the schedule is not cast
            to it.
        """
        a = self.alpha_bar(timesteps, original_samples)
        return (a.sqrt() * original_samples + (1 - a).sqrt() * noise).to(original_samples.dtype)

    def target(self, x_0: Tensor, noise: Tensor, timesteps: Tensor | int) -> Tensor:
        """What the network should answer at x_t, by `prediction_type`, ``(B, C, H, W)``.

        Args:
            x_0: ``(B, C, H, W)``, in [-1, 1].
            noise: unit-variance fields, same shape.
            timesteps: ``(B,)`` or one integer, in 0..T-1.
        """
        if self.prediction_type == "epsilon":
            return noise
        if self.prediction_type == "sample":
            return x_0
        a = self.alpha_bar(timesteps, x_0)
        return a.sqrt() * noise - (1 - a).sqrt() * x_0

    def predict_x_0(self, model_output: Tensor, timesteps: Tensor | int, x_t: Tensor) -> Tensor:
        """x_0 from the network's answer (Ho et al. 2020, eq. 15), clipped if `clip_sample`.

        Args:
            model_output: the network's answer at ``x_t``, ``(B, C, H, W)``.
            timesteps: ``(B,)`` or one integer, in 0..T-1.
            x_t: the noisy images, same shape.

        Returns:
            ``(B, C, H, W)``, in [-1, 1] if `clip_sample`.
        """
        a = self.alpha_bar(timesteps, x_t)
        if self.prediction_type == "epsilon":
            x_0 = (x_t - (1 - a).sqrt() * model_output) / a.sqrt()
        elif self.prediction_type == "sample":
            x_0 = model_output
        else:
            x_0 = a.sqrt() * x_t - (1 - a).sqrt() * model_output
        return x_0.clamp(-1, 1) if self.clip_sample else x_0

    def step(  # noqa: PLR0913 - as in MONAI's schedulers
        self,
        model_output: Tensor,
        timestep: int,
        sample: Tensor,
        previous_timestep: int | None = None,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        *,
        eta: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """One reverse step from ``timestep`` to ``previous_timestep``, at any stride.

        The posterior of x_{t_prev} given x_t and x_0 (Ho et al. 2020, eq. 6-7) between any two
        timesteps: with a_t = alpha_bar[t], a_p = alpha_bar[t_prev], alpha = a_t / a_p,
        mean = (sqrt(a_p) (1 - alpha) x_0 + sqrt(alpha) (1 - a_p) x_t) / (1 - a_t) and
        variance = (1 - alpha) (1 - a_p) / (1 - a_t). With eta below 1 its generalisation of the
        standard deviation sigma = eta sqrt(variance), mean = sqrt(a_p) x_0 +
        sqrt(1 - a_p - sigma^2) epsilon (Song et al. 2021, "DDIM", eq. 12), where epsilon is what
        x_0 leaves of x_t; at eta = 0 nothing is drawn.

        Args:
            model_output: the network's answer at ``sample``, ``(B, C, H, W)``.
            timestep: t, in 0..T-1.
            sample: x_t, same shape.
            previous_timestep: t_prev < t; -1 is the clean image. By default the next lower one of
                `timesteps`: t - 1 unless `set_timesteps` thinned them.
            noise: the unit-variance field to add; drawn from `self.noise` where None.
            generator: for that draw.
            eta: 1 is DDPM, 0 the deterministic DDIM.

        Returns:
            x_{t_prev} and the predicted x_0, ``(B, C, H, W)`` each.

        Raises:
            ValueError: the timesteps are not in order, or eta lies outside 0..1.
        """
        if not 0 <= eta <= 1:
            raise ValueError(f"eta lies in 0..1; got {eta}")
        t, t_prev = self.checked_step(timestep, previous_timestep)
        x_0 = self.predict_x_0(model_output, t, sample)
        if t_prev < 0:
            return x_0, x_0
        mean, variance = self._posterior(x_0, sample, (t, t_prev), eta)
        if not eta:
            return mean, x_0
        field = self.noise(sample, generator) if noise is None else noise
        return mean + variance.sqrt() * field, x_0

    def checked_step(self, timestep: int, previous: int | None) -> tuple[int, int]:
        """Both ends of a step; the lower one is the next of `timesteps` where it is None.

        Raises:
            ValueError: the timesteps are not in order.
        """
        t = int(timestep)
        t_prev = self._next_timestep(t) if previous is None else int(previous)
        if not -1 <= t_prev < t < self.num_train_timesteps:
            raise ValueError(f"a step goes down, within 0..T-1; got t={t}, t_prev={t_prev}")
        return t, t_prev

    def perturbed(self, images: Tensor, timestep: int, noise_at: NoiseAt) -> Tensor:
        """What a restoration of images ``(B, C, H, W)`` begins with, at a timestep."""
        return self.add_noise(images, noise_at(timestep), timestep)

    def _posterior(
        self, x_0: Tensor, x_t: Tensor, ends: tuple[int, int], eta: float
    ) -> tuple[Tensor, Tensor]:
        """Mean and variance of x_{t_prev}, for ``ends`` = (t, t_prev); see `step`."""
        a_t, a_p = (self.alpha_bar(t, x_t) for t in ends)
        alpha = a_t / a_p
        variance = (1 - alpha) * (1 - a_p) / (1 - a_t)
        if eta == 1:
            mean = (a_p.sqrt() * (1 - alpha) * x_0 + alpha.sqrt() * (1 - a_p) * x_t) / (1 - a_t)
            return mean, variance
        epsilon = (x_t - a_t.sqrt() * x_0) / (1 - a_t).sqrt()
        variance = eta**2 * variance
        return a_p.sqrt() * x_0 + (1 - a_p - variance).sqrt() * epsilon, variance

    def reconstruct(
        self,
        network: nn.Module,
        images: Tensor,
        timestep: int,
        noise_at: NoiseAt,
        *,
        path: Sequence[int] | None = None,
        eta: float = 1.0,
    ) -> Tensor:
        """Perturb images to ``timestep`` and let the network restore them.

        Args:
            network: called as ``network(x_t, timesteps)``.
            images: ``(B, C, H, W)``, in [-1, 1].
            timestep: t to perturb to.
            noise_at: the field of each timestep; at ``timestep`` the forward one, below it those
                of the reverse steps.
            path: the timesteps at which the network is asked, from ``timestep`` down. None is the
                one-shot x_0 of a single evaluation; ``range(t, -1, -1)`` AnoDDPM's partial chain.
            eta: of the reverse steps, see `step`; at 0 no field is asked for below ``timestep``.

        Returns:
            The restored images, ``(B, C, H, W)``, in [-1, 1] if `clip_sample`.

        Raises:
            ValueError: the path does not begin at ``timestep``, or does not go down.
        """
        steps = [timestep] if path is None else [int(t) for t in path]
        if not steps or steps[0] != timestep:
            raise ValueError(f"the path starts at t={timestep}; got {steps[:3]}")
        x_t = self.perturbed(images, timestep, noise_at)
        for t, t_prev in zip(steps, [*steps[1:], -1], strict=True):
            output = network(x_t, torch.full((len(x_t),), t, device=x_t.device, dtype=torch.long))
            field = noise_at(t_prev) if t_prev >= 0 and eta else None
            x_t, _ = self.step(output.float(), t, x_t, t_prev, field, eta=eta)
        return x_t

    @torch.no_grad()
    def sample(self, network: nn.Module, noise: Tensor, n_steps: int | None = None) -> Tensor:
        """Generate images from pure noise ``(B, C, H, W)`` by the reverse chain.

        Args:
            network: called as ``network(x_t, timesteps)``.
            noise: unit-variance fields, x_T.
            n_steps: number of network evaluations; all T by default.

        Returns:
            ``(B, C, H, W)``, in [-1, 1] if `clip_sample`.
        """
        last = self.num_train_timesteps - 1
        path = torch.linspace(last, 0, n_steps or last + 1).round().long().unique().flip(0).tolist()
        x_t = noise
        for t, t_prev in zip(path, [*path[1:], -1], strict=True):
            output = network(x_t, torch.full((len(x_t),), t, device=x_t.device, dtype=torch.long))
            x_t, _ = self.step(output.float(), t, x_t, t_prev)
        return x_t
