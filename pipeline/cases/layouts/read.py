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
from pipeline.cases.layouts.nnunet import NNUNET
from pipeline.cases.layouts.own import OWN_RESULT, own_results
from pipeline.cases.layouts.part import Found, Layout
from pipeline.cases.layouts.pictures import PICTURES
from pipeline.cases.layouts.search import image_files, why_unreadable
from pipeline.errors import InputError

LAYOUTS: tuple[Layout, ...] = (NNUNET, MSD, DATALIST, BIDS, PICTURES, BRATS, FLAT)
"""The first that recognises a path reads it: a new one stands before those that would take its
files too."""


def read_layout(
    root: Path, section: str | None = None, *, recursive: bool = True
) -> tuple[str, Found]:
    """Recognise the layout of a folder or file, and read it.

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
    _check_reachable(root)
    there, unreadable = image_files(root, recursive=recursive)
    ours = own_results(there)
    files = [path for path in there if path not in ours]
    aside = {**unreadable, **dict.fromkeys(ours, OWN_RESULT)}
    for layout in LAYOUTS:
        if layout.recognise(root, files):
            _check_section(root, section, layout)
            found = layout.read(root, files, section)
            return layout.name, replace(found, left_out={**aside, **found.left_out})
    raise InputError(
        f"{root}: expected a folder, an image (NIfTI, MGH, NRRD, MetaImage, PNG, JPEG, TIFF) or a "
        "datalist (.json); "
        f"{OWN_RESULT if ours else why_unreadable(root) or 'give one of these'}"
    )


def _check_reachable(root: Path) -> None:
    try:
        root.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{root}: no such file or folder") from None
    except OSError as error:
        raise InputError(f"{root}: cannot be reached ({error.strerror})") from error


def _check_section(root: Path, section: str | None, layout: Layout) -> None:
    if section is not None and layout.name not in (DATALIST.name, MSD.name):
        raise InputError(
            f"{root}: section {section!r} is asked for, but only a datalist has sections "
            f"and this is the layout {layout.name}; leave the section out"
        )
