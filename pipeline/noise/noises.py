"""Noises behind one contract: a field per sample and channel, zero mean, unit variance.

To add a noise: write a frozen dataclass with `draw`, and enter it in `NOISES`; or, from a package
of one's own, `register_noise` it, or name it in an entry point of the group ``anomap.noises``.
"""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline import entry_points
from pipeline.noise.lattice import LATTICE_PERIOD, Octaves, grids_kept, simplex_grid
from pipeline.noise.simplex import random_fields, simplex_fields, simplex_slices


class Noise(ABC):
    """A distribution of fields. Calling it draws one field for each sample and channel."""

    @abstractmethod
    def draw(self, n_fields: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """Raw fields ``(n_fields, H, W)`` float32 on ``like``'s device, at any scale."""

    def __call__(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Fields shaped as ``like``, ``(B, C, H, W)``: zero mean, unit variance each.

        Args:
            like: gives shape, device and dtype; its values are not used.
            generator: source of randomness; torch's own where None.
        """
        n_fields = like.shape[0] * like.shape[1]
        if not n_fields:
            return torch.empty_like(like)
        return standardise(self.draw(n_fields, like, generator)).reshape(like.shape).to(like.dtype)

    def seeded(self, like: Tensor, seeds: Sequence[int]) -> Tensor:
        """As calling, but sample i depends on ``seeds[i]`` alone, not on the batch it is in.

        Returns:
            As ``like``, ``(B, C, H, W)``: zero mean, unit variance each.
        """
        fields = []
        for sample, seed in zip(like.unsqueeze(1), seeds, strict=True):
            generator = torch.Generator(device="cpu").manual_seed(seed)
            fields.append(self(sample, generator))
        return torch.cat(fields) if fields else torch.empty_like(like)


class VolumeNoise(Noise):
    """A noise that goes on through a volume: a field is one slice of it, at some depth.

    Depths are counted in pixels of the slice, along the axis across it.
    """

    @abstractmethod
    def sections(
        self, like: Tensor, depths: Sequence[float], generator: torch.Generator | None = None
    ) -> Tensor:
        """As calling, but sample i is the slice at ``depths[i]`` of a volume of its own.

        Returns:
            As ``like``, ``(B, C, H, W)``: zero mean, unit variance each.
        """

    @abstractmethod
    def seeded_sections(
        self, like: Tensor, seeds: Sequence[int], depths: Sequence[float]
    ) -> Tensor:
        """As `seeded`, but sample i is the slice at ``depths[i]`` of the volume of ``seeds[i]``.

        Returns:
            As ``like``, ``(B, C, H, W)``: zero mean, unit variance each.
        """

    @abstractmethod
    def depths_kept(self, like: Tensor) -> int:
        """For so many depths what they need is kept, and need not be made anew.

        Args:
            like: gives shape ``(..., H, W)`` and device.
        """

    @abstractmethod
    def typical_depths(self, n_depths: int) -> list[float]:
        """Depths that represent all others: the pattern of the lattice differs between them."""


def standardise(fields: Tensor) -> Tensor:
    """Shift and scale each ``(..., H, W)`` field to mean 0 and variance 1.

    Raw octave sums of simplex noise have a standard deviation near 0.5; the algebra of DDPM
    (Ho et al. 2020, eq. 4) assumes 1.
    """
    centred = fields - fields.mean(dim=(-2, -1), keepdim=True)
    spread = centred.square().mean(dim=(-2, -1), keepdim=True).sqrt()
    return centred / spread.clamp_min(1e-8)


# Far from 1, so that the channels of neighbouring seeds are not the same fields.
_CHANNEL_STEP = 0x9E3779B97F4A7C15
_GOLDEN_RATIO = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Simplex(VolumeNoise):
    """Octave sums of simplex noise (Wyatt et al., "AnoDDPM", CVPR Workshops 2022, section 3.2).

    Attributes:
        base_frequency: cycles per pixel of the first octave, in (0, 1].
        octaves: number of octaves, each at twice the frequency of the last, 1 to 16.
        decay: amplitude ratio from one octave to the next, 0 to 2.
        shared_depth: depths count in lattice units at every octave, as brain_damage has them,
            instead of in pixels, as AnoDDPM has them.
        unit_variance: fields are brought to mean 0 and variance 1; AnoDDPM's are not.

    Raises:
        ValueError: a parameter is out of range.
    """

    base_frequency: float = 2**-5
    octaves: int = 6
    decay: float = 0.8
    shared_depth: bool = False
    unit_variance: bool = True

    def __post_init__(self) -> None:
        octaves_fit = 1 <= self.octaves <= 16 and self.octaves == int(self.octaves)
        if not octaves_fit or not 0 < self.base_frequency <= 1 or not 0 <= self.decay <= 2:
            raise ValueError(
                "simplex needs whole octaves in 1..16, base_frequency in (0, 1] and decay in 0..2; "
                f"got {self}"
            )
        object.__setattr__(self, "octaves", int(self.octaves))

    def __call__(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `Noise`; raw ``(B, C, H, W)`` where `unit_variance` is False."""
        if self.unit_variance or not like.numel():
            return super().__call__(like, generator)
        return self._shaped(self.draw(like.shape[0] * like.shape[1], like, generator), like)

    def draw(self, n_fields: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """See `Noise.draw` and `random_fields`; ``(n_fields, H, W)``."""
        return random_fields(
            n_fields, _size(like), generator, octaves=self._octaves, device=like.device
        )

    def seeded(self, like: Tensor, seeds: Sequence[int]) -> Tensor:
        """See `Noise.seeded` and `simplex_fields`; ``(B, C, H, W)``."""
        channel_seeds = _channel_seeds(seeds, like.shape[1])
        fields = simplex_fields(
            channel_seeds, _size(like), octaves=self._octaves, device=like.device
        )
        return self._shaped(fields, like)

    def sections(
        self, like: Tensor, depths: Sequence[float], generator: torch.Generator | None = None
    ) -> Tensor:
        """See `VolumeNoise.sections` and `random_fields`; ``(B, C, H, W)``."""
        channel_depths = _channel_depths(depths, like)
        fields = random_fields(
            len(channel_depths),
            _size(like),
            generator,
            depths=channel_depths,
            octaves=self._octaves,
            device=like.device,
        )
        return self._shaped(fields, like)

    def seeded_sections(
        self, like: Tensor, seeds: Sequence[int], depths: Sequence[float]
    ) -> Tensor:
        """See `VolumeNoise.seeded_sections` and `simplex_slices`; ``(B, C, H, W)``."""
        fields = simplex_slices(
            _channel_seeds(seeds, like.shape[1]),
            _channel_depths(depths, like),
            _size(like),
            octaves=self._octaves,
            device=like.device,
        )
        return self._shaped(fields, like)

    def depths_kept(self, like: Tensor) -> int:
        """As many operators for ``(H, W)`` as fit into the memory for them; see `grids_kept`."""
        depth = 0.37 / self.base_frequency
        return grids_kept(simplex_grid(_size(like), self._octaves, depth=depth, device=like.device))

    def typical_depths(self, n_depths: int) -> list[float]:
        """Spread over the period of the lattice, in pixels or in its units."""
        period = LATTICE_PERIOD / (1 if self.shared_depth else self.base_frequency)
        return [period * (i * _GOLDEN_RATIO % 1.0) for i in range(n_depths)]

    @property
    def _octaves(self) -> Octaves:
        return Octaves(self.base_frequency, self.octaves, self.decay, self.shared_depth)

    def _shaped(self, fields: Tensor, like: Tensor) -> Tensor:
        scaled = standardise(fields) if self.unit_variance else fields
        return scaled.reshape(like.shape).to(like.dtype)


def _channel_seeds(seeds: Sequence[int], n_channels: int) -> list[int]:
    """A seed for each channel of each sample."""
    return [int(seed) + i * _CHANNEL_STEP for seed in seeds for i in range(n_channels)]


def _channel_depths(depths: Sequence[float], like: Tensor) -> list[float]:
    """A depth for each channel of each sample: channels of a sample share it."""
    if len(depths) != len(like):
        raise ValueError(f"a depth is needed for each sample; got {len(depths)} for {len(like)}")
    return [depth for depth in depths for _ in range(like.shape[1])]


def _size(like: Tensor) -> tuple[int, int]:
    """H, W."""
    return like.shape[-2], like.shape[-1]


@dataclass(frozen=True)
class Gaussian(Noise):
    """White noise, as DDPM has it (Ho et al. 2020)."""

    def draw(self, n_fields: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """See `Noise.draw`; ``(n_fields, H, W)``."""
        return _white((n_fields, like.shape[-2], like.shape[-1]), like, generator)


@dataclass(frozen=True)
class Coarse(Noise):
    """White noise on a coarse grid, bilinearly enlarged and rolled (Kascenas et al., MIDL 2022).

    Attributes:
        cells: cells of the coarse grid along the longer side of the slice.
    """

    cells: int = 16

    def __post_init__(self) -> None:
        if self.cells != int(self.cells) or self.cells < 1:
            raise ValueError(f"coarse needs whole cells >= 1; got {self}")

    def draw(self, n_fields: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """See `Noise.draw`; ``(n_fields, H, W)``."""
        height, width = like.shape[-2:]
        cell = max(height, width) / self.cells
        coarse_shape = (max(2, round(height / cell)), max(2, round(width / cell)))
        coarse = _white((n_fields, 1, *coarse_shape), like, generator)
        fine = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
        source = generator.device if generator is not None else torch.device("cpu")
        shifts = torch.randint(
            max(height, width), (n_fields, 2), generator=generator, device=source
        ).tolist()
        return torch.stack(
            [torch.roll(f[0], (dy, dx), (0, 1)) for f, (dy, dx) in zip(fine, shifts, strict=True)]
        )


def _white(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    source = generator.device if generator is not None else like.device
    return torch.randn(shape, generator=generator, device=source).to(like.device)


@dataclass(frozen=True)
class Mixed(Noise):
    """Each field is simplex, white or coarse noise: for training, so that a network knows all.

    Attributes:
        simplex, gaussian, coarse: how often each is drawn, relative to the others.

    Raises:
        ValueError: a share is negative, or all are 0.
    """

    simplex: float = 1.0
    gaussian: float = 1.0
    coarse: float = 1.0

    def __post_init__(self) -> None:
        if min(self._shares) < 0 or not 1e-6 < sum(self._shares) < 1e6:
            raise ValueError(f"mixed needs shares >= 0, not all 0, of sum < 1e6; got {self}")

    @property
    def _shares(self) -> tuple[float, float, float]:
        return self.simplex, self.gaussian, self.coarse

    def draw(self, n_fields: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """See `Noise.draw`; ``(n_fields, H, W)``."""
        source = generator.device if generator is not None else torch.device("cpu")
        shares = torch.tensor(self._shares, dtype=torch.float32, device=source)
        kinds = torch.multinomial(shares, n_fields, replacement=True, generator=generator)
        fields = torch.empty(n_fields, *_size(like), device=like.device)
        for i, noise in enumerate((Simplex(), Gaussian(), Coarse())):
            chosen = (kinds == i).to(like.device)
            if n_chosen := int(chosen.sum()):
                fields[chosen] = noise.draw(n_chosen, like, generator)
        return fields


NOISES: dict[str, type[Noise]] = {
    "simplex": Simplex,
    "gaussian": Gaussian,
    "coarse": Coarse,
    "mixed": Mixed,
}


def noise_at_test(noise: Noise) -> Noise:
    """What perturbs a scan: the noise of the training, or simplex of a mixed one."""
    return Simplex() if isinstance(noise, Mixed) else noise


def register_noise(name: str, kind: type[Noise]) -> None:
    """Make a noise known under a name: to `make_noise`, ``diffusion.noise`` and ``--noise``.

    Args:
        name: letters, digits and ``_``; none of a noise that is there already.
        kind: a dataclass that derives from `Noise`; its fields are numbers, with defaults.

    Raises:
        ValueError: the name is taken, or it is no such class.
    """
    if not isinstance(kind, type) or not issubclass(kind, Noise):
        raise ValueError(
            f"noise {name!r}: expected a class that derives from Noise and has draw(n_fields, "
            f"like, generator); got {kind!r}"
        )
    if not dataclasses.is_dataclass(kind):
        raise ValueError(f"noise {name!r}: {kind.__name__} is no dataclass; decorate it as one")
    if not name.isidentifier():
        raise ValueError(f"noise {name!r}: expected letters, digits and _")
    if NOISES.get(name, kind) is not kind:
        raise ValueError(f"there is a noise called {name!r} already; take another name")
    NOISES[name] = kind


def noise_kind(name: str) -> type[Noise]:
    """The class of that name, of an installed package too.

    Raises:
        ValueError: no such noise; the message lists those there are.
        InputError: the package cannot be loaded.
    """
    if name not in NOISES:
        if (kind := entry_points.load_of_group(entry_points.NOISES, name)) is None:
            names = sorted({*NOISES, *entry_points.names_of_group(entry_points.NOISES)})
            raise ValueError(f"no noise is called {name!r}; there are {', '.join(names)}")
        register_noise(name, kind)
    return NOISES[name]


def make_noise(name: str, **parameters: Any) -> Noise:
    """The noise of that name; errors as `noise_kind`."""
    return noise_kind(name)(**parameters)


def derive_seed(*parts: object) -> int:
    """A 62-bit seed from what it should depend on, such as (seed, content, slice, t, draw)."""
    text = "/".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 2
