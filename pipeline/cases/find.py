"""Folders, as people have them, to cases.

`pipeline.cases.layouts` says what each file is, `pipeline.cases.assemble` what case the files
of one name make; here a path becomes a cohort.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pipeline.cases.assemble import Request, assemble, with_modalities
from pipeline.cases.case import Case, Cohort
from pipeline.cases.labels import checked_scheme
from pipeline.cases.layouts.msd import MSD
from pipeline.cases.layouts.names import MODALITIES, canonical_modality
from pipeline.cases.layouts.part import Part
from pipeline.cases.layouts.read import read_layout
from pipeline.cases.layouts.search import enclosing_dataset
from pipeline.errors import InputError
from pipeline.files.nifti import is_volume

_MSD_NAME = re.compile(r"BRATS_\d{3}")
_MSD_NOTE = (
    "names like BRATS_001 are those of MSD Task01, whose label values mean something else than "
    "those of BraTS: they are read as MSD's; --label-scheme says otherwise"
)


def find_cases(
    path: Path | str,
    *,
    modalities: Sequence[str] | None = None,
    healthy: bool | None = None,
    section: str | None = None,
    label_scheme: str | None = None,
) -> Cohort:
    """Find the cases under a path, in any of `pipeline.cases.layouts.read.LAYOUTS`.

    No voxel is read. Every image file is either part of a case or in ``left_out`` with a reason.

    Args:
        path: a cohort, a case folder, one image, or a MONAI datalist (``.json``).
        modalities: what each case must have, in any spelling; others are left out. None takes all.
        healthy: what the user says about cases of which neither a folder nor a datalist says it.
            It overrules what a label implies (`pipeline.cases.splits.healthy_for_training` reads
            that label), and a False from any side wins.
        section: the key of a datalist to read; None reads all.
        label_scheme: what the label values mean, instead of what names and ``auto`` tell.

    Returns:
        The cohort; its paths are absolute, its cases sorted by name.

    Raises:
        InputError: nothing usable is there, the path or a datalist is not what it should be, two
            cases have one name, or names say no modality and not exactly one is asked for.
    """
    root = Path(path).expanduser().absolute()
    if label_scheme not in (None, "auto"):
        checked_scheme(str(label_scheme), root)
    given = (modalities,) if isinstance(modalities, str) else modalities or ()
    asked = tuple(dict.fromkeys(map(canonical_modality, given)))
    for name in asked:
        if name not in MODALITIES:
            raise InputError(f"no modality is called {name!r}; there are {', '.join(MODALITIES)}")
    request = Request(asked, healthy, section, label_scheme)
    return _read_inside_dataset(root, request) or _read(root, request)


# --- a path inside a data set -------------------------------------------------------------------


def _read_inside_dataset(path: Path, request: Request) -> Cohort | None:
    """The cases of one file, or of a folder of a data set, read with what lies around it.

    A single image has its mask and label beside it; a folder of a BIDS or MSD data set has them
    elsewhere in the data set.

    Returns:
        None where nothing around ``path`` tells more than it does itself.
    """
    try:
        cohort = _read_around(path, request)
    except InputError:
        return None
    inside = tuple(case for case in cohort.cases if _lies_in(case, path)) if cohort else ()
    if cohort is None or not inside:
        return None
    left_out = {file: why for file, why in cohort.left_out.items() if path in file.parents}
    return replace(cohort, root=path, cases=inside, left_out=left_out, incomplete={})


def _read_around(path: Path, request: Request) -> Cohort | None:
    """The data set or folder that a path lies in; None where it stands alone."""
    dataset = enclosing_dataset(path)
    if dataset is not None and dataset != path:
        return _read(dataset, request)
    if dataset is None and path.is_file() and is_volume(path):
        return _read(path.parent, request, recursive=False)
    return None


def _lies_in(case: Case, path: Path) -> bool:
    return any(file.path == path or path in file.path.parents for file in case.images.values())


# --- a path to a cohort -------------------------------------------------------------------------

_Key = tuple[Path, str]
"""Folder and name, by which parts are grouped to cases."""


def _read(root: Path, request: Request, *, recursive: bool = True) -> Cohort:
    layout, found = read_layout(root, request.section, recursive=recursive)
    found = with_modalities(found, request.modalities, root)
    left_out = dict(found.left_out)
    built: dict[_Key, Case] = {}
    incomplete: dict[str, str] = {}
    for key, parts in _grouped(found.parts).items():
        assembled = assemble(parts, request, root)
        left_out |= assembled.left_out
        if assembled.case is not None:
            built[key] = assembled.case
        elif assembled.why_not:
            incomplete[_short_name(key)] = assembled.why_not
    if not built:
        raise InputError(_nothing_found(root, left_out, request.modalities))
    named = _with_unique_names(root, built)
    coded = _with_msd_scheme(named.cases, request, layout)
    used = {file.path for case in coded.cases for file in case.files}
    return Cohort(
        root=root,
        cases=coded.cases,
        left_out={file: left_out[file] for file in sorted(left_out) if file not in used},
        layout=layout,
        notes=(*found.notes, *named.notes, *_note_of_health(named.cases, request), *coded.notes),
        incomplete=incomplete,
    )


def _grouped(parts: Sequence[Part]) -> dict[_Key, list[Part]]:
    groups: dict[_Key, list[Part]] = defaultdict(list)
    for part in parts:
        groups[part.folder, part.case].append(part)
    return {key: groups[key] for key in sorted(groups)}


class _Noted(NamedTuple):
    """Cases, and what was assumed of them."""

    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()


def _note_of_health(cases: Sequence[Case], request: Request) -> tuple[str, ...]:
    n_not = sum(case.healthy is False for case in cases)
    if not request.healthy or not n_not:
        return ()
    return (f"{n_not} cases stay not healthy: a folder or datalist says so",)


def _with_msd_scheme(cases: tuple[Case, ...], request: Request, layout: str) -> _Noted:
    """Cases with names of MSD Task01 get its label scheme, where nothing else says one."""
    is_said = request.label_scheme is not None or layout == MSD.name
    if is_said or not any(case.label and _has_msd_name(case) for case in cases):
        return _Noted(cases)
    coded = tuple(
        replace(case, label_scheme="msd") if _is_uncoded_msd(case) else case for case in cases
    )
    return _Noted(coded, (_MSD_NOTE,))


def _has_msd_name(case: Case) -> bool:
    return _MSD_NAME.fullmatch(case.name) is not None


def _is_uncoded_msd(case: Case) -> bool:
    return _has_msd_name(case) and case.label_scheme == "auto"


def _nothing_found(root: Path, left_out: Mapping[Path, str], asked: Sequence[str]) -> str:
    wanted = f" with {', '.join(asked)}" if asked else ""
    reasons = "; ".join(
        f"{reason} ({n})" for reason, n in Counter(left_out.values()).most_common(4)
    )
    return (
        f"{root}: no case{wanted} found, expected NIfTI files or pictures named "
        f"<case>_<modality>, BIDS, MSD or a datalist; {reasons or 'there is no image file'}. "
        "DICOM files need dcm2niix first; data/README.md of anomap shows the layouts"
    )


# --- names --------------------------------------------------------------------------------------


def _with_unique_names(root: Path, built: Mapping[_Key, Case]) -> _Noted:
    """Named cases, sorted; where several folders use one name, the folders join in.

    Raises:
        InputError: two have one name all the same.
    """
    counts = Counter(map(_short_name, built))
    cases = []
    for key, case in built.items():
        name = _short_name(key)
        cases.append(_with_name(case, _name_with_folder(root, key) if counts[name] > 1 else name))
    _check_names(root, [case.name for case in cases])
    n_renamed = sum(count for count in counts.values() if count > 1)
    note = (
        f"{n_renamed} cases share a name with another in a different folder; their names got "
        "the folders'. If they are the same people, say so with "
        '"subject" in a datalist, or splits may separate them'
    )
    in_order = tuple(sorted(cases, key=lambda case: case.name))
    return _Noted(in_order, (note,) if n_renamed else ())


def _check_names(root: Path, names: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1 or not name]
    if repeated:
        raise InputError(f"{root}: two cases are named {repeated[0]!r}; rename one of them")


def _with_name(case: Case, name: str) -> Case:
    """A case that nobody gave a subject is its own."""
    return replace(case, name=name, subject=case.subject or name)


def _short_name(key: _Key) -> str:
    folder, case = key
    return case or folder.name


def _name_with_folder(root: Path, key: _Key) -> str:
    folder, case = key
    parts = folder.relative_to(root).parts if folder != root else ()
    tail = (case,) if case and (not parts or parts[-1] != case) else ()
    return "_".join((*parts, *tail))
