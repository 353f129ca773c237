"""What MkDocs calls: pages computed from the code are added, drawings put in their places, links out of `docs/` turned to pages."""

import re
from pathlib import Path
from typing import Any

import machines
import notebook
import reference
from catalog import ROOT, Catalog
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from tracekit_reports.svg import STYLE

PLACE = re.compile(r"^<!-- drawn: ([a-z-]+) -->$", re.MULTILINE)
MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{ \.tl (\{.*?\}) \}", re.DOTALL)
# Files beside `docs/` that are pages of the site, and those that the README's links lead to.
OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "SECURITY.md": "security.md"}
AFTER = "\nNext: [analyze a log and read the report](tutorials/report.md), line by line.\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Compute the pages, and name them in the navigation: tables are too many, their index names them."""
    catalog = Catalog()
    computed: dict[str, str | bytes] = dict(reference.files(catalog))
    computed |= dict(outside()) | {"assets/site.css": style(), "notebook.md": notebook.page(ROOT / "docs" / "tutorial.ipynb")}
    config.extra["computed"] = computed
    config.nav = [_section(entry, computed) for entry in config.nav or []]
    return config


def _section(entry: Any, computed: dict[str, str | bytes]) -> Any:
    """Return an entry of the navigation; `diagnoses/` stands for the pages below it, the index first."""
    if isinstance(entry, dict):
        return {title: _section(below, computed) for title, below in entry.items()}
    if isinstance(entry, list):
        return [_section(below, computed) for below in entry]
    if not entry.endswith("/"):
        return entry
    pages = [name for name in computed if name.startswith(entry) and name.endswith(".md") and not name.endswith("index.md")]
    return [f"{entry}index.md", *pages]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the computed pages."""
    for name, content in config.extra.pop("computed").items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put drawings in their places; the picture of the packages, which code hosts draw, becomes a table."""
    if page.file.src_uri == "architecture.md":
        markdown = MERMAID.sub(lambda m: imports(m[1]), markdown)
    return PLACE.sub(lambda m: machines.placed(m[1]), _inside(markdown, page.file.src_uri))


def imports(mermaid: str) -> str:
    """Return the arrows between packages as a table."""
    arrows: dict[str, list[str]] = {}
    for a, b in re.findall(r"^    (\w+) --> (\w+)$", mermaid, re.MULTILINE):
        arrows.setdefault(a, []).append(f"`{b}`")
    (common,) = re.findall(r'common\["(.*?)"\]', mermaid)
    rows = "\n".join(f"| `{a}` | {', '.join(b)} |" for a, b in arrows.items())
    return f"`common`: {common}.\n\n| package | imports |\n|---|---|\n{rows}\n"


def _inside(markdown: str, name: str) -> str:
    """Return a page with links to files beside `docs/` turned to the pages that the site has of them."""
    up = "../" * name.count("/")
    markdown = markdown.replace("](tutorial.ipynb)", "](notebook.md)")
    for file, page in OUTSIDE.items():
        markdown = re.sub(rf"\]\((?:\.\./)+{re.escape(file)}(#[\w-]+)?\)", rf"]({up}{page}\1)", markdown)
    return markdown


def outside() -> list[tuple[str, str]]:
    """Return the pages of files beside `docs/`, and the README's start as a page of its own."""
    pages = []
    for file, name in OUTSIDE.items():
        text = (ROOT / file).read_text(encoding="utf-8").replace("](docs/", "](")
        for other, target in OUTSIDE.items():
            text = text.replace(f"]({other}", f"]({target}")
        pages.append((name, text))
    name, readme = pages[0]
    start = re.search(r"^## Start\n(.*?)(?=^## )", readme, re.DOTALL | re.MULTILINE)
    assert start is not None, "README.md has no section Start"
    pages[0] = name, readme.replace(start[0], "[Start in five minutes](start.md).\n\n")
    return [*pages, ("start.md", f"# Five-minute start\n{start[1]}{AFTER}")]


def style() -> str:
    """Return the style sheet: the site's own, and that of the reports' drawings, dark where the page is."""
    own = (Path(__file__).parent / "site.css").read_text(encoding="utf-8")
    drawn, times = DARK.subn(r'[data-md-color-scheme="slate"] .tl \1', STYLE)
    assert times == 1, "the drawings' style has another form"
    return own + drawn
