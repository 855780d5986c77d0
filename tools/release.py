"""What a release needs: checks, wheel and sdist in ``dist``, a trial in a fresh environment.

``make release`` runs it. It says what is missing, or what to do next; it never tags or uploads.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
VERSION = re.compile(r"\d+\.\d+\.\d+")
HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
CHECK = """
from importlib.resources import files
from pipeline.run.locate import bundle_dir
from pipeline.run.words import NAMED

for name in NAMED.values():
    assert (bundle_dir(name) / "models" / "model.pt").is_file(), name
assert list((files("pipeline.files.record") / "schemas").iterdir())
assert (files("pipeline.report") / "assets" / "report.html.j2").is_file()
"""
"""Run by the environment that the wheel was installed into."""


def version_of(root: Path) -> str:
    """The version of the package, read and not imported.

    Raises:
        ValueError: it has none.
    """
    tree = ast.parse((root / "pipeline" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise ValueError("pipeline/__init__.py: no __version__")


# --- checks: each returns what is wrong, nothing where all is well --------------------------------


def check_version(root: Path) -> list[str]:
    """The version stands once, and where people cite it."""
    version = version_of(root)
    faults = []
    if not VERSION.fullmatch(version):
        faults.append(f"pipeline/__init__.py: version {version}; expected MAJOR.MINOR.PATCH")
    tree = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    if tree["project"].get("version", version) != version:
        faults.append(
            f"pyproject.toml: version {tree['project']['version']}, where the package has {version}"
        )
    elif "version" in tree["project"]:
        faults.append("pyproject.toml: repeats the version; make it dynamic")
    cited = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    if str(cited) != version:
        faults.append(f"CITATION.cff: version {cited}, where the package has {version}")
    return faults


def check_changelog(root: Path) -> list[str]:
    """What is new stands under the version and its date, and nothing is left over."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    _, *parts = HEADING.split(text)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    version = version_of(root)
    faults = []
    if sections.get("Unreleased", "").strip():
        faults.append("CHANGELOG.md: Unreleased is not empty; give its lines to a version")
    dated = [title for title in sections if title.split(" - ")[0] == version]
    if not dated:
        return [*faults, f"CHANGELOG.md: no section '## {version} - YYYY-MM-DD'"]
    date = dated[0].partition(" - ")[2]
    try:
        datetime.date.fromisoformat(date)
    except ValueError:
        faults.append(f"CHANGELOG.md: the date of {version} is {date!r}; expected YYYY-MM-DD")
    if not sections[dated[0]].strip():
        faults.append(f"CHANGELOG.md: nothing stands under {version}")
    return faults


def check_git(root: Path) -> list[str]:
    """All is committed, and the version has no tag yet."""
    faults = []
    if changed := _git(root, "status", "--porcelain"):
        faults.append(f"git: not committed: {', '.join(line[3:] for line in changed.splitlines())}")
    tag = f"v{version_of(root)}"
    if _git(root, "tag", "--list", tag):
        faults.append(f"git: the tag {tag} is there already; raise the version")
    return faults


CHECKS: tuple[Callable[[Path], list[str]], ...] = (check_version, check_changelog, check_git)


def missing_from_wheel(wheel: Path, root: Path) -> list[str]:
    """Files of the repository that should be in the wheel and are not.

    These are all below ``pipeline`` and ``bundles``, as far as git knows them.
    """
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    paths = _git(root, "ls-files", "pipeline", "bundles").splitlines()
    inside = [re.sub(r"^bundles/", "pipeline/bundle_files/", path) for path in paths]
    return sorted(set(inside) - held)


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip("\n")


# --- building, and a trial ------------------------------------------------------------------------


def build(root: Path) -> Path:
    """Make sdist and wheel in an empty ``dist``.

    Returns:
        The wheel, which is made of the sdist.
    """
    dist = root / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build", "--outdir", dist, root], check=True)
    (wheel,) = dist.glob("*.whl")
    return wheel


def try_wheel(wheel: Path, root: Path) -> list[str]:
    """Install a wheel into an environment of its own, with all that it needs, and start it."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        bin_dir = Path(folder) / "bin"
        install = [str(bin_dir / "python"), "-m", "pip", "install", "--quiet", "-c"]
        subprocess.run([*install, root / "constraints.txt", wheel], check=True, cwd=folder)
        subprocess.run([bin_dir / "python", "-c", CHECK], check=True, cwd=folder)
        started = subprocess.run(
            [bin_dir / "anomap", "--version"],
            check=True,
            cwd=folder,
            capture_output=True,
            text=True,
        )
    said, version = started.stdout.strip(), version_of(root)
    return [] if said.split()[-1:] == [version] else [f"the installed anomap says {said!r}"]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Check, build, try, and say what is next.

    Returns:
        The exit status, 1 where something is missing.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only-checks", action="store_true", help="build and install nothing")
    options = parser.parse_args(arguments)
    faults = [fault for check in CHECKS for fault in check(root)]
    if not faults and not options.only_checks:
        wheel = build(root)
        faults = [f"not in {wheel.name}: {name}" for name in missing_from_wheel(wheel, root)]
        faults += try_wheel(wheel, root)
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        return 1
    tag = f"v{version_of(root)}"
    made = "checked" if options.only_checks else "checked, built into dist/ and tried"
    print(f"{tag} is {made}. Next, by hand:")
    print(f"  git tag -a {tag} -m {tag} && git push origin {tag}")
    if not options.only_checks:
        print("  python -m twine upload dist/*")
    return 0


if __name__ == "__main__":
    sys.exit(main())
