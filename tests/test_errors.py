"""The user's mistake behind an error, and any error as one line."""

from __future__ import annotations

import pytest

from pipeline.errors import InputError, TooManyFailuresError, reason_of, user_error


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


@pytest.mark.parametrize("explicitly", [True, False])
def test_of_other_errors_the_first_cause_is_told_with_its_type(explicitly: bool) -> None:
    error = raised(KeyError("flair"), RuntimeError("applying transform"), explicitly=explicitly)
    assert user_error(error) is None
    assert reason_of(error) == "KeyError: 'flair'"


def test_a_reason_is_one_line() -> None:
    assert reason_of(RuntimeError("out of memory\nTried to allocate\n")) == (
        "RuntimeError: out of memory"
    )
    assert reason_of(ZeroDivisionError()) == "ZeroDivisionError"


def test_nothing_is_no_mistake() -> None:
    assert user_error(None) is None


def test_a_mistake_is_a_value_error_and_too_many_failures_a_mistake() -> None:
    assert issubclass(InputError, ValueError)
    assert issubclass(TooManyFailuresError, InputError)
