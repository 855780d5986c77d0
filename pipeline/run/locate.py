"""What ``--model`` may name, to the run folder behind it: a run, a bundle, its zip, a name."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pipeline.errors import InputError
from pipeline.files.names import ATLASES, CALIBRATION, CONFIG, LOSSES, RUN_RECORD, WEIGHTS
from pipeline.files.provenance import PACKAGE

MODELS = "models"
"""The folder of a bundle that is a run folder."""
CARRIED = (CONFIG, WEIGHTS, ATLASES, CALIBRATION, LOSSES, RUN_RECORD)
"""Files of a run that a bundle carries; the last two may be missing."""
SHIPPED = {"flair": "simplex_ddpm_brain", "t1": "simplex_ddpm_brain_t1"}
"""Modality -> bundle with weights that come with anomap; the first fits where both do."""
NAMED = SHIPPED | {"phantom": "simplex_ddpm_brain_phantom"}
"""What ``--model`` may say instead of a path; the last were trained on synthetic FLAIR alone."""


def bundle_dir(name: str) -> Path:
    """A bundle of ours: installed, or in a checkout."""
    installed = PACKAGE / "bundle_files" / name
    return installed if installed.is_dir() else PACKAGE.parent / "bundles" / name


def shipped_run(modalities: Iterable[str]) -> Path:
    """The run folder of the weights that come with anomap and fit a scan.

    Args:
        modalities: that the scan has; one of them must be shipped.

    Raises:
        InputError: there are no weights for any of them.
    """
    at_hand = tuple(modalities)
    for modality, name in SHIPPED.items():
        if modality in at_hand:
            return bundle_dir(name) / MODELS
    raise InputError(
        f"weights come with anomap for {' and '.join(SHIPPED)}; the scan is "
        f"{', '.join(at_hand) or 'of unknown modality: say --modality'}. Give --model RUN, a "
        "training of your own"
    )


def is_shipped(run: Path) -> bool:
    """Whether a run folder is one of those that come with anomap."""
    return run.resolve() in [(bundle_dir(name) / MODELS).resolve() for name in NAMED.values()]


def run_folder(path: Path) -> Path:
    """The run folder behind what ``--model`` names: a run, a bundle's folder, or a zipped bundle.

    A name of `NAMED` is that of weights that come with anomap, unless a run is called so. Of a zip
    only the model's files are read, into a temporary folder; its code is not run.

    Raises:
        InputError: a file that is no zipped bundle.
    """
    if path.is_file():
        return _unzipped(path)
    for folder in (path / MODELS, path):
        if (folder / CONFIG).is_file():
            return folder
    name = str(path).lower()
    return bundle_dir(NAMED[name]) / MODELS if name in NAMED else path


def _unzipped(path: Path) -> Path:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {PurePosixPath(name): name for name in archive.namelist()}
            found = [p for p in members if p.parts[-2:] == (MODELS, CONFIG)]
            if len(found) != 1:
                raise InputError(
                    f"{path}: not a zipped bundle: expected one {MODELS}/{CONFIG} in it, found "
                    f"{len(found)}"
                )
            folder = Path(tempfile.mkdtemp(prefix="anomap-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            for name in CARRIED:
                if (member := found[0].with_name(name)) in members:
                    (folder / name).write_bytes(archive.read(members[member]))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise InputError(f"{path}: not a run, and not a zipped bundle ({error})") from error
    return folder
