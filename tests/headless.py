"""A real headless Chromium for the tests of pages; where there is none they skip, or must not."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image

REQUIRED = "ANOMAP_REQUIRE_BROWSER"
"""Environment variable: set to 1, a missing browser is a failure."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# No GPU is needed, and the browser itself asks for nothing on the network.
OPTIONS = (
    *("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-first-run", "--disable-quic", "--disable-dev-shm-usage"),
)


def missing(reason: str, *, module: bool = False) -> NoReturn:
    """Skip (a whole module, while it is imported), or fail where the browser is required."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, but {reason}", pytrace=False)
    pytest.skip(reason, allow_module_level=module)


@contextmanager
def launched() -> Iterator[Any]:
    """A Playwright browser."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        missing("there is no Chromium on this machine (Debian's package chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        yield browser
        browser.close()


class Watched:
    """A page, and whatever it should not have done."""

    def __init__(self, browser: Any, *, width: int = 1280, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.context.on("request", lambda request: self.requests.append(request.url))

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def requests_leaving(self, *allowed: str) -> list[str]:
        """Addresses asked for that begin with none of these, nor lie in the page itself."""
        inside = ("data:", "blob:", "about:", *allowed)
        return [url for url in self.requests if not url.startswith(inside)]

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def pixels(locator: Any) -> np.ndarray:
    """What is seen of an element, ``(H, W, 3)`` int."""
    picture = Image.open(io.BytesIO(locator.screenshot())).convert("RGB")
    return np.asarray(picture).astype(int)


def colourful(picture: np.ndarray) -> int:
    """Pixels that are not grey."""
    return int((np.ptp(picture, axis=-1) > 40).sum())
