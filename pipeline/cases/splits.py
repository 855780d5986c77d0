"""Who is learnt from: the cases that are healthy for certain, and splits by subject."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from pipeline.cases.case import Case, Cohort
from pipeline.errors import InputError, reason_of
from pipeline.files.images.reading import read_labels
from pipeline.files.texts import count


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
            f"{cohort.root}: of {count(len(cohort.cases), 'case')} none can be learnt from: "
            f"{reasons}. {_advice(set(refused.values()))}"
        )
    return taken, refused


NOT_SAID = "nothing says that it is healthy"


def _advice(reasons: set[str]) -> str:
    """What to do where no case is left: more to say, or other people to give."""
    if NOT_SAID in reasons:
        return (
            "Say which are healthy: --healthy where all are, a folder named healthy/ or "
            'controls/, or "healthy": true in a datalist'
        )
    return "Training takes people without a lesion: give their folders"


def _why_not_healthy(case: Case) -> str:
    """The reason why a case is not for training; "" where nothing speaks against it."""
    if case.healthy is None:
        return NOT_SAID
    if not case.healthy:
        return "it has a lesion label" if case.label else "folder, datalist or flag: not healthy"
    if case.label is None:
        return ""
    try:
        marked = read_labels(case.label.path, case.label.channel).data.any()
    except Exception as error:  # whatever it is, it does not stop the other cases
        return f"its lesion label cannot be checked: {reason_of(error)}"
    return "said to be healthy, but its lesion label is not empty" if marked else ""


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
    for name, n_subjects in _subject_counts(fractions_or_counts, len(order)).items():
        chosen = [case for s in order[start : start + n_subjects] for case in by_subject[s]]
        parts[name] = sorted(chosen, key=lambda case: case.name)
        start += n_subjects
    return parts


def _subject_counts(shares: Mapping[str, float | int], n_subjects: int) -> dict[str, int]:
    """Whole numbers of subjects for each part; errors as `split_cases`."""
    text = ", ".join(f"{name}={share}" for name, share in shares.items()) or "nothing"
    kinds = {float if isinstance(share, float) else type(share) for share in shares.values()}
    if kinds not in ({int}, {float}) or not _are_possible(shares.values()):
        raise InputError(f"split {text}: give all parts a count, or all a fraction of at least 0")
    if kinds == {float}:
        return _counts_of_fractions(shares, n_subjects, text)
    total = sum(shares.values())
    if total > n_subjects:
        raise InputError(
            f"split {text}: {total} subjects are asked for, there are {n_subjects}; ask for "
            "fewer, or add subjects"
        )
    return {name: int(share) for name, share in shares.items()}


def _are_possible(shares: Iterable[float]) -> bool:
    return all(0 <= share < math.inf for share in shares)


def _counts_of_fractions(
    fractions: Mapping[str, float], n_subjects: int, text: str
) -> dict[str, int]:
    """Whole numbers by largest remainder; ``text`` is the split for messages."""
    total = sum(fractions.values())
    if total > 1 + 1e-9:
        raise InputError(f"split {text}: the fractions add up to {total:g}; at most 1 is there")
    exact = {name: fraction * n_subjects for name, fraction in fractions.items()}
    counts = {name: math.floor(value + 1e-9) for name, value in exact.items()}
    n_short = round(sum(exact.values())) - sum(counts.values())
    by_remainder = sorted(exact, key=lambda name: (counts[name] - exact[name], name))
    for name in by_remainder[: max(n_short, 0)]:
        counts[name] += 1
    for name, fraction in fractions.items():
        if fraction > 0 and counts[name] == 0:
            raise InputError(
                f"split {text}: {fraction:g} of {n_subjects} subjects leaves {name} nobody; ask "
                "for a larger fraction, or add subjects"
            )
    return counts
