"""What ``--model`` may name, to the run folder behind it: a run, a bundle, its zip, a name."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pipeline.errors import InputError
from pipeline.files.archives import TORN, unpack_member
from pipeline.files.identity import content_hash
from pipeline.files.limits import (
    MAX_ATLASES_BYTES,
    MAX_CONFIG_BYTES,
    MAX_RECORD_BYTES,
    MAX_TABLE_BYTES,
    MAX_WEIGHTS_BYTES,
)
from pipeline.files.names import ATLASES, CALIBRATION, CONFIG, LOSSES, RUN_RECORD, WEIGHTS
from pipeline.files.provenance import PACKAGE
from pipeline.files.scratch import remove_scratch, scratch_folder
from pipeline.files.texts import brief, quoted
from pipeline.run.words import NAMED, SHIPPED, no_weights_for

MODELS = "models"
"""The folder of a bundle that is a run folder."""
CARRIED = (CONFIG, WEIGHTS, ATLASES, CALIBRATION, LOSSES, RUN_RECORD)
"""Files of a run that a bundle carries; the last two may be missing."""
_MAX_BYTES = {
    CONFIG: MAX_CONFIG_BYTES,
    WEIGHTS: MAX_WEIGHTS_BYTES,
    ATLASES: MAX_ATLASES_BYTES,
    LOSSES: MAX_TABLE_BYTES,
}
_UNPACKED: dict[str, Path] = {}
"""Hash of a zip to the folder that its files lie in, as long as this process runs."""


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
    raise InputError(no_weights_for(at_hand))


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
    """The folder with the model's files of a zip; the same content is unpacked once."""
    try:
        content = content_hash(path)
        if (folder := _UNPACKED.get(content)) is None or not folder.is_dir():
            folder = _UNPACKED[content] = _unpacked(path)
    except TORN as error:
        if isinstance(error, InputError):
            raise
        reason = brief(error)
        raise InputError(f"{path}: not a run, and not a zipped bundle ({reason})") from error
    return folder


def _members(archive: zipfile.ZipFile, path: Path) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """What a zip holds, by name; programs differ in which of two of one name they read."""
    members = {}
    for info in archive.infolist():
        name = PurePosixPath(info.filename)
        if name in members and name.name in CARRIED:
            raise InputError(f"{path}: {quoted(str(name))} is in it twice; zip the bundle again")
        members[name] = info
    return members


def _unpacked(path: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = _members(archive, path)
        found = [p for p in members if p.parts[-2:] == (MODELS, CONFIG)]
        if len(found) != 1:
            raise InputError(
                f"{path}: not a zipped bundle: expected one {MODELS}/{CONFIG} in it, found "
                f"{len(found)}"
            )
        folder = scratch_folder()
        try:
            for name in CARRIED:
                if (member := members.get(found[0].with_name(name))) is not None:
                    max_bytes = _MAX_BYTES.get(name, MAX_RECORD_BYTES)
                    unpack_member(archive, member, folder / name, max_bytes)
        except BaseException:
            remove_scratch(folder)
            raise
    return folder
