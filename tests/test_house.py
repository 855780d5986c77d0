"""Sizes that keep the house legible, and docstrings that say what arrays hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pipeline"
MODULES_A_FOLDER, LINES_A_MODULE, LINES_A_FUNCTION = 12, 400, 40
SHAPE = re.compile(r"``\(.*?\)``|shape|scalar", re.DOTALL)
ARRAYS = re.compile(r"\b(ndarray|Tensor|MetaTensor)\b")

SOURCES = sorted(PACKAGE.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(function: Function, lines: list[str]) -> int:
    """Lines of a function that are neither its docstring, nor comments, nor empty."""
    last = function.end_lineno or function.lineno
    own = set(range(function.lineno, last + 1))
    if ast.get_docstring(function) is not None:
        own -= set(range(function.body[0].lineno, (function.body[0].end_lineno or 0) + 1))
    return sum(bool(lines[i - 1].strip().partition("#")[0]) for i in own)


def too_large(folder: Path) -> list[str]:
    """What is larger than it may be, below a folder."""
    found = []
    for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        n_modules = sum(path.name != "__init__.py" for path in inner.glob("*.py"))
        if n_modules > MODULES_A_FOLDER:
            found.append(f"{inner.name}: {n_modules} modules")
    for path in sorted(folder.rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > LINES_A_MODULE:
            found.append(f"{path.name}: {len(lines)} lines")
        for function in functions(ast.parse("\n".join(lines))):
            if (n_lines := code_lines(function, lines)) > LINES_A_FUNCTION:
                found.append(f"{path.name}: {function.name} has {n_lines} lines")
    return found


def test_no_folder_module_or_function_is_too_large() -> None:
    assert len(SOURCES) > 60
    assert too_large(PACKAGE) == []


def test_what_is_too_large_is_seen(tmp_path: Path) -> None:
    long = '    """Text."""\n' + "    x = 1  # a line\n\n    # none\n" * LINES_A_FUNCTION
    (tmp_path / "fits.py").write_text(f"def f():\n{long.rsplit('    x', 1)[0]}")
    assert too_large(tmp_path) == []
    (tmp_path / "long.py").write_text(f"def f():\n{long}")
    (tmp_path / "many.py").write_text("x = 1\n" * (LINES_A_MODULE + 1))
    (tmp_path / "room").mkdir()
    for i in range(MODULES_A_FOLDER + 1):
        (tmp_path / "room" / f"m{i}.py").touch()
    assert too_large(tmp_path) == [
        f"room: {MODULES_A_FOLDER + 1} modules",
        f"long.py: f has {LINES_A_FUNCTION + 1} lines",
        f"many.py: {LINES_A_MODULE + 1} lines",
    ]


def public(body: list[ast.stmt]) -> Iterator[Function]:
    """Public functions of a module, and public methods of its public classes."""
    for node in body:
        if getattr(node, "name", "_").startswith("_"):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from public(node.body)


def has_arrays(function: Function) -> bool:
    arguments = function.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    annotations = [argument.annotation for argument in every] + [function.returns]
    return any(ARRAYS.search(ast.unparse(one)) for one in annotations if one is not None)


def overrides(function: Function) -> bool:
    """Whether it is said to be documented where it is overridden."""
    return any("override" in ast.unparse(one) for one in function.decorator_list)


def test_public_functions_of_arrays_say_their_shapes() -> None:
    n_functions, silent = 0, []
    for path in SOURCES:
        for function in public(ast.parse(path.read_text(encoding="utf-8")).body):
            if has_arrays(function) and not overrides(function):
                n_functions += 1
                if not SHAPE.search(ast.get_docstring(function) or ""):
                    silent.append(f"{path.relative_to(PACKAGE)}: {function.name}")
    assert n_functions > 80
    assert silent == []


OWNERS = {"files/names.py"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_names_of_files_stand_once(path: Path) -> None:
    """A file that is written has its name in `pipeline.files.names` alone."""
    if path.relative_to(PACKAGE).as_posix() in OWNERS:
        return
    names = set(
        re.findall(
            r'^[A-Z_]+ = "(.+)"', (PACKAGE / "files/names.py").read_text(encoding="utf-8"), re.M
        )
    )
    assert len(names) > 20
    literals = {
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    files = {name for name in names if "." in name}
    assert not literals & files
