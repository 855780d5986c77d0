"""What an MR series shows, by its description and, where that says nothing, by its sequence.

The names are those of `pipeline.cases.layouts.names`. What is in doubt is "", with the doubt: a
wrong modality is worse than none, since the user can say it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.dicom.header import Header

FLAIR_INVERSION_MS = 1500.0
"""Shorter ones null white matter or fat, not water, at 1.5 T and 3 T."""
BY_DESCRIPTION, AS_SAID = "by its description", "as said"
LONG_ECHO_MS, LONG_REPETITION_MS, SHORT_REPETITION_MS = 60.0, 1800.0, 1200.0

_WORD = re.compile(r"[a-z]+\d*(?:\*)?|\d+[a-z]*|\+c|c\+")
_T1C = re.compile(r"t1w?c(?![a-z])|\+ ?c\b")
_FLAIR = ("flair", "darkfluid", "dark-fluid", "dark_fluid", "dark fluid")
_OTHERS = (
    ("adc", ("adc", "dadc", "eadc", "apparent diffusion")),
    ("dwi", ("dwi", "diff", "diffusion", "dti", "trace", "tracew", "b1000", "isotropic")),
    ("swi", ("swi", "swan", "swip", "venobold", "susceptibility")),
    ("mra", ("tof", "mra", "angio", "mip", "pca3d", "venography")),
    ("t2star", ("t2*", "t2star", "hemo", "haemo", "t2s")),
    ("perfusion", ("perf", "perfusion", "dsc", "dce", "asl", "pcasl", "rcbv", "rcbf", "pbp")),
    ("bold", ("bold", "fmri", "resting", "rsfmri", "task")),
    ("spectroscopy", ("svs", "csi", "spectroscopy", "press")),
    ("fieldmap", ("fieldmap", "fmap", "b0map", "grefield")),
)
"""What no weights are for, by words; of several the first."""
NO_CONTRAST = ("perfusion", "bold", "spectroscopy", "fieldmap")
"""Of these, what no detection is of."""
_T1_SEQUENCES = ("mprage", "mpr", "spgr", "fspgr", "bravo", "tfl", "mp2rage", "vibe")
"""Names of sequences that are T1 where no other word says something else."""
_PD = ("pd", "dp", "proton")
_AFTER: tuple[str, ...] = (
    *("gd", "gad", "gado", "gadolinium", "post", "postcontrast", "postgad", "ce", "km", "+c"),
    *("c+", "contrast", "gadovist", "dotarem", "enhanced", "postgd", "mitkm"),
)
_BEFORE = ("pre", "nativ", "native", "non", "without", "ohne", "sans", "precontrast", "nongd")

_BY_CONTRAST = {
    "FLUID_ATTENUATED": "flair",
    "T1": "t1",
    "T2": "t2",
    "PROTON_DENSITY": "pd",
    "T2_STAR": "t2star",
    "DIFFUSION": "dwi",
    "PERFUSION": "perfusion",
    "TOF": "mra",
}
"""AcquisitionContrast of enhanced objects."""


class Shown(NamedTuple):
    """Modality, "" where it is in doubt, and what tells it, or the doubt."""

    modality: str
    why: str


def modality_of(header: Header) -> Shown:
    """What the images of a series show, by one of its headers."""
    texts = (header.description, header.protocol)
    said = filter(None, (_by_words(text.lower(), header) for text in texts))
    shown = next(said, None) or _by_sequence(header)
    return _after_agent(shown, header) if shown.modality == "t1" else shown


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _has(words: set[str], names: Iterable[str], text: str = "") -> bool:
    return any(name in words or (" " in name and name in text) for name in names)


# --- by words -------------------------------------------------------------------------------------


def _by_words(text: str, header: Header) -> Shown | None:
    """None where a description, in lower case, does not say it."""
    words = _words(text)
    for name, names in _OTHERS:
        if _has(words, names, text):
            return Shown(name, BY_DESCRIPTION)
    if any(word in text for word in _FLAIR):
        return _flair_by_words(text, header)
    said = _weightings(words, text)
    if len(said) != 1:  # none, or the echoes of one series
        return None
    return _t2_by_words(header) if said == ["t2"] else Shown(said[0], BY_DESCRIPTION)


def _weightings(words: set[str], text: str) -> list[str]:
    """All that a description names; a name of a sequence counts where it names none."""
    named = (("t1", "t1" in text), ("t2", "t2" in words), ("pd", _has(words, _PD)))
    said = [name for name, is_said in named if is_said]
    return said or (["t1"] if _has(words, _T1_SEQUENCES) else [])


def _flair_by_words(text: str, header: Header) -> Shown:
    """T1 FLAIR is a T1; a FLAIR has a long echo."""
    echo = _echo_ms(header)
    is_short = 0 < echo < LONG_ECHO_MS / 2
    if "t1" in text and not is_flair_by_inversion(header):
        return Shown("t1", "T1 FLAIR, by its description")
    if is_short and not is_flair_by_inversion(header):
        return Shown("", f"it is called FLAIR, but its echo time is {echo:g} ms")
    return Shown("flair", BY_DESCRIPTION)


def _t2_by_words(header: Header) -> Shown:
    """A FLAIR may be called T2 (tirm)."""
    if is_flair_by_inversion(header):
        return Shown("flair", f"T2 with an inversion time of {header.inversion_ms:g} ms")
    return Shown("t2", BY_DESCRIPTION)


# --- by the sequence ------------------------------------------------------------------------------


def is_flair_by_inversion(header: Header) -> bool:
    """Whether water is nulled: a long inversion time with a long echo."""
    echo, inversion = _echo_ms(header), header.inversion_ms or 0.0
    return inversion >= FLAIR_INVERSION_MS and (echo == 0 or echo >= LONG_ECHO_MS)


def _echo_ms(header: Header) -> float:
    """Of its first slice; 0 where it is not said."""
    return (header.frames[0].echo_ms or 0.0) if header.frames else 0.0


def _by_sequence(header: Header) -> Shown:
    if (name := _BY_CONTRAST.get(header.acquisition_contrast.upper())) is not None:
        return Shown(name, "by its acquisition contrast")
    if is_flair_by_inversion(header):
        return Shown("flair", f"by its inversion time of {header.inversion_ms:g} ms")
    return _by_times(header)


def _by_times(header: Header) -> Shown:
    """By echo, repetition and kind of a sequence that is no FLAIR."""
    echo, repetition = _echo_ms(header), header.repetition_ms or 0.0
    if not echo or not repetition:
        return Shown("", "neither its description nor its sequence tells what it shows")
    times = f"by TR {repetition:g} and TE {echo:g} ms"
    kinds = set(header.scanning_sequence)
    if "SE" in kinds and header.inversion_ms is None:
        return _of_spin_echo(echo, repetition, times)
    if {"GR", "IR"} <= kinds and echo < 10 and header.inversion_ms:
        return Shown("t1", f"{times}, with an inversion")
    return Shown("", f"its description says nothing, and {times} it may be several")


def _of_spin_echo(echo: float, repetition: float, times: str) -> Shown:
    if repetition >= LONG_REPETITION_MS:
        if echo >= LONG_ECHO_MS:
            return Shown("t2", times)
        if echo < LONG_ECHO_MS / 2:
            return Shown("pd", times)
    if repetition <= SHORT_REPETITION_MS and echo < LONG_ECHO_MS / 2:
        return Shown("t1", times)
    return Shown("", f"its description says nothing, and {times} it may be several")


# --- contrast agent -------------------------------------------------------------------------------


def _after_agent(shown: Shown, header: Header) -> Shown:
    """A T1, or one after a contrast agent; in doubt where header and description differ."""
    text = f"{header.description} {header.protocol}".lower()
    words = _words(text)
    is_before = _has(words, _BEFORE) or "no contrast" in text
    is_after = not is_before and (_has(words, _AFTER) or _T1C.search(text) is not None)
    if header.agent and is_before:
        return Shown("", f"a T1 called before contrast, but its header names {header.agent!r}")
    if header.agent:
        return Shown("t1ce", f"a T1 after {header.agent}")
    return Shown("t1ce", "a T1 after contrast, by its description") if is_after else shown
