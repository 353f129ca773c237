"""The frame of an HTML page, of a run or of a fleet: one file, nothing loaded from elsewhere, light or dark as the reader's system is."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape

from tracekit_reports.story import visible

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c2128; --dim: #626c78; --line: #d8dee4; --box: #f6f8fa; --mark: #fff3c4;
  --bad: #b42318; --warn: #9a6700; --good: #1a7f37; --note: #0969da; }
@media (prefers-color-scheme: dark) { :root { --back: #14181d; --text: #e6e9ed; --dim: #98a2ae; --line: #333b44;
  --box: #1c2229; --mark: #4a3d12;
  --bad: #ff8a80; --warn: #e3b341; --good: #56d364; --note: #79b8ff; } }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 1.5rem; } h2 { font-size: 1.1rem; margin: 0; }
h3 { font-size: .9rem; margin: 1.1rem 0 .3rem; color: var(--dim); font-weight: 600; }
article { border: 1px solid var(--line); border-left: 5px solid var(--tone); border-radius: 6px;
  padding: 1rem 1.25rem; margin: 0 0 1.25rem; }
.critical, .high { --tone: var(--bad); } .medium { --tone: var(--warn); } .low, .info { --tone: var(--note); }
.tag { color: var(--tone); font-weight: 700; text-transform: uppercase; font-size: .8rem; letter-spacing: .04em; }
.what { color: var(--dim); margin: .2rem 0 0; } p { margin: .4rem 0; } ul { margin: .3rem 0; padding-left: 1.2rem; }
.do { border-left: 3px solid var(--good); padding-left: .75rem; margin: .9rem 0; } .good { color: var(--good); }
.scroll { overflow-x: auto; background: var(--box); border: 1px solid var(--line); border-radius: 6px; }
code { font: .92em ui-monospace, monospace; } summary { cursor: pointer; }
footer, details { color: var(--dim); font-size: .92rem; margin-top: 1rem; }
"""


def framed(title: str, style: str, body: Iterable[str], before: str = "", script: str = "") -> str:
    """Return a page: `before` stands above its body, `script` is all that may run on it."""
    policy = f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" if script else "script-src 'none'"
    head = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; {policy}\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{safe(title)}</title><style>{STYLE}{style}</style></head><body>",
        before,
    ]
    run = [f"<script>{script}</script>"] if script else []
    return "\n".join([*head, "<main>", *body, "</main>", *run, "</body></html>"]) + "\n"


def scrolling(label: str, *classes: str) -> str:
    """Return the begin of a box that scrolls where the page is narrow, by keys too."""
    return f'<div class="{" ".join(("scroll", *classes))}" tabindex="0" role="region" aria-label="{label}">'


def listed(title: str, items: list[str]) -> Iterator[str]:
    """Yield a list of HTML texts below a title; nothing where there are none."""
    if items:
        yield (f"<h3>{title}</h3>" if title else "") + "<ul>" + "".join(f"<li>{i}</li>" for i in items) + "</ul>"


def folded(title: str, items: list[str]) -> Iterator[str]:
    """Yield a list of HTML texts that opens on a click."""
    if items:
        yield f"<details><summary>{title} ({len(items):,})</summary><ul>" + "".join(f"<li>{i}</li>" for i in items) + "</ul></details>"


def safe(text: str) -> str:
    """Return a text that is no markup, with what is not seen written out."""
    return escape(visible(text), quote=True)
