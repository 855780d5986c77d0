"""Folders, as people have them, to cases; splits by subject.

`pipeline.cases.layouts` says what each file is; here files become cases, under one set of rules.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.cases.layouts import (
    MODALITIES,
    UNKNOWN_SUFFIX,
    Found,
    Part,
    canonical_modality,
    enclosing_dataset,
    read_layout,
)
from pipeline.errors import InputError
from pipeline.files.nifti import is_picture, is_volume, read_labels
from pipeline.files.record.people import CaseEntry, ChannelOf, Datalist

_MSD_NAME = re.compile(r"BRATS_\d{3}")
_MSD_NOTE = (
    "names like BRATS_001 are those of MSD Task01, whose label values mean something else than "
    "those of BraTS: they are read as MSD's; --label-scheme says otherwise"
)


@dataclass(frozen=True)
class ImageFile:
    """A file and, where it is 4-D, the channel in it."""

    path: Path
    channel: int | None = None


@dataclass(frozen=True)
class Case:
    """One subject's images of one visit.

    Attributes:
        name: unique in its cohort and fit for a folder name.
        subject: what splits are made by; several cases may share one.
        images: modality (``flair``, ``t1``, ``t1ce``, ``t2``, ...) to file.
        label: lesion label map (0 background, see ``label_scheme``), or None.
        brain_mask: file whose voxels > 0 are brain (a mask or a parcellation; any grid that
            overlaps in world space), or None where the background of the image is zero.
        exclude: mask of voxels that do not count as healthy (white-matter lesions), or None.
        healthy: True where folder, datalist or flag says so; False where a lesion label or a
            folder says otherwise; None where nothing is said.
        label_scheme: what the label's values mean: a key of `LABEL_SCHEMES`, or ``auto``.
    """

    name: str
    subject: str
    images: Mapping[str, ImageFile]
    label: ImageFile | None = None
    brain_mask: ImageFile | None = None
    exclude: ImageFile | None = None
    healthy: bool | None = None
    label_scheme: str = "auto"

    @property
    def files(self) -> tuple[ImageFile, ...]:
        """Every file of the case, images first."""
        others = (self.label, self.brain_mask, self.exclude)
        return (*self.images.values(), *(file for file in others if file is not None))


@dataclass(frozen=True)
class Cohort:
    """What was found under a path: the cases, and the files left out with the reason.

    Attributes:
        root: the path searched, absolute.
        cases: sorted by name.
        left_out: file to the reason why no case uses it.
        layout: the name of the layout recognised, a key of `pipeline.cases.layouts.LAYOUTS`.
        notes: what was assumed, one sentence each.
        incomplete: case that could not be used, though it has an image, to the reason.
    """

    root: Path
    cases: tuple[Case, ...]
    left_out: Mapping[Path, str] = field(default_factory=dict)
    layout: str = ""
    notes: tuple[str, ...] = ()
    incomplete: Mapping[str, str] = field(default_factory=dict)

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects, sorted, each once."""
        return tuple(sorted({case.subject for case in self.cases}))


# --- what the values of a label map mean --------------------------------------------------------


@dataclass(frozen=True)
class LabelScheme:
    """Region to the label values in it, and values that are known but in no region."""

    regions: Mapping[str, tuple[int, ...]]
    ignored: tuple[int, ...] = ()

    @property
    def known(self) -> set[int]:
        """Every value that may occur."""
        return {0, *self.ignored, *(v for values in self.regions.values() for v in values)}


LABEL_SCHEMES: Mapping[str, LabelScheme] = {
    # 2018-2022: 1 necrosis and non-enhancing, 2 oedema, 4 enhancing
    "brats2018": LabelScheme({"whole_tumour": (1, 2, 4), "tumour_core": (1, 4), "enhancing": (4,)}),
    # since 2023: 1 non-enhancing core, 2 FLAIR hyperintensity, 3 enhancing; 2024: 4 resection
    # cavity, which is no tumour
    "brats2023": LabelScheme(
        {"whole_tumour": (1, 2, 3), "tumour_core": (1, 3), "enhancing": (3,)}, ignored=(4,)
    ),
    # Medical Segmentation Decathlon Task01: 1 oedema, 2 non-enhancing, 3 enhancing
    "msd": LabelScheme({"whole_tumour": (1, 2, 3), "tumour_core": (2, 3), "enhancing": (3,)}),
    # one lesion class; 255 is how 8-bit masks write it
    "binary": LabelScheme({"whole_tumour": (1, 255)}),
}


def label_regions(label: np.ndarray, scheme: str, source: Path) -> dict[str, np.ndarray]:
    """Boolean masks of the regions of a lesion label map.

    ``auto`` decides by the values found: a 4 and no 3 is ``brats2018``, a 3 is ``brats2023``.
    Two things it cannot know. MSD Task01 holds a 3 too, and its 1 and 2 mean the opposite: the
    whole tumour and the enhancing part come out right, the core does not, unless the scheme is
    given. And a post-operative BraTS 2024 label with a cavity (4) but no enhancing part (3) looks
    like ``brats2018``; files with BraTS names do not rely on ``auto``. Where only 1 and 2 occur,
    the meanings differ between the schemes and only ``whole_tumour`` is returned.

    Args:
        label: whole numbers, any shape, 0 is background.
        scheme: a key of `LABEL_SCHEMES`, or ``auto``.
        source: the file the label came from. A picture is one lesion class: values above 127 of
            255 are lesion (JPEG blurs the edge), or 1 where no value is larger.

    Returns:
        ``whole_tumour``, ``tumour_core`` and ``enhancing``, as far as the scheme has them, each
        of ``label``'s shape.

    Raises:
        InputError: the scheme is unknown, or a value occurs that the scheme does not have.
    """
    found = {int(value) for value in np.unique(label)}
    if scheme in ("auto", "binary") and is_picture(source):
        return {"whole_tumour": _picture_lesion(label, source)}
    if scheme == "auto":
        if found <= {0, 1, 2} or found <= {0, 255}:
            return {"whole_tumour": label > 0}
        scheme = "brats2018" if 3 not in found else "brats2023"
    known = _checked_scheme(scheme, source).known
    if not found <= known:
        raise InputError(
            f"{source}: expected the label values {sorted(known)} of the scheme {scheme}, found "
            f"{sorted(found)}; say which code the file uses with --label-scheme "
            f"({', '.join(LABEL_SCHEMES)})"
        )
    regions = LABEL_SCHEMES[scheme].regions
    return {name: np.isin(label, values) for name, values in regions.items()}


def _picture_lesion(label: np.ndarray, source: Path) -> np.ndarray:
    highest = int(label.max(initial=0))
    if label.min(initial=0) < 0 or 1 < highest <= 127:
        raise InputError(
            f"{source}: expected a mask of 0 and 255 (or 0 and 1), the highest value is {highest}; "
            "save the lesion in white"
        )
    return label > (127 if highest > 1 else 0)


def _checked_scheme(scheme: str, source: Path) -> LabelScheme:
    if scheme not in LABEL_SCHEMES:
        raise InputError(
            f"{source}: unknown label scheme {scheme!r}; the schemes are auto, "
            f"{', '.join(LABEL_SCHEMES)}"
        )
    return LABEL_SCHEMES[scheme]


# --- files to cases -----------------------------------------------------------------------------


def find_cases(
    path: Path | str,
    *,
    modalities: Sequence[str] | None = None,
    healthy: bool | None = None,
    section: str | None = None,
    label_scheme: str | None = None,
) -> Cohort:
    """Find the cases under a path, in any layout of `pipeline.cases.layouts.LAYOUTS`.

    No voxel is read. Every image file is either part of a case or in ``left_out`` with a reason.

    Args:
        path: a cohort, a case folder, one image, or a MONAI datalist (``.json``).
        modalities: what each case must have, in any spelling; others are left out. None takes all.
        healthy: what the user says about cases of which neither a folder nor a datalist says it.
            It overrules what a label implies (`healthy_for_training` reads that label), and a
            False from any side wins.
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
        _checked_scheme(str(label_scheme), root)
    given = (modalities,) if isinstance(modalities, str) else modalities or ()
    asked = tuple(dict.fromkeys(map(canonical_modality, given)))
    for name in asked:
        if name not in MODALITIES:
            raise InputError(f"no modality is called {name!r}; there are {', '.join(MODALITIES)}")
    said = _Said(asked, healthy, section, label_scheme)
    return _in_its_dataset(root, said) or _read(root, said)


class _Said(NamedTuple):
    """What a user says about the cases; see `find_cases`."""

    modalities: tuple[str, ...]
    healthy: bool | None
    section: str | None
    label_scheme: str | None


def _read(root: Path, said: _Said, *, recursive: bool = True) -> Cohort:
    asked, healthy, section, label_scheme = said
    layout, found = read_layout(root, section, recursive=recursive)
    left_out, notes = dict(found.left_out), list(found.notes)
    groups: dict[tuple[Path, str], list[Part]] = defaultdict(list)
    for part in _name_modalities(root, found, asked, left_out, notes):
        groups[part.folder, part.case].append(part)
    built, incomplete = {}, {}
    for key, parts in sorted(groups.items()):
        case = _case(parts, asked, left_out)
        if case is not None:
            built[key] = _declare(case, parts, healthy, label_scheme, root)
        elif image := next((part for part in parts if part.role == "image"), None):
            incomplete[key[1] or key[0].name] = left_out[image.path]
    if not built:
        raise InputError(_nothing_found(root, left_out, asked))
    names = _unique_names(root, list(built), notes)
    cases = [
        replace(case, name=name, subject=case.subject or name)
        for case, name in zip(built.values(), names, strict=True)
    ]
    cases.sort(key=lambda case: case.name)
    if healthy and (n_kept := sum(case.healthy is False for case in cases)):
        notes.append(f"{n_kept} cases stay not healthy: a folder or datalist says so")
    if label_scheme is None and layout != "msd" and any(c.label and _is_msd(c) for c in cases):
        cases = [
            replace(c, label_scheme="msd") if _is_msd(c) and c.label_scheme == "auto" else c
            for c in cases
        ]
        notes.append(_MSD_NOTE)
    used = {file.path for case in cases for file in case.files}
    left_out = {file: left_out[file] for file in sorted(left_out) if file not in used}
    return Cohort(root, tuple(cases), left_out, layout, tuple(notes), incomplete)


def _in_its_dataset(path: Path, said: _Said) -> Cohort | None:
    """The cases of one file, or of a folder of a data set, read with what lies around it.

    A single image has its mask and label beside it; a folder of a BIDS or MSD data set has them
    elsewhere in the data set.

    Returns:
        None where nothing around ``path`` tells more than it does itself.
    """
    root = enclosing_dataset(path)
    try:
        if root is not None and root != path:
            cohort = _read(root, said)
        elif root is None and path.is_file() and is_volume(path):
            cohort = _read(path.parent, said, recursive=False)
        else:
            return None
    except InputError:
        return None
    inside = tuple(
        case
        for case in cohort.cases
        if any(file.path == path or path in file.path.parents for file in case.images.values())
    )
    if not inside:
        return None
    left_out = {file: why for file, why in cohort.left_out.items() if path in file.parents}
    return replace(cohort, root=path, cases=inside, left_out=left_out, incomplete={})


def _is_msd(case: Case) -> bool:
    return _MSD_NAME.fullmatch(case.name) is not None


def _name_modalities(
    root: Path, found: Found, asked: Sequence[str], left_out: dict[Path, str], notes: list[str]
) -> list[Part]:
    """Give images whose name says no modality the one that is asked for, or leave them out."""
    images = [part for part in found.parts if part.role == "image"]
    unnamed = [part for part in images if not part.modality]
    if not unnamed:
        return found.parts
    if len(unnamed) < len(images) and not found.unnamed_modality:
        for part in unnamed:
            left_out[part.path] = UNKNOWN_SUFFIX
        return [part for part in found.parts if part.role != "image" or part.modality]
    if len(asked) > 1 or not (asked or found.unnamed_modality):
        raise InputError(
            f"{root}: no modality in names like {unnamed[0].path.name}, expected "
            "<case>_<modality>.nii.gz; rename the files, or ask for exactly one modality "
            "(--modality flair) that all of them are"
        )
    modality = asked[0] if asked else found.unnamed_modality
    if asked:
        notes.append(f"{len(unnamed)} images whose name says no modality are taken as {modality}")
    return [
        replace(part, modality=modality) if part.role == "image" and not part.modality else part
        for part in found.parts
    ]


def _case(parts: Sequence[Part], asked: Sequence[str], left_out: dict[Path, str]) -> Case | None:
    """The case that a group of files is, without its final name; None where it is unusable."""
    best = _best(parts, left_out)
    images = {modality: part for (role, modality), part in best.items() if role == "image"}
    others = {role: part for (role, _), part in best.items() if role != "image"}
    for modality in [m for m, part in images.items() if not part.path.is_file()]:
        left_out[images.pop(modality).path] = "no such file, or a dead link"
    missing = [modality for modality in asked if modality not in images]
    broken = [role for role, part in others.items() if not part.path.is_file()]
    reason = ""
    if not images:
        reason = "no image beside this " + (" and ".join(others).replace("_", " ") or "file")
    elif missing:
        reason = f"has {', '.join(sorted(images))}; {', '.join(missing)} is missing"
    elif broken:
        reason = f"{broken[0].replace('_', ' ')} of the case: no such file, or a dead link"
    if reason:
        for part in (*images.values(), *others.values()):
            left_out[part.path] = reason
        return None
    for modality in [m for m in images if asked and m not in asked]:
        left_out[images.pop(modality).path] = f"wrong modality: {modality} is not asked for"
    subjects = sorted({part.subject for part in parts if part.subject is not None})
    return Case(
        name="",
        subject=subjects[0] if subjects else "",
        images={m: ImageFile(images[m].path, images[m].channel) for m in asked or sorted(images)},
        label=_image_file(others.get("label")),
        brain_mask=_image_file(others.get("brain_mask")),
        exclude=_image_file(others.get("exclude")),
    )


def _image_file(part: Part | None) -> ImageFile | None:
    return None if part is None else ImageFile(part.path, part.channel)


def _best(parts: Sequence[Part], left_out: dict[Path, str]) -> dict[tuple[str, str], Part]:
    """For each role and modality the file of the lowest rank; the others are left out."""
    best: dict[tuple[str, str], Part] = {}
    for part in sorted(parts, key=lambda part: (part.rank, part.path)):
        kept = best.setdefault((part.role, part.modality), part)
        if kept is not part:
            what = part.modality or part.role.replace("_", " ")
            left_out[part.path] = f"duplicate {what}: {kept.path.name} is used"
    return best


def _declare(
    case: Case, parts: Sequence[Part], flag: bool | None, scheme: str | None, root: Path
) -> Case:
    """What is said about the case: healthy or not, and the meaning of its label values."""
    said = {part.healthy for part in parts} | {flag}
    healthy = None
    if False in said:
        healthy = False
    elif True in said:
        healthy = True
    elif case.label is not None and all(part.infer_healthy for part in parts):
        healthy = False
    schemes = sorted({part.label_scheme for part in parts} - {"auto"})
    chosen = scheme or (schemes[0] if schemes else "auto")
    if chosen != "auto":
        _checked_scheme(chosen, root)
    return replace(case, healthy=healthy, label_scheme=chosen)


def _unique_names(root: Path, keys: Sequence[tuple[Path, str]], notes: list[str]) -> list[str]:
    """A name for each (folder, case); where several folders use one, the folders join in."""
    short = [case or folder.name for folder, case in keys]
    counts = Counter(short)
    names = []
    for (folder, case), name in zip(keys, short, strict=True):
        if counts[name] > 1:
            parts = folder.relative_to(root).parts if folder != root else ()
            tail = (case,) if case and (not parts or parts[-1] != case) else ()
            name = "_".join((*parts, *tail))
        names.append(name)
    repeated = [name for name, count in Counter(names).items() if count > 1 or not name]
    if repeated:
        raise InputError(f"{root}: two cases are named {repeated[0]!r}; rename one of them")
    n_renamed = sum(count for count in counts.values() if count > 1)
    if n_renamed:
        notes.append(
            f"{n_renamed} cases share a name with another in a different folder; their names got "
            "the folders'. If they are the same people, say so with "
            '"subject" in a datalist, or splits may separate them'
        )
    return names


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


# --- which cases a model may learn from ---------------------------------------------------------


def healthy_for_training(cohort: Cohort) -> tuple[list[Case], dict[str, str]]:
    """The cases that are healthy because someone said so, and whose label does not contradict it.

    An ``exclude`` mask (white-matter lesions) is no obstacle: its voxels do not count as healthy.
    A label map is read, and its case taken only where every voxel is 0.

    Returns:
        The healthy cases, and the name of every other case with the reason.

    Raises:
        InputError: no case remains.
    """
    taken, refused = [], {}
    for case in cohort.cases:
        reason = _why_not_healthy(case)
        if reason:
            refused[case.name] = reason
        else:
            taken.append(case)
    if not taken:
        reasons = "; ".join(f"{why} ({n})" for why, n in Counter(refused.values()).most_common(3))
        raise InputError(
            f"{cohort.root}: none of {len(cohort.cases)} cases can be learnt from: {reasons}. "
            "Say which are healthy: --healthy where all are, a folder named healthy/ or "
            'controls/, or "healthy": true in a datalist'
        )
    return taken, refused


def _why_not_healthy(case: Case) -> str:
    """The reason why a case is not for training, "" where it is."""
    if case.healthy is None:
        return "nothing says that it is healthy"
    if not case.healthy:
        return "it has a lesion label" if case.label else "folder, datalist or flag: not healthy"
    if case.label is None:
        return ""
    try:
        marked = read_labels(case.label.path, case.label.channel).data.any()
    except InputError as error:
        return f"its lesion label cannot be checked: {error}"
    return "said to be healthy, but its lesion label is not empty" if marked else ""


# --- splits -------------------------------------------------------------------------------------


def split_cases(
    cases: Iterable[Case], fractions_or_counts: Mapping[str, float | int], seed: int
) -> dict[str, list[Case]]:
    """Divide cases by subject: all cases of a subject come into the same part.

    Subjects are ordered by a hash of (seed, subject) and the parts are cut from that order one
    after the other. So the order of the input does not matter, and a further subject leaves all
    others in their order: only those next to a cut can change sides.

    Args:
        cases: of any number of subjects.
        fractions_or_counts: part to its share of the subjects: all floats (at most 1 together;
            whole numbers by largest remainder, ties by name), or all ints. Who is left over is in
            no part.
        seed: another seed, another order.

    Returns:
        Every part, its cases sorted by name.

    Raises:
        InputError: mixed or negative shares, more than there is, or a fraction that gets nobody.
    """
    by_subject: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_subject[case.subject].append(case)
    order = sorted(by_subject, key=lambda s: hashlib.sha256(f"{seed}:{s}".encode()).digest())
    parts, start = {}, 0
    for name, count in _subject_counts(fractions_or_counts, len(order)).items():
        chosen = [case for s in order[start : start + count] for case in by_subject[s]]
        parts[name] = sorted(chosen, key=lambda case: case.name)
        start += count
    return parts


def _subject_counts(shares: Mapping[str, float | int], n_subjects: int) -> dict[str, int]:
    """Whole numbers of subjects for each part; errors as `split_cases`."""
    text = ", ".join(f"{name}={share}" for name, share in shares.items()) or "nothing"
    kinds = {float if isinstance(share, float) else type(share) for share in shares.values()}
    if kinds not in ({int}, {float}) or not all(0 <= share < math.inf for share in shares.values()):
        raise InputError(f"split {text}: give all parts a count, or all a fraction of at least 0")
    total = sum(shares.values())
    if kinds == {int}:
        if total > n_subjects:
            raise InputError(
                f"split {text}: {total} subjects are asked for, there are {n_subjects}; ask for "
                "fewer, or add subjects"
            )
        return {name: int(share) for name, share in shares.items()}
    if total > 1 + 1e-9:
        raise InputError(f"split {text}: the fractions add up to {total:g}; at most 1 is there")
    exact = {name: share * n_subjects for name, share in shares.items()}
    counts = {name: math.floor(value + 1e-9) for name, value in exact.items()}
    n_short = round(sum(exact.values())) - sum(counts.values())
    by_remainder = sorted(exact, key=lambda name: (counts[name] - exact[name], name))
    for name in by_remainder[: max(n_short, 0)]:
        counts[name] += 1
    for name, share in shares.items():
        if share > 0 and counts[name] == 0:
            raise InputError(
                f"split {text}: {share:g} of {n_subjects} subjects leaves {name} nobody; ask for a "
                "larger fraction, or add subjects"
            )
    return counts


# --- out again: a datalist, a text --------------------------------------------------------------


def write_datalist(path: Path, sections: Mapping[str, Sequence[Case]]) -> None:
    """Write cases as a MONAI datalist from which `find_cases` reads equal cases.

    Paths below the file's own folder are written relative to it, all others absolute.

    Args:
        path: the ``.json`` file.
        sections: ``training``, ``validation``, ... to their cases; no case in two of them.

    Raises:
        InputError: a case is in two sections, or the file cannot be written.
    """
    counts = Counter(case.name for cases in sections.values() for case in cases)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise InputError(f"{path}: the case {repeated[0]!r} occurs twice; split the cases first")
    path = path.expanduser().absolute()
    entries: dict[str, Any] = {
        key: tuple(_entry(case, path.parent) for case in cases) for key, cases in sections.items()
    }
    Datalist(**entries).write(path)


def _entry(case: Case, base: Path) -> CaseEntry:
    """A case as an entry of a datalist."""

    def file(image: ImageFile) -> str | ChannelOf:
        path = image.path.absolute()
        text = path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)
        return text if image.channel is None else ChannelOf(path=text, channel=image.channel)

    def optional(image: ImageFile | None) -> str | ChannelOf | None:
        return None if image is None else file(image)

    return CaseEntry(
        name=case.name,
        subject=case.subject,
        image={modality: file(image) for modality, image in case.images.items()},
        label=optional(case.label),
        brain_mask=optional(case.brain_mask),
        exclude=optional(case.exclude),
        healthy=case.healthy,
        label_scheme=case.label_scheme,
    )


def format_cohort(cohort: Cohort, *, n_examples: int = 3) -> str:
    """A text for people: layout, cases, modalities, health, masks, and what was left out and why.

    Args:
        cohort: as `find_cases` returns it.
        n_examples: file names shown for each reason.
    """
    cases = cohort.cases
    health = Counter(case.healthy for case in cases)
    schemes = Counter(case.label_scheme for case in cases if case.label)
    lines = [
        f"{cohort.root}",
        f"layout   {cohort.layout}",
        f"cases    {len(cases)} of {len(cohort.subjects)} subjects",
        f"healthy  {health[True]} yes, {health[False]} no, {health[None]} not said",
        f"labels   {sum(schemes.values())}"
        + (f" ({', '.join(f'{s} {n}' for s, n in sorted(schemes.items()))})" if schemes else ""),
        f"masks    {sum(c.brain_mask is not None for c in cases)} brain, "
        f"{sum(c.exclude is not None for c in cases)} exclude",
        "",
        f"{'modality':10}{'cases':>7}{'healthy':>9}{'labelled':>10}",
    ]
    for modality in sorted({modality for case in cases for modality in case.images}):
        having = [case for case in cases if modality in case.images]
        n_healthy = sum(case.healthy is True for case in having)
        n_labelled = sum(case.label is not None for case in having)
        lines.append(f"{modality:10}{len(having):7d}{n_healthy:9d}{n_labelled:10d}")
    lines += ["", *(f"note: {note}" for note in cohort.notes)] if cohort.notes else []
    return "\n".join(lines + _format_left_out(cohort.left_out, n_examples))


def _format_left_out(left_out: Mapping[Path, str], n_examples: int) -> list[str]:
    """A line for each reason, the most frequent first."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for path, reason in sorted(left_out.items()):
        # Which file is used instead differs from file to file.
        key = reason.split(": ")[0] if reason.startswith("duplicate") else reason
        by_reason[key].append(path.name)
    lines = ["", f"left out: {len(left_out)} files"] if left_out else []
    for reason, names in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        dots = ", ..." if len(names) > n_examples else ""
        lines.append(f"{len(names):6d}  {reason} ({', '.join(names[:n_examples])}{dots})")
    return lines
