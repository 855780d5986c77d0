"""The script that Streamlit runs: what was asked for, and the pages."""

from __future__ import annotations

import argparse
from pathlib import Path

import streamlit as st
from PIL import Image, ImageDraw

from pipeline.app import detect_page as app_detect
from pipeline.app import noise_page as app_noise


def _icon() -> Image.Image:
    """A disc for the tab; Streamlit would fetch a named icon from elsewhere."""
    icon = Image.new("RGBA", (32, 32))
    ImageDraw.Draw(icon).ellipse((2, 2, 30, 30), fill="#0b5a94")
    return icon


def main() -> None:
    """Show the page that is chosen in the side bar."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    st.set_page_config(page_title="anomap", page_icon=_icon(), layout="wide")

    def detect() -> None:
        app_detect.page(arguments.model, arguments.seed)

    st.navigation(
        [
            st.Page(detect, title="Detect", url_path="detect", default=True),
            st.Page(app_noise.page, title="Noise", url_path="noise"),
        ]
    ).run()


if __name__ == "__main__":
    main()
