"""Folders, as people have them, to cases.

`pipeline.cases.layouts` says what each file is, `pipeline.cases.assemble` what case the files
of one name make; here a path becomes a cohort.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pipeline.cases.assemble import Assembled, Request, assemble, overruled, with_modalities
from pipeline.cases.case import Case, Cohort
from pipeline.cases.labels import checked_scheme
from pipeline.cases.layouts.msd import MSD
from pipeline.cases.layouts.names import (
    MODALITIES,
    PICTURE,
    canonical_modality,
    stem_of,
    unclear_folder,
)
from pipeline.cases.layouts.part import Found, Part
from pipeline.cases.layouts.read import read_layout
from pipeline.cases.layouts.search import enclosing_dataset
from pipeline.errors import InputError
from pipeline.files.case_name import CaseName, folder_key
from pipeline.files.images.formats import is_volume
from pipeline.files.paths import is_file, located
from pipeline.files.texts import count

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
    overrule: bool = False,
) -> Cohort:
    """Find the cases under a path, in any of `pipeline.cases.layouts.read.LAYOUTS`.

    Every image file is either part of a case or in ``left_out`` with a reason. Voxels are read only
    of files whose name says nothing, to tell scans from label maps.

    Args:
        path: a cohort, a case folder, one image, or a MONAI datalist (``.json``).
        modalities: what each case must have, in any spelling; others are left out. None takes all.
        healthy: what the user says about cases of which neither a folder nor a datalist says it.
            It overrules what a label implies (`pipeline.cases.splits.healthy_for_training` reads
            that label), and a False from any side wins.
        section: the key of a datalist to read; None reads all.
        label_scheme: what the label values mean, instead of what names and ``auto`` tell.
        overrule: a single file is of the one modality asked for, whatever its name says.

    Returns:
        The cohort; its paths are absolute, its cases sorted by name.

    Raises:
        InputError: nothing usable is there, the path or a datalist is not what it should be, or
            names say no modality and not exactly one is asked for.
    """
    root = located(path)
    if label_scheme not in (None, "auto"):
        checked_scheme(str(label_scheme), root)
    given = (modalities,) if isinstance(modalities, str) else modalities or ()
    asked = tuple(dict.fromkeys(map(canonical_modality, given)))
    for name in asked:
        if name not in MODALITIES and name != PICTURE:
            raise InputError(
                f"no modality is called {name!r}; there are {', '.join(MODALITIES)}, and {PICTURE} "
                "for pictures whose names say none"
            )
    request = Request(asked, healthy, section, label_scheme, overrule=overrule)
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
        return _read(dataset, replace(request, preferred=path))
    if dataset is None and is_file(path) and is_volume(path):
        return _read(path.parent, replace(request, preferred=path), recursive=False)
    return None


def _lies_in(case: Case, path: Path) -> bool:
    return any(file.path == path or path in file.path.parents for file in case.images.values())


# --- a path to a cohort -------------------------------------------------------------------------

_Key = tuple[Path, str]
"""Folder and name, by which parts are grouped to cases."""


def _read(root: Path, request: Request, *, recursive: bool = True) -> Cohort:
    layout, found = read_layout(root, request.section, recursive=recursive)
    found = with_modalities(overruled(found, request), request.modalities, root)
    groups = _grouped(found.parts)
    assembled = {
        key: assemble(parts, _short_name(key, parts), request, root)
        for key, parts in groups.items()
    }
    left_out = _left_out(found, assembled.values())
    named = _with_unique_names(root, {k: one.case for k, one in assembled.items() if one.case})
    lacking = {_place(root, k): one.why_not for k, one in assembled.items() if one.why_not}
    incomplete = _under_short_names({**lacking, **named.refused}, named.cases)
    if not named.cases:
        first = next(iter({**found.incomplete, **named.refused}.values()), "")
        raise InputError(first or _nothing_found(root, left_out, request.modalities))
    coded = _with_msd_scheme(named.cases, request, layout)
    doubts = [path for one in assembled.values() for path in one.doubts]
    return Cohort(
        root=root,
        cases=coded.cases,
        left_out=_without_used(left_out, coded.cases),
        layout=layout,
        notes=(
            *found.notes,
            *named.notes,
            *_note_of_doubts(doubts, left_out),
            *_notes_of_folders(root, found.parts),
            *_note_of_health(named.cases, request),
            *coded.notes,
        ),
        incomplete={**found.incomplete, **incomplete},
    )


def _left_out(found: Found, assembled: Iterable[Assembled]) -> dict[Path, str]:
    left_out = dict(found.left_out)
    for one in assembled:
        left_out |= one.left_out
    return left_out


def _without_used(left_out: Mapping[Path, str], cases: Sequence[Case]) -> dict[Path, str]:
    """The files that no case uses, sorted: of a 4-D one some channels may be left out."""
    used = {file.path for case in cases for file in case.files}
    return {file: left_out[file] for file in sorted(left_out) if file not in used}


def _grouped(parts: Sequence[Part]) -> dict[_Key, list[Part]]:
    groups: dict[_Key, list[Part]] = defaultdict(list)
    for part in parts:
        groups[part.folder, part.case].append(part)
    return {key: groups[key] for key in sorted(groups)}


class _Noted(NamedTuple):
    """Cases, what was assumed of them, and place -> why one of them is none."""

    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()
    refused: Mapping[str, str] = MappingProxyType({})


def _note_of_doubts(doubts: Sequence[Path], left_out: Mapping[Path, str]) -> tuple[str, ...]:
    """What was chosen of several, or not taken for another image's."""
    if not doubts:
        return ()
    first = min(doubts)
    return (f"{count(len(doubts), 'file')} not used, the first: {first.name}: {left_out[first]}",)


def _notes_of_folders(root: Path, parts: Sequence[Part]) -> tuple[str, ...]:
    """Of folders whose names speak of health in two ways."""
    unclear = {unclear_folder(root, part.path) for part in parts} - {None}
    return tuple(
        f"the folder {name!r} may hold healthy people or others: it counts as saying nothing; "
        "--healthy or a datalist says it"
        for name in sorted(map(str, unclear))
    )


def _note_of_health(cases: Sequence[Case], request: Request) -> tuple[str, ...]:
    n_not = sum(case.healthy is False for case in cases)
    if not request.healthy or not n_not:
        return ()
    return (f"{count(n_not, 'case')} not taken for healthy: a folder or datalist says so",)


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
        "data/README.md of anomap shows the layouts"
    )


# --- names --------------------------------------------------------------------------------------


def _with_unique_names(root: Path, built: Mapping[_Key, Case]) -> _Noted:
    """Named cases, sorted; where several folders use one name, the folders join in.

    Names that are one folder's where capitals do not count are one name. Those that are so all the
    same are refused where they are equal, and noted where they are not.
    """
    counts = Counter(folder_key(case.name) for case in built.values())
    cases: dict[_Key, Case] = {}
    refused: dict[str, str] = {}
    n_renamed = 0
    for key, case in built.items():
        is_shared = counts[folder_key(case.name)] > 1
        name = _name_with_folder(root, key, case.name) if is_shared else case.name
        n_renamed += name != case.name
        try:
            cases[key] = _with_name(case, name)
        except InputError as error:
            refused[_place(root, key)] = str(error)
    n_named = Counter(case.name for case in cases.values())
    for key, case in cases.items():
        if n_named[case.name] > 1:
            why = f"{root}: two cases are named {case.name!r}; rename one of them"
            refused[_place(root, key)] = why
    unique = (case for case in cases.values() if n_named[case.name] == 1)
    kept = tuple(sorted(unique, key=lambda case: case.name))
    return _Noted(kept, (*_note_of_folders(n_renamed), *notes_of_capitals(kept)), refused)


def _note_of_folders(n_renamed: int) -> tuple[str, ...]:
    note = (
        f"{n_renamed} cases share a name with another in a different folder; their names got "
        "the folders'. If they are the same people, say so with "
        '"subject" in a datalist, or splits may separate them'
    )
    return (note,) if n_renamed else ()


def notes_of_capitals(cases: Iterable[Case]) -> tuple[str, ...]:
    """Of names that are one on file systems of Windows and macOS."""
    alike: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        alike[folder_key(case.name)].append(case.name)
    return tuple(
        f"the names {' and '.join(names)} are one where capitals do not count, as on Windows and "
        "macOS: rename one before results go there"
        for names in alike.values()
        if len(names) > 1
    )


def _with_name(case: Case, name: str) -> Case:
    """A case that nobody gave a subject is its own; errors as `CaseName`."""
    return replace(case, name=CaseName(name), subject=case.subject or name)


def _short_name(key: _Key, parts: Sequence[Part]) -> str:
    """The case's own name, or its folder's; in the root of the file system its file's."""
    folder, case = key
    return case or folder.name or stem_of(parts[0].path)


def _name_with_folder(root: Path, key: _Key, name: str) -> str:
    folder, case = key
    parts = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    tail = (case,) if case and (not parts or parts[-1] != case) else ()
    return "_".join((*parts, *tail)) or name


def _place(root: Path, key: _Key) -> str:
    """Where a case lies and how it is called: no two have the same."""
    folder, case = key
    inside = folder.relative_to(root) if folder.is_relative_to(root) else folder
    return str(inside / case) if case else str(inside)


def _under_short_names(reasons: Mapping[str, str], cases: Sequence[Case]) -> dict[str, str]:
    """Reasons by the last name of a place, where no other place and no case has it too."""
    counts = Counter(Path(place).name for place in reasons)
    taken = {str(case.name) for case in cases}
    return {
        name if counts[name := Path(place).name] == 1 and name not in taken else place: reason
        for place, reason in reasons.items()
    }
