"""Folders, zips and lists of files under any names."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import warnings
import zipfile
from pathlib import Path
from random import Random
from typing import Any

from foreign.drawn_bytes import Stored, chance, damaged, noise_bytes, one_of
from foreign.texts import any_name, json_bytes

_SUFFIXES = (
    *(".nii.gz", ".nii.gz", ".nii", ".png", ".jpg", ".NII.GZ", ".Nii", ".json", ".txt", ""),
    *(".dcm", ".img", ".hdr", ".mgz", ".nrrd", ".tif", ".gz", ".nii.bz2", ".part"),
)
_ENDINGS = (
    *("flair", "FLAIR", "t1", "T1w", "t1ce", "t2", "t2f", "T2-FLAIR", "adc", "seg", "label"),
    *(
        "brain_mask",
        "mask",
        "brain",
        "dseg",
        "desc-brain_mask",
        "label-lesion_mask",
        "wmh",
        "lesion",
    ),
    *("0000", "0001", "slice_003", "T1w_brain", "space-MNI_T1w", "run-1_T1w", "ses-2_FLAIR", ""),
)
_FOLDERS = (
    *("images", "labels", "masks", "brain_masks", "healthy", "tumour", "glioma", "yes", "no", "t1"),
    *("sub-01", "ses-1", "anat", "derivatives", "imagesTr", "labelsTr", ".hidden", "__MACOSX"),
    *("IXI-T1", "BraTS2021_00001", "BraTS-GLI-00001-000", "flair", "x.nii.gz"),
)
_CASES = (
    *("case", "sub-01", "sub-1_ses-2", "BraTS2021_00001", "BraTS-GLI-00001-000", "BRATS_001"),
    *("BraTS-PED-00001-000", "IXI012-HH-1211", "p_1", "sub-01_ce-gd"),
)


def file_name(rng: Random) -> str:
    """A name of a file as people have it, or as nobody has."""
    case = rng.choice(_CASES) if not chance(rng, 0.15) else any_name(rng)
    ending = rng.choice(_ENDINGS)
    joined = rng.choice(("_", "_", "_", "-", "")).join(filter(None, (case, ending)))
    return joined + rng.choice(_SUFFIXES)


def make_tree(rng: Random, root: Path) -> list[str]:
    """Files of no content in folders, and what else is in folders; their names."""
    folders = [root]
    for _ in range(rng.choice((0, 0, 1, 2, 4))):
        name = rng.choice(_FOLDERS) if not chance(rng, 0.1) else any_name(rng)
        folders.append(rng.choice(folders) / _as_one_name(name))
    names = []
    for _ in range(rng.choice((1, 2, 3, 5, 8))):
        path = rng.choice(folders) / _as_one_name(file_name(rng))
        # A name that the file system refuses is no input.
        with contextlib.suppress(OSError, ValueError):
            path.parent.mkdir(parents=True, exist_ok=True)
            one_of(rng, *_MAKERS)(path)
            names.append(path.name)
    return names


def _as_one_name(name: str) -> str:
    """A name as the file system may take it: bytes of 255 at most, no separators."""
    kept = name.replace("/", "_").replace("\0", "_").replace("\ud800", "_") or "_"
    return "_" if kept in (".", "..") else kept


def _touch(rng: Random) -> Any:
    return lambda path: path.write_bytes(b"")


def _special(rng: Random) -> Any:
    def make(path: Path) -> None:
        kind = rng.randrange(6)
        if kind == 0:
            path.mkdir()
        elif kind == 1:
            path.symlink_to(path.parent)
        elif kind == 2:
            path.symlink_to(path.parent / "nowhere")
        elif kind == 3:
            os.mkfifo(path)
        elif kind == 4:
            path.symlink_to(path.name)  # to itself
        else:
            (path.parent / "dataset.json").write_bytes(msd_bytes(rng, [path.name]))

    return make


_MAKERS = (_touch, _touch, _touch, _touch, _touch, _touch, _touch, _special)


# --- lists ---------------------------------------------------------------------------------------


def datalist_bytes(rng: Random, names: list[str]) -> bytes:
    """A MONAI datalist of files, right or not."""
    entries = []
    for i, name in enumerate(names):
        entry: dict[str, Any] = {"image": name}
        entry |= rng.choice(
            (
                {},
                {"modality": "flair"},
                {"image": {"flair": name}},
                {"image": {"t1": {"path": name, "channel": rng.choice((0, 3, -1))}}},
                {"image": [name, name], "modality": ["t1", "flair"]},
                {"name": any_name(rng), "modality": "t1"},
                {"label": name, "label_scheme": "binary", "healthy": False},
            )
        )
        if chance(rng, 0.5):
            entry["name"] = f"c{i}"
        entries.append(entry)
    tree = {"training": entries[::2], "test": entries[1::2], "description": "x"}
    return json_bytes(rng, tree)


def msd_bytes(rng: Random, names: list[str]) -> bytes:
    """The ``dataset.json`` of files, right or not."""
    tree = {
        "name": "Brains",
        "modality": rng.choice(({"0": "FLAIR"}, {"0": "FLAIR", "1": "T1w"}, {"²": "x"}, {})),
        "labels": rng.choice(({"0": "background", "1": "edema"}, {"1": "tumour"}, ["a"], {})),
        "training": [{"image": f"./{name}", "label": f"./{name}"} for name in names],
        "test": [f"./{name}" for name in names[:1]],
    }
    return json_bytes(rng, tree)


# --- zips ----------------------------------------------------------------------------------------


def bundle_zip(rng: Random, files: dict[str, bytes]) -> Stored:
    """A zipped bundle of such files, or what is called one."""
    out = io.BytesIO()
    method = rng.choice((0, 8, 8, 8, 12, 14))
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")  # two members of one name
        for name, content in files.items():
            where = rng.choice(("b/models/", "b/models/", "b/models/", "models/", "", "b/m/"))
            written = content
            if method == zipfile.ZIP_DEFLATED and chance(rng, 0.005):
                written = bytes(1 << 27)
            if not chance(rng, 0.1):
                archive.writestr(where + name, written)
        for _ in range(rng.choice((0, 0, 1, 2))):
            inner = rng.choice(_MEMBERS)
            archive.writestr(inner, noise_bytes(rng, 10))
    content = out.getvalue()
    if chance(rng, 0.2):
        content = _with_flag(rng, content)
    if chance(rng, 0.3):
        content = damaged(rng, content)
    return Stored("bundle.zip", content, len(content))


_MEMBERS = (
    *("../evil", "/etc/evil", "b/models/config.yaml", "c/models/config.yaml", "b/models/../../x"),
    *("b\\models\\config.yaml", "b/models/", "b/models/model.pt/", "x" * 300, "b/models/é\n"),
)


def _with_flag(rng: Random, content: bytes) -> bytes:
    """A zip whose members claim to be encrypted, or packed in an unknown way."""
    at = [content.find(b"PK\x01\x02"), content.find(b"PK\x03\x04")]
    offset = rng.choice((2, 4, 6))  # flags and method of the two kinds of headers
    value = struct.pack("<H", rng.choice((1, 99, 9, 0x800, 0x2041)))
    for start, shift in zip(at, (offset + 4, offset + 2), strict=True):
        if start >= 0:
            content = content[: start + shift] + value + content[start + shift + 2 :]
    return content
