"""What series show, by the words and numbers of real scanners."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.dicom.header import Frame, Header
from pipeline.dicom.modality import modality_of
from pipeline.dicom.search import StudyFile


def header(description: str = "", **said: object) -> Header:
    echo = said.pop("echo_ms", None)
    frame = Frame(None, (0, 0, 0), (1, 0, 0, 0, 1, 0), (1, 1), echo)  # type: ignore[arg-type]
    file = StudyFile(Path("x"), "x")
    return Header(file, 1, description=description, frames=(frame,), **said)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("t2_tirm_tra_dark-fluid", "flair"),
        ("Ax T2 FLAIR", "flair"),
        ("T2W_FLAIR_SPIR", "flair"),
        ("3D_Brain_VIEW_FLAIR_SHC", "flair"),
        ("t2_space_dark-fluid_sag_p2_iso", "flair"),
        ("AX T1 FLAIR", "t1"),
        ("t1_mprage_sag_p2_iso", "t1"),
        ("T1W_3D_TFE", "t1"),
        ("Ax 3D BRAVO", "t1"),
        ("SAG FSPGR 3D", "t1"),
        ("t1_se_tra +C", "t1ce"),
        ("T1 post Gad COR", "t1ce"),
        ("AX T1 POST", "t1ce"),
        ("t1_mpr_sag KM", "t1ce"),
        ("AX T1 PRE", "t1"),
        ("T1 without contrast", "t1"),
        ("T1 COR", "t1"),
        ("t2_tse_tra_512", "t2"),
        ("T2W_TSE", "t2"),
        ("t2 mpr tra", "t2"),
        ("PD_TSE_ax", "pd"),
        ("ep2d_diff_3scan_trace_p2", "dwi"),
        ("ADC (10^-6 mm/s)", "adc"),
        ("ep2d_diff_ADC", "adc"),
        ("t2_fl2d_tra_hemo", "t2star"),
        ("SWI_Images", "swi"),
        ("TOF_3D_multi-slab", "mra"),
        ("ep2d_perf", "perfusion"),
        ("cMRR resting fMRI BOLD", "bold"),
    ],
)
def test_a_description_tells_the_modality(description: str, expected: str) -> None:
    assert modality_of(header(description)).modality == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"repetition_ms": 9000, "echo_ms": 90, "inversion_ms": 2500}, "flair"),
        ({"repetition_ms": 5000, "echo_ms": 100, "scanning_sequence": ("SE",)}, "t2"),
        ({"repetition_ms": 3000, "echo_ms": 15, "scanning_sequence": ("SE",)}, "pd"),
        ({"repetition_ms": 550, "echo_ms": 10, "scanning_sequence": ("SE",)}, "t1"),
        (
            {"repetition_ms": 550, "echo_ms": 10, "scanning_sequence": ("SE",), "agent": "Gd"},
            "t1ce",
        ),
        (
            {
                "repetition_ms": 1900,
                "echo_ms": 2.5,
                "inversion_ms": 900,
                "scanning_sequence": ("GR", "IR"),
            },
            "t1",
        ),
        ({"acquisition_contrast": "FLUID_ATTENUATED"}, "flair"),
        ({"acquisition_contrast": "T1"}, "t1"),
        # A spoiled gradient echo may be a T1 or an angiography; a STIR is none of them.
        ({"repetition_ms": 25, "echo_ms": 4, "scanning_sequence": ("GR",)}, ""),
        ({"repetition_ms": 4000, "echo_ms": 60, "inversion_ms": 150}, ""),
        ({}, ""),
    ],
)
def test_the_sequence_tells_it_where_the_description_does_not(
    said: dict[str, object], expected: str
) -> None:
    assert modality_of(header("AX BRAIN", **said)).modality == expected


def test_a_flair_that_is_called_t2_is_told_by_its_inversion_time() -> None:
    said = {"repetition_ms": 9000, "echo_ms": 100, "inversion_ms": 2500}
    shown = modality_of(header("t2_tirm_tra", **said))
    assert shown.modality == "flair"
    assert "2500 ms" in shown.why


def test_what_words_and_numbers_say_differently_is_in_doubt() -> None:
    assert modality_of(header("T1 pre", agent="Gadovist")).modality == ""
    doubt = modality_of(header("FLAIR", echo_ms=10, repetition_ms=2000, inversion_ms=800))
    assert doubt.modality == ""
    assert "10 ms" in doubt.why


def test_echoes_of_one_series_are_told_apart_by_their_echo_time() -> None:
    common = {"repetition_ms": 3000, "scanning_sequence": ("SE",)}
    assert modality_of(header("PD/T2 tra", echo_ms=14, **common)).modality == "pd"
    assert modality_of(header("PD/T2 tra", echo_ms=90, **common)).modality == "t2"
