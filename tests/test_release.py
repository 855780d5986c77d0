"""The checks of a release, on copies of the few files that they read."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
import release

import pipeline

ROOT = Path(__file__).parents[1]
CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2026-11-25\n\n- All.\n"


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that is ready for the release of 1.2.3."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "bundles").mkdir()
    (tmp_path / "pipeline/__init__.py").write_text('"""A package."""\n\n__version__ = "1.2.3"\n')
    (tmp_path / "bundles/weights.pt").write_text("weights")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.2.3\n")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "all")
    return tmp_path


def replace(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_a_project_that_is_ready_passes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert release.main(["--only-checks"], root=project) == 0
    assert "git tag -a v1.2.3 -m v1.2.3" in capsys.readouterr().out
    assert subprocess.check_output(["git", "tag"], cwd=project) == b""


def test_a_fault_is_a_line_and_an_exit_status(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "more.txt").touch()
    assert release.main(["--only-checks"], root=project) == 1
    assert capsys.readouterr().err == "git: not committed: more.txt\n"


def test_the_version_is_the_same_everywhere(project: Path) -> None:
    assert release.check_version(project) == []
    replace(project / "CITATION.cff", "1.2.3", "1.2.2")
    replace(project / "pyproject.toml", 'dynamic = ["version"]', 'version = "1.2.4"')
    assert release.check_version(project) == [
        "pyproject.toml: version 1.2.4, where the package has 1.2.3",
        "CITATION.cff: version 1.2.2, where the package has 1.2.3",
    ]


def test_the_version_stands_once_in_the_code(project: Path) -> None:
    replace(project / "pyproject.toml", 'dynamic = ["version"]', 'version = "1.2.3"')
    assert release.check_version(project) == [
        "pyproject.toml: repeats the version; make it dynamic"
    ]


@pytest.mark.parametrize("version", ["1.2", "1.2.3.dev0", "v1.2.3", ""])
def test_a_version_has_three_numbers(project: Path, version: str) -> None:
    replace(project / "pipeline/__init__.py", "1.2.3", version)
    assert f"version {version}; expected MAJOR.MINOR.PATCH" in release.check_version(project)[0]


def test_a_package_without_a_version_is_an_error(project: Path) -> None:
    (project / "pipeline/__init__.py").write_text("")
    with pytest.raises(ValueError, match="no __version__"):
        release.version_of(project)


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("## Unreleased\n", "## Unreleased\n\n- More.\n", "Unreleased is not empty"),
        ("## 1.2.3 - 2026-11-25", "## 1.2.2 - 2026-11-25", "no section '## 1.2.3 - YYYY-MM-DD'"),
        ("## 1.2.3 - 2026-11-25", "## 1.2.3", "the date of 1.2.3 is ''"),
        ("2026-11-25", "2026-13-25", "the date of 1.2.3 is '2026-13-25'"),
        ("2026-11-25", "unreleased", "the date of 1.2.3 is 'unreleased'"),
        ("- All.\n", "", "nothing stands under 1.2.3"),
    ],
)
def test_the_changelog_tells_of_the_version(
    project: Path, before: str, after: str, fault: str
) -> None:
    assert release.check_changelog(project) == []
    replace(project / "CHANGELOG.md", before, after)
    (told,) = release.check_changelog(project)
    assert told.startswith("CHANGELOG.md: ")
    assert fault in told


def test_no_section_for_what_is_unreleased_is_fine(project: Path) -> None:
    replace(project / "CHANGELOG.md", "## Unreleased\n\n", "")
    assert release.check_changelog(project) == []


def test_all_is_committed_and_the_tag_is_free(project: Path) -> None:
    assert release.check_git(project) == []
    (project / "CHANGELOG.md").write_text("changed")
    git(project, "tag", "v1.2.3")
    assert release.check_git(project) == [
        "git: not committed: CHANGELOG.md",
        "git: the tag v1.2.3 is there already; raise the version",
    ]


def test_what_a_wheel_lacks_is_named(project: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pipeline/__init__.py", "")
    assert release.missing_from_wheel(wheel, project) == ["pipeline/bundle_files/weights.pt"]


def test_the_wheel_is_made_of_every_package() -> None:
    tree = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {path.parent for path in (ROOT / "pipeline").rglob("__init__.py")}
    packages = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert len(packages) > 15
    listed = tree["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(packages | {"anomap", "pipeline.bundle_files"})


def test_the_project_has_one_version_and_a_changelog_of_it() -> None:
    assert release.check_version(ROOT) == []
    assert release.version_of(ROOT) == pipeline.__version__
    faults = release.check_changelog(ROOT)
    assert [fault for fault in faults if "Unreleased" not in fault] == []
