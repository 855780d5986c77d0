"""The registry of layouts, and reading a path in the one that recognises it.

A layout says what every file is (a `Part`); what follows from that (duplicates, missing
modalities, names, what is healthy) is decided once, for all layouts, in `pipeline.cases.find`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.cases.layouts.bids import BIDS
from pipeline.cases.layouts.datalist import DATALIST
from pipeline.cases.layouts.msd import MSD
from pipeline.cases.layouts.named import BRATS, FLAT
from pipeline.cases.layouts.part import Found, Layout
from pipeline.cases.layouts.pictures import PICTURES
from pipeline.cases.layouts.search import UNREADABLE, image_files
from pipeline.errors import InputError

LAYOUTS: tuple[Layout, ...] = (MSD, DATALIST, BIDS, PICTURES, BRATS, FLAT)
"""The first that recognises a path reads it: a new one stands before those that would take its
files too."""


def read_layout(
    root: Path, section: str | None = None, *, recursive: bool = True
) -> tuple[str, Found]:
    """Recognise the layout of a folder or file, and read it; no voxel is read.

    Args:
        root: absolute path of a folder, an image, or a ``.json`` datalist.
        section: the key of a datalist (or ``dataset.json``) to read; None reads all.
        recursive: whether subfolders are read.

    Returns:
        The layout's name, and every image file either as a part or left out with a reason.

    Raises:
        InputError: the path does not exist, nothing recognises it, its JSON is not what it should
            be, or a section is asked for that is not there.
    """
    if not root.exists():
        raise InputError(f"{root}: no such file or folder")
    files, unreadable = image_files(root, recursive=recursive)
    for layout in LAYOUTS:
        if layout.recognise(root, files):
            if section is not None and layout.name not in (DATALIST.name, MSD.name):
                raise InputError(
                    f"{root}: section {section!r} is asked for, but only a datalist has sections "
                    f"and this is the layout {layout.name}; leave the section out"
                )
            found = layout.read(root, files, section)
            return layout.name, replace(found, left_out={**unreadable, **found.left_out})
    raise InputError(
        f"{root}: expected a folder, a NIfTI file, a PNG / JPEG picture or a .json datalist; "
        f"{UNREADABLE.get(root.suffix.lower(), 'give one of these')}"
    )
