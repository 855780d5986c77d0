"""`anomap app`: the Streamlit pages, served to this machine alone."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pipeline.errors import InputError
from pipeline.files.limits import MAX_UPLOAD_MB
from pipeline.files.names import WEIGHTS

ADDRESS = "127.0.0.1"
DEFAULT_PORT = 8501
PAGES = Path(__file__).with_name("pages.py")


def command(port: int, arguments: Sequence[str], *, browser: bool) -> list[str]:
    """What starts Streamlit on our pages; ``arguments`` are handed to `app_pages`."""
    options = {
        "server.address": ADDRESS,
        "server.port": port,
        "server.headless": str(not browser).lower(),
        "server.maxUploadSize": MAX_UPLOAD_MB,
        "server.fileWatcherType": "none",
        "server.runOnSave": "false",
        "browser.gatherUsageStats": "false",
        "server.showEmailPrompt": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "logger.level": "warning",
        # Of both themes: a colour of `theme` itself would make the pages light for everybody,
        # and the viewer in them follows the system.
        "theme.light.primaryColor": "#1f6fb2",
        "theme.dark.primaryColor": "#1f6fb2",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(PAGES), *words, "--", *arguments]


def serve(
    *, model: Path | None = None, port: int = DEFAULT_PORT, browser: bool = True, seed: int = 0
) -> NoReturn:
    """Serve the pages until interrupted; this process becomes Streamlit's.

    Args:
        model: the run that the Detect page offers.
        browser: open one.

    Raises:
        InputError: Streamlit is not installed, the port is none, or there is no such run.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise InputError("the app needs Streamlit: pip install -e '.[app]'")
    if not 1 <= port <= 65535:
        raise InputError(f"--port {port}: expected 1 to 65535")
    if model is not None and not model.is_file():
        from pipeline.run.locate import run_folder

        if not (run_folder(model) / WEIGHTS).is_file():
            raise InputError(
                f"--model {model}: expected a run's folder, or a bundle (folder or zip)"
            )
    arguments = ["--seed", str(seed)]
    if model is not None:
        arguments += ["--model", str(model.resolve() if model.exists() else model)]
    words = command(port, arguments, browser=browser)
    os.execv(words[0], words)
