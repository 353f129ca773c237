"""Text of docstrings, tables and programs as Markdown: signs of the text stay signs, codes become links to their pages."""

import re
from collections.abc import Iterable, Mapping

_SIGNS = re.compile(r"([\\*_\[\]|#])")
_CODE = re.compile(r"\b(?:[A-Z]{3,4}-\d{3}|[A-Z]{1,2}V[1-9][0-9]?)\b")
_PART = re.compile(r"\n(?=\n|- |[A-Z][A-Za-z ]+:(?:\s|$))")


def plain(text: str, pages: Mapping[str, str]) -> str:
    """Return text as Markdown that shows it as it is; what stands between backticks stays code. `pages`: addresses by code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick of the text itself
        return _linked(_shown(text).replace("`", "\\`"), pages)
    return "`".join(part if i % 2 else _linked(_shown(part), pages) for i, part in enumerate(parts))


def _shown(text: str) -> str:
    """Return text whose signs mean nothing to Markdown and HTML."""
    return _SIGNS.sub(r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))


def _linked(text: str, pages: Mapping[str, str]) -> str:
    return _CODE.sub(lambda m: f"[{m[0]}]({pages[m[0]]})" if m[0] in pages else m[0], text)


def page(text: str, pages: Mapping[str, str]) -> str:
    """Return a docstring's page: each paragraph, each section `What it finds: ...` below a heading, each `- ` an item of a list."""
    out: list[str] = []
    for part in _PART.split(text.strip()):
        line = " ".join(part.split())
        head, colon, rest = line.partition(":")
        if line.startswith("- "):
            out.append(("" if out and out[-1].startswith("- ") else "\n") + f"- {plain(line[2:], pages)}")
        elif colon and re.fullmatch(r"[A-Z][A-Za-z ]{2,30}", head):
            out.append(f"\n## {head}\n" + (f"\n{plain(sentence(rest.strip()), pages)}" if rest.strip() else ""))
        else:
            out.append(f"\n{plain(line, pages)}")
    return "\n".join(out).strip() + "\n"


def sentence(text: str) -> str:
    """Return text that begins with a capital, unless it begins with a name (`pci_enable_msix()`, `drivers/pci`, `vfio-pci`)."""
    first = text.partition(" ")[0].rstrip(",.;:")
    return text[0].upper() + text[1:] if first.isalpha() and first.islower() else text


def fenced(text: str, kind: str = "text") -> str:
    """Return text in a fenced block, whatever it holds."""
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`{3,}", text)), default=0))
    return f"{fence}{kind}\n{text.rstrip()}\n{fence}\n"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    head = list(head)
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"
