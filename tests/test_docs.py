"""The documentation: its commands parse, its names exist, its site has no broken link."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import rooms
from headless import Watched

from pipeline.cli.main import parser

ROOT = Path(__file__).parents[1]
BUNDLES = ROOT / "bundles"
PATTERNS = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "data/README.md"),
    *("docs/*.md", "docs/decisions/*.md", "bundles/*/docs/README.md"),
)
PAGES = sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
OWN_PATH = re.compile(r"(?:pipeline|tests|docs|tools)/[a-z\d_/.-]+")
FEWEST_COMMANDS = 30
"""A pattern that finds no command would let every one of them pass."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def shell_lines(text: str) -> Iterator[str]:
    """Lines of the shell blocks of a page, those that go on put together."""
    for language, block in FENCE.findall(text):
        if language in ("bash", "sh", "console"):
            yield from block.replace("\\\n", " ").splitlines()


def inline_code(text: str) -> Iterator[str]:
    for code in INLINE.findall(FENCE.sub("", text)):
        yield " ".join(code.split())


def words_of(line: str) -> list[list[str]]:
    """The commands of a line, without comments and redirections."""
    commands: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word in ("&&", "|", ";"):
            commands.append([])
        elif not re.match(r"\d?>", word):
            commands[-1].append(word)
    return commands


def is_whole(code: str) -> bool:
    """Whether code within a sentence is a command that could be run."""
    needs_out = re.match(r"anomap (train|detect|benchmark|export)", code)
    return not re.search(r"\.\.\.|[\[\]{}]", code) and (not needs_out or " -o " in code)


def anomap_commands(path: Path) -> list[list[str]]:
    """Words after ``anomap`` of every command line of a page.

    Code within a sentence counts where it is a whole command: nothing left out or in brackets, and
    with its ``-o``.
    """
    text = path.read_text(encoding="utf-8")
    lines = list(shell_lines(text))
    lines += [c for c in inline_code(text) if is_whole(c)]
    found = [words for line in lines if "anomap " in line for words in words_of(line)]
    whole = [words[1:] for words in found if words[:1] == ["anomap"]]
    return [words for words in whole if len(words) > 1]


COMMANDS = [(name_of(path), words) for path in PAGES for words in anomap_commands(path)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_there_are_pages(pattern: str) -> None:
    assert list(ROOT.glob(pattern))


def test_the_pages_hold_commands() -> None:
    assert len(COMMANDS) >= FEWEST_COMMANDS
    assert "docs/tutorial.md" in {page for page, _ in COMMANDS}


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=[f"{page}: {' '.join(words)}" for page, words in COMMANDS]
)
def test_a_command_of_a_page_parses(page: str, words: list[str]) -> None:
    assert parser().parse_args(words).command == words[0]


def test_a_wrong_command_does_not_parse() -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["detect", "scan.nii.gz", "--weights", "runs/flair", "-o", "out"])


def test_make_targets_of_the_pages_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = set()
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for line in [*shell_lines(text), *inline_code(text)]:
            if target := re.match(r"make ([\w-]+)", line):
                assert re.search(rf"^{target[1]}:", makefile, re.MULTILINE), f"{path}: {line}"
                found.add(target[1])
    assert found >= {"demo", "test", "check", "docs", "release"}


def exists(dotted: str) -> bool:
    """Whether a module of that name can be imported, or has the rest of it as attributes."""
    value: Any = importlib.import_module("pipeline")
    for name in dotted.split(".")[1:]:
        if not hasattr(value, name):
            try:
                importlib.import_module(f"{value.__name__}.{name}")
            except (ImportError, AttributeError):
                return False
        value = getattr(value, name)
    return True


def test_names_of_the_package_in_the_pages_exist() -> None:
    n_names = 0
    for path in PAGES:
        for code in inline_code(path.read_text(encoding="utf-8")):
            if not re.fullmatch(r"pipeline(\.\w+)+", code):
                continue
            assert exists(code), f"{path}: {code}"
            n_names += 1
    assert n_names > 30


def test_what_the_pages_import_from_the_package_is_there() -> None:
    n_names = 0
    for path in PAGES:
        for language, block in FENCE.findall(path.read_text(encoding="utf-8")):
            if language != "python":
                continue
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline"):
                    module = importlib.import_module(str(node.module))
                    assert [
                        alias.name for alias in node.names if not hasattr(module, alias.name)
                    ] == []
                    n_names += len(node.names)
    assert n_names > 3


def test_files_of_the_repository_in_the_pages_exist() -> None:
    n_files = 0
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        base = (
            path.parents[1] if path.parent.name == "docs" and path.is_relative_to(BUNDLES) else ROOT
        )
        for line in [*shell_lines(text), *inline_code(text)]:
            for word in line.split():
                if OWN_PATH.fullmatch(word):
                    assert (base / word).exists(), f"{path}: {word}"
                    n_files += 1
    assert n_files > 20


def test_links_between_files_of_the_repository_lead_somewhere() -> None:
    n_links = 0
    for path in PAGES:
        for target in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
            assert (path.parent / target).exists(), f"{path}: {target}"
            n_links += 1
    assert n_links > 40


def test_the_tour_of_the_code_is_ten_files_at_most() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tour = text.split("<!-- tour -->")[1].split("<!-- /tour -->")[0]
    files = re.findall(r"^\d+\. `(pipeline/[\w/]+\.py)`: ", tour, re.MULTILINE)
    assert 5 < len(files) == len(set(files)) <= 10
    assert len(files) == len(tour.strip().splitlines())
    assert [name for name in files if not (ROOT / name).is_file()] == []


def test_every_decision_stands_in_the_index_and_in_the_navigation() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = {path.name for path in folder.glob("*.md")} - {"index.md"}
    assert len(pages) >= 8
    index = (folder / "index.md").read_text(encoding="utf-8")
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([\w-]+\.md)\)", index)) == pages
    assert set(re.findall(r"docs/decisions/([\w-]+\.md)", navigation)) == pages | {"index.md"}
    for name in pages:
        page = (folder / name).read_text(encoding="utf-8")
        parts = re.findall(r"^\*\*([\w ]+)\.\*\*", page, re.MULTILINE)
        wanted = ["Context", "Decision", "Consequences", "Where in the code", "How it was measured"]
        assert parts == wanted, name


def test_the_readme_lists_every_room() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert rooms.with_table(text) == text, "run: python docs/rooms.py"
    listed = {name for room in rooms.rooms() for name in room.modules}
    paths = [path.relative_to(ROOT / "pipeline") for path in (ROOT / "pipeline").rglob("*.py")]
    modules = {".".join(path.with_suffix("").parts) for path in paths if path.name != "__init__.py"}
    assert len(modules) > 40
    assert listed == modules


# --- the site -------------------------------------------------------------------------------------


class Links(HTMLParser):
    """What a page links to, loads, and can be linked at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.anchors |= {values[key] for key in ("id", "name") if key in values}
        if tag == "a" and "href" in values:
            self.targets.append(values["href"])
        elif tag == "link" and values.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(values.get("href", ""))
        elif tag in ("img", "script", "iframe", "source") and "src" in values:
            self.loaded.append(values["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built anew; skips where what builds it is not installed."""
    for module in ("mkdocs", "material", "mkdocstrings", "latex2mathml", "ziamath"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed; `make docs` does it")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    done = subprocess.run(
        words,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_no_link_of_the_site_is_broken(site: Path) -> None:
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 20
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links begin at the root of a server
            continue
        for target in [*page.targets, *page.loaded]:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if goal.is_dir():
                broken.append(f"{path.relative_to(site)}: {target} is a folder, no page")
            elif not goal.is_file():
                broken.append(f"{path.relative_to(site)}: {target}")
            elif parts.fragment and goal in pages:
                anchor = unquote(parts.fragment)
                if anchor not in pages[goal].anchors and not anchor.startswith("__"):
                    broken.append(f"{path.relative_to(site)}: {target}, no such anchor")
    assert not broken, "\n".join(broken)


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    paths = list(site.rglob("*.html"))
    assert len(paths) > 20
    for path in paths:
        for address in Links(path.read_text(encoding="utf-8")).loaded:
            assert not urlsplit(address).netloc, f"{path.relative_to(site)}: {address}"


@pytest.mark.slow
def test_the_site_holds_every_module_and_model_card(site: Path) -> None:
    api = " ".join(path.read_text(encoding="utf-8") for path in site.glob("docs/api/*.html"))
    modules = [name for room in rooms.rooms() for name in room.modules if name != "__main__"]
    assert len(modules) > 40
    for module in modules:
        assert f'id="pipeline.{module}"' in api
    cards = list(BUNDLES.glob("*/docs/README.md"))
    assert len(cards) == 5
    for card in cards:
        page = site / card.relative_to(ROOT).parent / "index.html"
        home = (site / "index.html").read_text(encoding="utf-8")
        assert page.is_file()
        assert page.relative_to(site).as_posix() in home


@pytest.mark.slow
def test_equations_are_mathml(site: Path) -> None:
    theory = (site / "docs" / "theory.html").read_text(encoding="utf-8")
    written = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    assert theory.count('display="block"') == len(re.findall(r"^\$\$$", written, re.MULTILINE)) // 2
    assert "arithmatex" not in theory
    assert "merror" not in theory


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_site_works_from_a_file(site: Path, browser: Any, scheme: str) -> None:
    watched = Watched(browser, scheme=scheme)
    page = watched.page
    page.goto((site / "docs" / "theory.html").as_uri())
    assert page.locator("math").count() > 30
    assert page.evaluate("document.fonts.check('16px \"STIX Two Math\"')")
    page.goto((site / "index.html").as_uri() + "?q=half+height")
    assert watched.overflow() <= 0
    page.locator(".md-search-result__item a").first.wait_for(state="attached")
    assert watched.requests_leaving(site.as_uri()) == []
    assert watched.errors == []
