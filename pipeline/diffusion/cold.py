"""Cold diffusion: images degrade by anomalies that are mixed in, not by noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pipeline.diffusion.scheduler import NoiseAt, SimplexDDPMScheduler


class AnomalyScheduler(SimplexDDPMScheduler):
    """A scheduler whose forward process mixes in an image with anomalies (Bansal et al. 2023).

    x_t = x_0 + w_t (a - x_0), with the anomalous image a and w_t = (t + 1) / T: no noise is drawn.
    A scan is taken to be such an x_t as it is; the network says what x_0 was, at once or in steps.

    Args:
        num_train_timesteps: T; at T - 1 an image is the anomalous one.
        clip_sample: clip the predicted x_0 to [-1, 1].
    """

    is_random = False

    def __init__(self, num_train_timesteps: int = 1000, *, clip_sample: bool = True) -> None:
        super().__init__(num_train_timesteps, "linear", "sample", clip_sample=clip_sample)

    def weight(self, timesteps: Tensor | int, like: Tensor) -> Tensor:
        """w_t, 0 at t = -1 and 1 at T - 1, ``(B or 1, 1, 1, 1)`` for images ``(B, C, H, W)``."""
        t = torch.as_tensor(timesteps, device=like.device).reshape(-1, *[1] * (like.ndim - 1))
        return (t + 1) / self.num_train_timesteps

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor | int) -> Tensor:
        """x_t, ``(B, C, H, W)``.

        Args:
            original_samples: x_0, ``(B, C, H, W)``, in [-1, 1].
            noise: the images with anomalies, same shape and range.
            timesteps: ``(B,)`` or one integer, in 0..T-1.
        """
        weight = self.weight(timesteps, original_samples)
        return (original_samples + weight * (noise - original_samples)).to(original_samples.dtype)

    def step(
        self,
        model_output: Tensor,
        timestep: int,
        sample: Tensor,
        previous_timestep: int | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """One step back: x_t less what it holds more of the anomaly than x_{t_prev}.

        Bansal et al., "Cold Diffusion", NeurIPS 2023, algorithm 2: where w_t (a - x_0) is taken for
        x_t - x_0, it is x_t - (w_t - w_prev) / w_t (x_t - x_0).

        Args:
            model_output: the network's x_0 at ``sample``, ``(B, C, H, W)``.
            timestep: t, in 0..T-1.
            sample: x_t, same shape.
            previous_timestep: t_prev < t; -1 is x_0 itself. See `SimplexDDPMScheduler.step`.
            args, kwargs: noise and its generator, which are not used.

        Returns:
            x_{t_prev} and the predicted x_0, ``(B, C, H, W)`` each.

        Raises:
            ValueError: the timesteps are not in order.
        """
        t, t_prev = self.checked_step(timestep, previous_timestep)
        x_0 = self.predict_x_0(model_output, t, sample)
        if t_prev < 0:
            return x_0, x_0
        back = 1 - self.weight(t_prev, sample) / self.weight(t, sample)
        return sample - back * (sample - x_0), x_0

    def perturbed(self, images: Tensor, timestep: int, noise_at: NoiseAt) -> Tensor:
        """The images ``(B, C, H, W)`` as they are."""
        return images

    def sample(self, network: nn.Module, noise: Tensor, n_steps: int | None = None) -> Tensor:
        """Nothing can be made from noise here, such as ``(B, C, H, W)``.

        Raises:
            ValueError: always.
        """
        raise ValueError("a network that was trained to undo anomalies makes no images from noise")
