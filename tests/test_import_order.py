"""A module imports only from those that come before it in the flow of data (design.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pipeline"

ORDER = (
    *("__init__", "errors", "provenance", "nifti"),
    *("lattice", "simplex", "noise", "scheduler", "network"),
    *("layouts", "cases"),
    *("fields", "tissue", "brain", "tumour", "phantom", "perturbation"),
    *("loading", "brain_extraction", "transforms"),
    *("scoring", "symmetry", "config", "placement", "registration"),
    *("atlas", "fitness", "model"),
    *("metrics", "dataset", "distributed", "probes", "board", "training"),
    *("reconstruction", "normative", "methods", "calibration", "detection"),
    *("evaluation", "benchmark", "fusion", "figures"),
    *("miniature", "viewer", "charts", "results", "tables", "report", "plates"),
    *("startup", "inferer", "workflow", "bundle"),
    *("app_noise", "app_detect", "app_pages", "app", "demo", "cli", "__main__"),
)
PHANTOM_MAY_IMPORT = {"errors", "nifti", "layouts", "cases"}

MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imported_modules(source: str) -> set[str]:
    """Modules of the package that a source imports, in functions too, not for types alone."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(source)]
    while todo:
        node = todo.pop()
        if is_type_checking(node):
            todo.extend(node.orelse)
            continue
        todo.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = "pipeline" if node.level else ""
            module = ".".join(part for part in (package, node.module) if part)
            names = [module]
            if module == "pipeline":
                names = [f"pipeline.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("pipeline.")}
    return {name if name in MODULES else "__init__" for name in found}


def test_the_reader_of_imports_sees_every_kind() -> None:
    source = (
        "import pipeline.cases\nfrom pipeline import noise, __version__\n"
        "from .nifti import a\nfrom . import errors\nimport numpy\n"
        "if TYPE_CHECKING:\n    from pipeline.cli import main\nelse:\n    import pipeline.brain\n"
        "def f():\n    from pipeline.config import b\n"
    )
    expected = {"cases", "noise", "__init__", "nifti", "errors", "brain", "config"}
    assert imported_modules(source) == expected


def test_every_module_has_its_place_in_the_order() -> None:
    assert len(set(ORDER)) == len(ORDER)
    assert set(MODULES) <= set(ORDER)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_those_before_it(module: str) -> None:
    imported = imported_modules((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    before = set(ORDER[: ORDER.index(module)])
    assert imported <= before, (
        f"{module} imports from {sorted(imported - before)}, which come later"
    )


def test_phantoms_know_nothing_of_the_model() -> None:
    group = {"fields", "tissue", "brain", "tumour", "phantom"}
    for module in group:
        imported = imported_modules((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
        assert imported <= group | PHANTOM_MAY_IMPORT
