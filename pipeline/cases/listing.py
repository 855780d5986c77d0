"""Cases as a list: a MONAI datalist for programs, a text for people."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.cases.case import Case, Cohort, ImageFile
from pipeline.errors import InputError, printable
from pipeline.files.images.pairs import image_hash
from pipeline.files.record.datalist import CaseEntry, ChannelOf, Datalist


def write_datalist(
    path: Path, sections: Mapping[str, Sequence[Case]], *, with_hashes: bool = False
) -> None:
    """Write cases as a MONAI datalist from which `find_cases` reads equal cases.

    Paths below the file's own folder are written relative to it, all others absolute.

    Args:
        path: the ``.json`` file.
        sections: ``training``, ``validation``, ... to their cases; no case in two of them.
        with_hashes: say what is in the files, so that others in their place are noticed.

    Raises:
        InputError: a case is in two sections, or the file cannot be written.
    """
    counts = Counter(case.name for cases in sections.values() for case in cases)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise InputError(f"{path}: the case {repeated[0]!r} occurs twice; split the cases first")
    path = path.expanduser().absolute()
    entries: dict[str, Any] = {
        key: tuple(
            _entry(case, path.parent, file_hashes(case) if with_hashes else {}) for case in cases
        )
        for key, cases in sections.items()
    }
    Datalist(**entries).write(path)


def file_hashes(case: Case) -> dict[str, str]:
    """Modality, ``label`` ... to the SHA-256 of the file; without those that cannot be read."""
    hashes = {}
    for role, file in case.roles.items():
        with contextlib.suppress(OSError):
            hashes[role] = image_hash(file.path)
    return hashes


def _entry(case: Case, base: Path, hashes: Mapping[str, str]) -> CaseEntry:
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
        sha256=dict(hashes),
    )


def format_cohort(cohort: Cohort, *, n_examples: int = 3) -> str:
    """A text for people: layout, cases, modalities, health, masks, and what was left out and why.

    Args:
        cohort: as `find_cases` returns it.
        n_examples: file names shown for each reason.
    """
    lines = [*_format_numbers(cohort), "", *_format_modalities(cohort.cases)]
    lines += ["", *(f"note: {note}" for note in cohort.notes)] if cohort.notes else []
    lines += _format_reasons("not used: {} cases", cohort.incomplete, n_examples)
    files = {str(path): reason for path, reason in cohort.left_out.items()}
    lines += _format_reasons("left out: {} files", files, n_examples)
    return "\n".join(map(printable, lines))


def _format_numbers(cohort: Cohort) -> list[str]:
    """A line for each fact."""
    cases = cohort.cases
    health = Counter(case.healthy for case in cases)
    n_unlabelled = sum(case.healthy is False and case.label is None for case in cases)
    without = f" ({n_unlabelled} without a lesion label)" if n_unlabelled else ""
    return [
        str(cohort.root),
        f"layout   {cohort.layout}",
        f"cases    {len(cases)} of {len(cohort.subjects)} subjects",
        f"healthy  {health[True]} yes, {health[False]} no{without}, {health[None]} not said",
        f"labels   {_format_labels(cases)}",
        f"masks    {sum(c.brain_mask is not None for c in cases)} brain, "
        f"{sum(c.exclude is not None for c in cases)} exclude",
    ]


def _format_labels(cases: Sequence[Case]) -> str:
    """How many there are, and of which codes."""
    schemes = Counter(case.label_scheme for case in cases if case.label)
    coded = f" ({', '.join(f'{s} {n}' for s, n in sorted(schemes.items()))})" if schemes else ""
    return f"{sum(schemes.values())}{coded}"


def _format_modalities(cases: Sequence[Case]) -> list[str]:
    """A table with a line for each modality."""
    lines = [f"{'modality':10}{'cases':>7}{'healthy':>9}{'labelled':>10}"]
    for modality in sorted({modality for case in cases for modality in case.images}):
        having = [case for case in cases if modality in case.images]
        n_healthy = sum(case.healthy is True for case in having)
        n_labelled = sum(case.label is not None for case in having)
        lines.append(f"{modality:10}{len(having):7d}{n_healthy:9d}{n_labelled:10d}")
    return lines


def _format_reasons(title: str, reasons: Mapping[str, str], n_examples: int) -> list[str]:
    """A line for each reason, the most frequent first, with the last names of some paths."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in sorted(reasons.items()):
        # Which file is used instead differs from file to file.
        key = reason.split(": ")[0] if reason.startswith("duplicate") else reason
        by_reason[key].append(Path(name).name)
    lines = ["", title.format(len(reasons))] if reasons else []
    for reason, names in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        dots = ", ..." if len(names) > n_examples else ""
        lines.append(f"{len(names):6d}  {reason} ({', '.join(names[:n_examples])}{dots})")
    return lines
