"""The user's mistake behind an error, and any error as one line."""

from __future__ import annotations

import pytest

from pipeline.errors import (
    MAX_LENGTH,
    InputError,
    TooManyFailuresError,
    interruption_in,
    is_out_of_memory,
    one_line,
    reason_of,
    user_error,
)
from pipeline.files.folder.disk import disk_error


def raised(*errors: Exception, explicitly: bool = True) -> Exception:
    """The last of some errors, each raised while the one before was handled."""
    caught: Exception = errors[0]
    for error in errors[1:]:
        try:
            try:
                raise caught
            except Exception as before:
                if explicitly:
                    raise error from before
                raise error  # noqa: B904 (that is what is tested)
        except Exception as after:
            caught = after
    return caught


def test_a_mistake_is_its_own_reason() -> None:
    assert reason_of(InputError("a.nii: no such file")) == "a.nii: no such file"


@pytest.mark.parametrize("explicitly", [True, False])
def test_a_mistake_that_a_library_wrapped_is_found(explicitly: bool) -> None:
    mistake = InputError("a.nii: every voxel is 0")
    error = raised(mistake, ValueError("in a worker"), RuntimeError("x"), explicitly=explicitly)
    assert user_error(error) is mistake
    assert reason_of(error) == "a.nii: every voxel is 0"


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (MemoryError(), "not enough memory"),
        (MemoryError("Unable to allocate 3 GiB"), "not enough memory: Unable to allocate 3 GiB"),
        (
            RuntimeError("CUDA out of memory. Tried"),
            "not enough memory: CUDA out of memory. Tried",
        ),
        (RuntimeError("applying transform <monai.Compose object at 0x7f00>"), "RuntimeError"),
    ],
)
def test_memory_is_named_and_no_transform_is_printed(cause: Exception, reason: str) -> None:
    error = raised(cause, RuntimeError("applying transform <monai.Compose object at 0x7f11>"))
    assert reason_of(error) == reason
    assert is_out_of_memory(error) == ("memory" in reason)


@pytest.mark.parametrize("explicitly", [True, False])
def test_of_other_errors_the_first_cause_is_told_with_its_type(explicitly: bool) -> None:
    error = raised(KeyError("flair"), RuntimeError("applying transform"), explicitly=explicitly)
    assert user_error(error) is None
    assert reason_of(error) == "KeyError: 'flair'"


def test_a_reason_is_one_line() -> None:
    assert reason_of(RuntimeError("no such layer\nin the network\n")) == (
        "RuntimeError: no such layer"
    )
    assert reason_of(ZeroDivisionError()) == "ZeroDivisionError"


def test_memory_that_does_not_suffice_is_said_in_words() -> None:
    error = raised(MemoryError("Unable to allocate 4 GiB"), RuntimeError("applying transform <x>"))
    assert reason_of(error) == "not enough memory: Unable to allocate 4 GiB"
    assert reason_of(MemoryError()) == "not enough memory"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a  b.nii: torn", "a  b.nii: torn"),
        ("a.nii: torn\n   in the middle\n", "a.nii: torn in the middle"),
        ("\x1b[2Jx\x00\u202ey\udce9", r"\x1b[2Jx\x00\u202ey\udce9"),
        ("Gliom_ä_脳.nii", "Gliom_ä_脳.nii"),
    ],
)
def test_a_message_is_one_line_that_can_be_seen(text: str, seen: str) -> None:
    assert one_line(text) == seen
    assert reason_of(InputError(text)) == seen


def test_of_a_long_message_both_ends_are_told() -> None:
    seen = one_line(f"config.yaml: {'x' * 10_000}; see README")
    assert seen.startswith("config.yaml: xxx")
    assert seen.endswith("x; see README")
    assert len(seen) == MAX_LENGTH


def test_nothing_is_no_mistake() -> None:
    assert user_error(None) is None


def test_a_mistake_is_a_value_error_and_too_many_failures_a_mistake() -> None:
    assert issubclass(InputError, ValueError)
    assert issubclass(TooManyFailuresError, InputError)


def test_a_mistake_is_one_line_whatever_it_quotes() -> None:
    assert str(InputError("a\nb.nii: \x1b[31m \udcff")) == "a b.nii: \\x1b[31m \\udcff"
    assert len(str(InputError(f"x.nii: {'y' * 10_000}; give another"))) <= MAX_LENGTH


def test_errors_that_caused_each_other_are_looked_through_once() -> None:
    first, second = ValueError("first"), RuntimeError("second")
    first.__context__, second.__context__ = second, first
    assert user_error(first) is None
    assert interruption_in(first) is None
    assert disk_error(first) is None
    assert reason_of(first) == "RuntimeError: second"
