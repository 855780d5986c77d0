"""What `make docs` does beyond MkDocs: pages where the repository has them, modules, equations.

Files keep their paths of the repository, so that README, model cards and pages are written once and
their links work in both places. Equations become MathML, which browsers show by themselves; for
brackets and roots that grow with what they hold, the page brings a font with it.
"""

from __future__ import annotations

import base64
import html
import io
import re
import sys
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from fontTools import subset
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
from rooms import Room, rooms  # noqa: E402

SHOWN = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"),
    *("docs/*.md", "docs/decisions/*.md", "docs/*.png"),
    *("docs/*.css", "docs/*.js", "data/*.md", "data/*.json"),
    *("bundles/*/docs/*", "bundles/*/LICENSE"),
)
"""Files of the site, beside those of the theme."""
API = "docs/api"
_NAME = re.compile(r"(?<![`\[])`(pipeline(?:\.\w+)+)(\(\))?`(?!`)")
_FILE = re.compile(r"(?<![`\[])`pipeline/([\w/]+)\.py`(?!`)")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)

# Letters, Greek, accents, punctuation, operators, arrows, brackets; italics and bold digits.
_CHARACTERS = (
    *((0x20, 0x100), (0x2C6, 0x2DE), (0x300, 0x340), (0x370, 0x400), (0x2010, 0x2070)),
    *((0x2100, 0x2300), (0x2308, 0x230C), (0x1D434, 0x1D468), (0x1D6A4, 0x1D71C)),
    (0x1D7CE, 0x1D7D8),
)

# Accents and the bold 1 as the converter writes them, and as browsers show them well.
_MENDED = {
    '<mn mathvariant="bold">1</mn>': "<mn>&#x1D7CF;</mn>",
    "<mo>&#x0005E;</mo></mover>": '<mo stretchy="false">&#x002C6;</mo></mover>',
    '<mover><mi>&#x003B1;</mi><mo stretchy="true">&#x000AF;</mo></mover>': (
        '<mover accent="true"><mi>&#x003B1;</mi><mo stretchy="false">&#x000AF;</mo></mover>'
    ),
}


def model_cards() -> list[str]:
    """Paths of the cards of the bundles, from the root."""
    cards = sorted(ROOT.glob("bundles/*/docs/README.md"))
    return [card.relative_to(ROOT).as_posix() for card in cards]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the navigation."""
    assert config.nav is not None
    pages: list[Any] = [{room.name: f"{API}/{room.name}.md"} for room in _shown_rooms()]
    cards = [{card.split("/")[1]: card} for card in model_cards()]
    config.nav += [
        {"Model cards": cards},
        {"API": [{"Overview": f"{API}/index.md"}, *pages]},
        {"Changes": "CHANGELOG.md"},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Files of the theme, files of the repository at their own paths, and pages of modules."""
    docs_dir = Path(config.docs_dir)
    kept = [f for f in files if f.src_dir is None or Path(f.src_dir) != docs_dir]
    paths = sorted({path for pattern in SHOWN for path in ROOT.glob(pattern)})
    ours = [
        File(p.relative_to(ROOT).as_posix(), str(ROOT), config.site_dir, config.use_directory_urls)
        for p in paths
        if p.is_file()
    ]
    made = [
        File.generated(config, f"{API}/{room.name}.md", content=_room_page(room))
        for room in _shown_rooms()
    ]
    index = File.generated(config, f"{API}/index.md", content=_api_index())
    return Files([*kept, *ours, *made, index])


def _shown_rooms() -> list[Room]:
    return [room for room in rooms() if not room.name.startswith("__")]


def _room_page(room: Room) -> str:
    blocks = "\n\n".join(f"::: pipeline.{module}" for module in room.modules)
    return f"# {room.name}\n\n{room.summary}\n\n{blocks}\n"


def _api_index() -> str:
    rows = [
        f"| [`{room.name}`]({room.name}.md) | {room.summary} | "
        + ", ".join(f"[`{name.split('.')[-1]}`][pipeline.{name}]" for name in room.modules)
        + " |"
        for room in _shown_rooms()
    ]
    table = "\n".join(["| room | what it holds | modules |", "|---|---|---|", *rows])
    return (
        "# API\n\nRooms of the package `pipeline`, in the order in which the data meets them; "
        f"one imports only from those above it.\n\n{table}\n"
    )


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Names of modules, functions and classes become links to their entries."""
    parts = _FENCE.split(markdown)
    for i in range(0, len(parts), 2):
        parts[i] = _NAME.sub(r"[`\1\2`][\1]", parts[i])
        parts[i] = _FILE.sub(
            lambda m: f"[`pipeline/{m[1]}.py`][pipeline.{m[1].replace('/', '.')}]", parts[i]
        )
    return "".join(parts)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Equations become MathML."""

    def rendered(match: re.Match[str]) -> str:
        display = "block" if match[1] == "div" else "inline"
        equation = convert(html.unescape(match[2]).strip(), display=display)
        for old, new in _MENDED.items():
            equation = equation.replace(old, new)
        return equation

    return _EQUATION.sub(rendered, content)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Pages with equations get the font; in the page itself, as a file may not load another."""
    return output.replace("</head>", f"{_font()}</head>", 1) if "<math" in output else output


@cache
def _font() -> str:
    """A style with the characters of STIX Two Math (OFL 1.1) that equations need."""
    options = subset.Options(flavor="woff", layout_features=["*"], hinting=False)
    path = distribution("ziamath").locate_file("ziamath/fonts/STIXTwoMath-Regular.ttf")
    font = subset.load_font(str(path), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[c for first, last in _CHARACTERS for c in range(first, last)])
    subsetter.subset(font)
    file = io.BytesIO()
    subset.save_font(font, file, options)
    data = base64.b64encode(file.getvalue()).decode()
    return (
        '<style>@font-face { font-family: "STIX Two Math"; '
        f'src: url("data:font/woff;base64,{data}") }} math {{ font-family: "STIX Two Math" }}'
        "</style>"
    )
