"""What noise does to a picture: its spectrum, and a slice on its way to noise."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.diffusion.scheduler import SimplexDDPMScheduler
from pipeline.files.images.formats import is_picture
from pipeline.files.images.reading import read_volume
from pipeline.noise.noises import Noise
from pipeline.phantom.subject import make_phantom

BRIGHT_QUANTILE = 0.995


def radial_spectrum(fields: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean power over rings of spatial frequency.

    Args:
        fields: ``(N, H, W)``, square.

    Returns:
        Frequencies in cycles a pixel, from one cycle a field to 0.5, and the power at each,
        ``(H // 2,)``: 1 everywhere for white noise of unit variance.
    """
    n = fields.shape[-1]
    power = torch.fft.fft2(fields.double()).abs().square().mean(0) / (n * n)
    frequency = torch.fft.fftfreq(n)
    radius = (frequency[:, None].square() + frequency[None, :].square()).sqrt()
    ring = (radius * n).round().long()
    totals = torch.zeros(int(ring.max()) + 1, dtype=torch.float64)
    counts = totals.clone()
    totals.index_add_(0, ring.flatten(), power.flatten())
    counts.index_add_(0, ring.flatten(), torch.ones_like(power).flatten())
    keep = slice(1, n // 2 + 1)
    return np.arange(1, n // 2 + 1) / n, (totals / counts)[keep].numpy()


def perturb(image: Tensor, noise: Noise, schedule: str, t: int, seed: int) -> Tensor:
    """x_t ``(H, W)`` of a picture ``(H, W)`` in [-1, 1], with a field of that seed."""
    sample = image[None, None]
    scheduler = SimplexDDPMScheduler(schedule=schedule, noise=noise)
    return scheduler.add_noise(sample, noise.seeded(sample, [seed]), t)[0, 0]


def phantom_slice(seed: int, size: int) -> Tensor:
    """An axial slice of a synthetic FLAIR brain with a tumour, ``(size, size)`` in [-1, 1].

    Rows run to the back, columns to the left.
    """
    phantom = make_phantom(
        np.random.default_rng(seed), ["flair"], tumour=True, spacing_mm=2.0, contrast="bright"
    )
    z = int(phantom.label.astype(bool).sum((0, 1)).argmax())
    return _picture_of(phantom.images["flair"][:, :, z].T, size)


def scan_slice(path: Path, size: int) -> Tensor:
    """The axial slice of a scan that shows most of the head, ``(size, size)`` in [-1, 1].

    Rows and columns as of `phantom_slice`.

    Args:
        path: NIfTI, or a picture.
        size: pixels along a side.

    Raises:
        InputError: the file cannot be read; see `read_volume`.
    """
    volume = read_volume(path)
    image = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    data = np.asarray(image.dataobj)
    data = data - data.min()
    z = int((data > 0.2 * np.quantile(data, BRIGHT_QUANTILE)).sum((0, 1)).argmax())
    section, (dx, dy, _) = data[:, :, z].T, image.header.get_zooms()[:3]
    # Square pixels; a picture is shown as it is, a scan seen from below.
    height = round(section.shape[0] * dy / dx)
    stretched = Image.fromarray(section).resize((section.shape[1], height))
    turned = np.asarray(stretched)[::-1] if is_picture(path) else np.asarray(stretched)[::-1, ::-1]
    return _picture_of(turned, size)


def _picture_of(section: np.ndarray, size: int) -> Tensor:
    square = _squared(section)
    high = float(np.quantile(square[square > 0], BRIGHT_QUANTILE)) if square.any() else 1.0
    picture = Image.fromarray((np.clip(square / high, 0, 1) * 255).astype(np.uint8))
    small = picture.resize((size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(small, dtype=np.float32) / 127.5 - 1)


def _squared(section: np.ndarray, rim: int = 3) -> np.ndarray:
    """The smallest square around what is not 0, with a rim."""
    rows, columns = (np.flatnonzero(section.any(axis)) for axis in (1, 0))
    if not rows.size:
        return section
    half = max(np.ptp(rows), np.ptp(columns)) // 2 + rim
    middle = [(along[0] + along[-1]) // 2 for along in (rows, columns)]
    padded = np.pad(section, half)
    return padded[middle[0] : middle[0] + 2 * half, middle[1] : middle[1] + 2 * half]
