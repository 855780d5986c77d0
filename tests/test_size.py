"""The house stays readable: folders, modules and functions of a size that fits a head."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pipeline"
MOST_MODULES, MOST_LINES, MOST_CODE_LINES, MOST_PARAMETERS = 12, 400, 40, 6
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES})
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE.parent).as_posix()


def functions(source: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield node


def code_lines(function: Function, lines: list[str]) -> int:
    """Lines of a function that are no docstring, no comment and not empty."""
    numbers = set(range(function.lineno, (function.end_lineno or function.lineno) + 1))
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        numbers -= set(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    texts = (lines[number - 1].strip() for number in numbers)
    return sum(bool(text) and not text.startswith("#") for text in texts)


def n_parameters(function: Function) -> int:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in every)


def too_big(source: str) -> list[str]:
    """The functions of a module that are longer, or take more, than they may.

    A signature that a library asks for says ``# noqa: PLR0913`` and its reason.
    """
    lines = source.splitlines()
    faults = []
    for function in functions(source):
        if (n := code_lines(function, lines)) > MOST_CODE_LINES:
            faults.append(f"{function.name}: {n} lines")
        signature = lines[function.lineno - 1 : function.body[0].lineno]
        excused = any("noqa: PLR0913" in line for line in signature)
        if (n := n_parameters(function)) > MOST_PARAMETERS and not excused:
            faults.append(f"{function.name}: {n} parameters")
    return faults


def test_there_is_something_to_measure() -> None:
    assert len(MODULES) > 60
    assert len(FOLDERS) > 15


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_folder_holds_few_modules(folder: Path) -> None:
    modules = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES, modules


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_are_short(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MOST_LINES
    assert too_big(source) == []


def test_a_function_is_measured_without_docstring_and_comments() -> None:
    source = 'def f(self, a, *, b):\n    """One.\n\n    Two.\n    """\n\n    # why\n    return a\n'
    (function,) = functions(source)
    assert code_lines(function, source.splitlines()) == 2
    assert n_parameters(function) == 2
    assert too_big(source) == []
    long = "def g(a, b, c, d, e, f, g):\n" + "    a += 1\n" * 40
    assert too_big(long) == ["g: 41 lines", "g: 7 parameters"]
    excused = (
        "def g(  # noqa: PLR0913, as the library calls it\n    a, b, c, d, e, f, g\n):\n    pass\n"
    )
    assert too_big(excused) == []
