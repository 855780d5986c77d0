"""The Noise page: what a noise does to a picture, and its spectrum."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import streamlit as st
import torch
from PIL import Image
from torch import Tensor

from pipeline.diffusion.scheduler import SCHEDULES, SimplexDDPMScheduler
from pipeline.errors import InputError
from pipeline.figures.perturbation import perturb, phantom_slice, radial_spectrum
from pipeline.files.images.pictures import read_picture
from pipeline.noise.noises import Noise, make_noise

SIZE = 192
"""Pixels along a side of what is shown."""
N_FIELDS = 16
"""Fields that a spectrum is the mean of."""
STRIP = (0, 100, 200, 300, 400, 600, 800, 999)
COLOURS = {"simplex": "#0b5a94", "gaussian": "#b34700", "coarse": "#00785a"}


def grey(values: Tensor, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    """Bytes to show, ``(H, W)``; values beyond the ends are clipped."""
    scaled = ((values - low) / (high - low)).clamp(0, 1) * 255
    return scaled.round().to(torch.uint8).numpy()


def square_picture(data: bytes, name: str) -> Tensor:
    """A square grey picture in [-1, 1], ``(SIZE, SIZE)``.

    Raises:
        InputError: the bytes are no picture that can be read, or too large a one.
    """
    values = read_picture(io.BytesIO(data), name).values
    # More than 8 bits are shown up to their highest value.
    levels = values * (255 / max(float(values.max()), 255.0))
    picture = Image.fromarray(levels.clip(0).round().astype(np.uint8))
    square = picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(square, dtype=np.float32) / 127.5 - 1)


@st.cache_data(show_spinner="Drawing a synthetic brain …")
def _phantom(seed: int) -> np.ndarray:
    return phantom_slice(seed, SIZE).numpy()


def _picture() -> Tensor:
    """The picture that is asked for; an unreadable upload is said, and replaced."""
    upload = st.sidebar.file_uploader(
        "Picture", type=["png", "jpg", "jpeg", "tif", "tiff"], max_upload_size=20
    )
    if upload is not None:
        try:
            return square_picture(upload.getvalue(), upload.name)
        except InputError as error:
            st.error(f"{error}.")
    return torch.from_numpy(_phantom(0))


def _noises() -> dict[str, Noise]:
    """The noises to compare, simplex as it is set up in the side bar."""
    side = st.sidebar
    octaves = side.slider("Octaves", 1, 8, 6)
    exponent = side.slider("Base frequency: 2 to the power of", -7, -1, -5)
    side.caption(f"{2**-exponent} pixels a cycle in the first octave")
    decay = side.slider("Decay of the amplitude from octave to octave", 0.0, 1.2, 0.8, 0.05)
    simplex = make_noise("simplex", octaves=octaves, base_frequency=2.0**exponent, decay=decay)
    return {"simplex": simplex, "gaussian": make_noise("gaussian")}


def _points(series: str, frequency: np.ndarray, power: np.ndarray) -> list[dict[str, Any]]:
    return [
        {"frequency": f, "power": p, "series": series}
        for f, p in zip(frequency.tolist(), power.tolist(), strict=True)
    ]


def _spectrum(noises: Mapping[str, Noise], image: Tensor) -> alt.Chart:
    like = torch.zeros(N_FIELDS, 1, SIZE, SIZE)
    points: list[dict[str, Any]] = []
    for name, noise in noises.items():
        frequency, power = radial_spectrum(noise.seeded(like, list(range(N_FIELDS)))[:, 0])
        points += _points(name, frequency, power)
    points += _points("picture", *radial_spectrum((image - image.mean())[None] / image.std()))
    colours = alt.Scale(
        domain=[*noises, "picture"], range=[*(COLOURS[name] for name in noises), "#6e6e6e"]
    )
    log = alt.Scale(type="log", nice=False)
    chart: alt.Chart = (
        alt.Chart(alt.Data(values=points))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("frequency:Q", scale=log, title="cycles a pixel"),
            y=alt.Y("power:Q", scale=log, title="power (white noise: 1)"),
            color=alt.Color("series:N", scale=colours, title=None),
            strokeDash=alt.StrokeDash("series:N", legend=None),
        )
        .properties(height=320)
    )
    return chart


def _pictures(columns: Sequence[tuple[str, np.ndarray]]) -> None:
    for column, (caption, picture) in zip(st.columns(len(columns)), columns, strict=True):
        column.image(picture, caption=caption, width="stretch")


def page() -> None:
    """The page."""
    st.title("Noise")
    st.write(
        "A diffusion model restores what noise has hidden. White noise hides fine detail alone; "
        "simplex noise has the spectrum of an image, and so hides large things too, as a tumour is."
    )
    image = _picture()
    noises = _noises()
    side = st.sidebar
    schedule = side.radio("Schedule", sorted(SCHEDULES), horizontal=True)
    t = side.slider("Timestep t", 0, 999, 200)
    seed = side.number_input("Seed", 0, 2**31 - 1, 0)
    alpha_bar = float(SimplexDDPMScheduler(schedule=schedule).alphas_cumprod[t])
    st.caption(
        f"At t = {t} of the {schedule} schedule {alpha_bar**0.5:.3f} of the picture is left, with "
        f"{(1 - alpha_bar) ** 0.5:.3f} of noise (standard deviations)."
    )
    sample = image[None, None]
    for name, noise in noises.items():
        st.subheader(name.capitalize())
        field = noise.seeded(sample, [seed])[0, 0]
        x_t = perturb(image, noise, schedule, t, seed)
        _pictures(
            [
                ("picture", grey(image)),
                (f"{name} noise", grey(field, -2.5, 2.5)),
                (f"{name}: picture at t = {t}", grey(x_t)),
            ]
        )
    st.subheader("Spectrum")
    st.altair_chart(_spectrum(noises, image), width="stretch")
    st.caption(
        f"Mean power of {N_FIELDS} fields of {SIZE} x {SIZE} pixels over rings of frequency."
    )
    st.subheader("From picture to noise")
    for name, noise in noises.items():
        steps = [(t, perturb(image, noise, schedule, t, seed)) for t in STRIP]
        _pictures([(f"{name}, t = {t}", grey(x_t)) for t, x_t in steps])
