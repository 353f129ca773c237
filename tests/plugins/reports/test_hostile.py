"""300 hostile texts in every field of a run and of a fleet that a log, a name, a plugin or a setting can fill: reports stay what they are."""

import csv
import io
import json
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from trace_file import read
from tracekit_reports import tracekit_reports

from tracekit import csv_cell
from tracekit.findings import Evidence, Finding, Outcome, Subject, Unchecked
from tracekit.fleet import Fleet, FleetCase, FleetFault
from tracekit.run import Doubt, NotUnderstood, PluginReport, Run, SourceReport, Suppressed
from tracekit.timeline import Bar, Lane, Mark, Picture, Timeline

pytestmark = [pytest.mark.no_cover, pytest.mark.xdist_group("hostile")]

REPORTS = {r.name: r for r in tracekit_reports()}
SIGNS = "\x00 \x07 \x08 \x0b \x0c \x1b \x7f \x85 \x9b \xad \u034f \u061c \u115f \u180e \u200b \u200e \u200f \u2028 \u2029 \u202e \u2060 \u2066 \u2069 \u2800"
SIGNS += " \u3164 \ufe0f \ufeff \ufff9 \ufffe \uffff \ud800 \udcff \U0001fffe \U000e0001 \U000e0041 \U000e007f \U000e0100 \U0010ffff"
MARKUP = (
    *("<script>ran()</script>", "<img src=x onerror=ran()>", "</title><svg onload=ran()>", "]]><x/>", "<!-- --><!DOCTYPE x [<!ENTITY a 'b'>]>&a;"),
    *("'\"><iframe srcdoc='<script>parent.ran()</script>'>", "javascript:ran()", "</style><style>*{display:none}</style>", "<base href=//evil>", "&lt;b&gt;&#0;"),
    *("[x](javascript:ran())", "![x](http://evil/x.png)", "<http://evil>", "http://evil www.evil.com", "a@evil.com @team #1", "```\n# title\n```", "~~~"),
    *("# title", "- item", "+ item", "1. item", "1) item", "---", "===", "> quote", "| a | b |\n|---|---|", "    code", "\\", "\\\n", "$$x$$", "[ref]: http://evil"),
    *("=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =cmd|' /C calc'!A0", "=HYPERLINK(\"http://evil\")", "＝1", "%0A=1", ';=1', '",=1'),
    *("\x1b[2J\x1b]0;title\x07", "\x1b]8;;http://evil\x07x\x1b]8;;\x07", "\r\nfaked: line", "::error file=x::y", "##vso[task.setvariable]x", "%s%n{0}{x}"),
    *("[bold red]x[/]", "[link=http://evil]x[/link]", ":smile:", "../../etc/passwd", "x" * 3000, "", " ", "\u0301" * 40, "\u202eabc", "NaN", "null", "\\u0000"),
)  # fmt: skip


def payloads() -> list[str]:
    """300 texts: each sign alone, at the start, inside and at the end of others; markup, formulas, escapes; pairs of them."""
    single = [s.format(c) for c in SIGNS.split(" ") if c for s in ("{0}", "a{0}b", "{0}=1", "<b>{0}")]
    pairs = [f"{a}{b}" for step in (7, 11, 23) for a, b in zip(MARKUP, MARKUP[step:], strict=False)]
    return [*single, *MARKUP, *pairs][:300]


PAYLOADS = payloads()


def run() -> Run:
    evidence = (
        Evidence("trace.txt", 24, "cause", 26, "text", also=(("dmesg", 4),), text_end="last"),
        Evidence("dmesg", 1, "effect", None, "x"),
    )
    subject = Subject("0000:00:08.0", bdf="0000:00:08.0", aliases=("n",), how="inferred")
    told = (Unchecked("guard", "settle"),)
    fault = Finding(
        "summary", "proven", evidence, subject, "high", "advice", told, {"k": "v", "n": 1.5}, ({"source": "s", "line": 1},), ("r",), "machine", 0,
        None, "msi.x", "MSI-001", ("MSI-009",), True, ("fix",), "f",
    )  # fmt: skip
    effect = replace(fault, code="MSI-009", explained_by="MSI-001")
    fact = replace(fault, severity="info", code="CFG-001", grade=None)
    source = SourceReport("trace.txt", 9, {"e": 1}, {"v": 1}, {"event": 1}, (NotUnderstood("v", 1, 2, "t"),), "clock", ("note",), ("loss",))
    outcomes = tuple(Outcome("n", f"A-00{i}", kind, "why", "record") for i, kind in enumerate(("inconclusive", "clear", "not evaluated")))
    plugins = (PluginReport("p", "1", ("d",), ("m",), ("e",)),)
    return Run((source, source), (fault, effect, fact), outcomes, ({"gate": "KV1"},), plugins, ("error",), "0.1", (Doubt("cut", "why"),))


def drawn() -> Run:
    """The run with pictures, what is suppressed, and notes of settings."""
    bars = (Bar(0, 9, "hwsize 8", "domain", "trace.txt", 1, 2), Bar(5, 12, "16", "bad", "trace.txt", 3), Bar(10, None, "x", "good", "s", 4))
    marks = (Mark(1, "interrupt", "good", "trace.txt", 5), Mark(2, "interrupt", "good", "trace.txt", 6, 8, 3))
    whole = Timeline("0000:00:08.0", "ns", 0, 12, (Lane("irq domain", "table", bars, marks, True),), ((5, 12),), ("trace.txt",), "clock")
    fault, *rest = (plain := run()).findings
    suppressed = (Suppressed(rest[0], "by", "reason"),)
    pictures = (Picture(whole, whole.cut(4, 9)), None, None)
    return replace(
        plain, findings=(fault, *rest), pictures=pictures, suppressed=suppressed, settings=("expired",), pages={"MSI-001": "page"}
    )


def fleet() -> Fleet:
    example = {"case": "c", "summary": "s", "source": "s", "line": 3, "text": "t"}
    by = {k: {"x": 2} for k in ("kernel", "qemu", "xen", "driver", "device")}
    fault = FleetFault(
        "g", "MSI-001", "n", "high", "proven", "nvme", "new", 2, 0, 2, 2, "2026", "2027", "stamp", by, ("h1", "h2"), example,
        {"*": {"x": 2}, "d1": {"x": 1}, "d2": {"x": 1}}, {"2026-11-01": 1, "2026-11-02": 1},
    )  # fmt: skip
    gone = {"group": "g", "code": "c", "name": "n", "role": "r", "machines": 1}
    failures = ({"case": "c", "member": "", "kind": "k", "reason": "r"}, {"case": "c", "member": "m", "kind": "k", "reason": "r"})
    rest = ({"case": "c", "reason": "r"},)
    counts = {"total": 5, "done": 2, "failed": 2, "missing": 1, "doubtful": 1}
    found = FleetCase("g", "MSI-001", "high", "proven", "c", "h1", "0000:00:08.0", "d1", "x", "2026", 1, "s", "s", 3)
    compared = {"both": 2, "only_here": 0, "only_there": 0}
    batch = (counts, 2, 2, 0, 0, (fault,) * 9, (gone,), failures, rest, rest, {"tracekit": "1"}, "stopped", compared)
    return Fleet(*batch, {"x": 3}, (found, found), 1, 2, ("settings of x",))


KEPT = {"grade", "severity", "role", "outcome", "kind", "seen_by", "explained_by", "code", "tone", "unit"}  # words that the engine checks


def poisoned(value: Any, text: str) -> Any:
    """The same with every text replaced."""
    if isinstance(value, str):
        return text
    if is_dataclass(value) and not isinstance(value, type):
        kept = KEPT - ({"role", "code"} if isinstance(value, FleetFault) else set())
        return replace(
            value, **{f.name: poisoned(getattr(value, f.name), text) for f in fields(value) if f.name not in kept and f.name != "cases"}
        )
    if isinstance(value, Mapping):
        known = {
            "source",
            "line",
            "case",
            "summary",
            "text",
            "member",
            "reason",
            "kernel",
            "qemu",
            "xen",
            "driver",
            "device",
            "name",
            "code",
            "gate",
            "*",
            "2026-11-01",
            "2026-11-02",
            *("both", "only_here", "only_there"),
        }
        return {k if k in known | {"kind", "role", "machines", "group"} else text: poisoned(v, text) for k, v in value.items()}
    return tuple(poisoned(v, text) for v in value) if isinstance(value, tuple) else value


@cache
def hostile(made: Callable[[], Any], text: str) -> Any:
    """A run or a fleet with this text in every field."""
    return poisoned(made(), text)


def written(name: str, text: str) -> Iterator[str]:
    """The report of a run in brief and in full, and of a fleet; each holds nothing that is not seen, and can be encoded."""
    report = REPORTS[name]()
    for full in (False, True):
        yield seen(name, report.write(hostile(run, text), {"width": 100, "color": False, "full": full}))
    if hasattr(report, "write_fleet"):
        yield seen(name, report.write_fleet(hostile(fleet, text), {}))


def seen(name: str, page: str) -> str:
    """The page, if a reader sees all that it holds."""
    assert not unseen(page) - ({"\r"} if name == "csv" else {"\u200b"} if name == "markdown" else set())
    page.encode("utf-8")
    return page


def unseen(text: str) -> set[str]:
    return {c for c in set(text) if c != "\n" and (not c.isprintable() or unicodedata.category(c) in ("Cf", "Cs", "Co", "Cn", "Cc"))}


class Page(HTMLParser):
    """The tags and the names of attributes of a page, and its comments."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, [(k, v) for k, v in attrs]))

    def handle_endtag(self, tag: str) -> None:
        self.seen.append(tag)

    def handle_comment(self, data: str) -> None:
        self.seen.append(data)


def shape(value: Any) -> Any:
    """JSON without its texts; keys are counted, since those of values are a plugin's."""
    if isinstance(value, dict):
        return [len(value), [shape(v) for v in value.values()]]
    return [shape(v) for v in value] if isinstance(value, list) else type(value).__name__


def test_there_are_300_texts() -> None:
    assert len(PAYLOADS) == 300
    assert len(set(PAYLOADS)) > 290


def pages(name: str) -> Iterator[tuple[str, list[str]]]:
    """Each text, and its reports. An empty text leaves out what it would say: its reports are only checked for what is not seen."""
    for text in PAYLOADS:
        told = list(written(name, text))
        if text.strip():
            yield text, told


def test_a_terminal_shows_nothing_that_is_not_seen() -> None:
    assert len(list(pages("terminal"))) > 290


@pytest.mark.parametrize("name", ["json", "sarif"])
def test_json_stays_what_strict_readers_take(name: str) -> None:
    plain = [shape(json.loads(page)) for page in written(name, "x")]
    for text, told in pages(name):
        values = [json.loads(page, parse_constant=pytest.fail) for page in told]
        assert [shape(v) for v in values] == plain, text
        assert all(map(str.isascii, told))
        assert not any(0xD800 <= ord(c) < 0xE000 for v in values for c in set(json.dumps(v, ensure_ascii=False)))


def test_html_has_the_tags_of_a_harmless_page() -> None:
    plain = [Page(page).seen for page in written("html", "x")]
    for text, told in pages("html"):
        assert [Page(page).seen for page in told] == plain, text


def test_csv_has_the_rows_and_columns_of_a_harmless_one_and_no_formula() -> None:
    def rows(page: str) -> list[list[str]]:
        return list(csv.reader(io.StringIO(page, newline=""), strict=True))

    plain = [[len(row) for row in rows(page)] for page in written("csv", "x")]
    for text in PAYLOADS:
        tables = [rows(page) for page in written("csv", text)]
        assert [[len(row) for row in table] for table in tables] == plain, text
        for cell in (cell for table in tables for row in table for cell in row):
            assert cell.lstrip()[:1] not in {*"=+-@＝＋－＠"} or cell == csv_cell(cell), (text, cell)
            assert cell[:1] not in {"\t", "\r"}


def test_markdown_has_the_blocks_of_a_harmless_page_and_no_markup_of_a_text() -> None:
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")

    def blocks(page: str) -> tuple[list[str], set[str]]:
        tokens = markdown.parse(page)
        inline = {t.type for token in tokens for t in token.children or ()}
        return [t.type for t in tokens], inline - {"text", "softbreak", "strong_open", "strong_close", "text_special"}

    plain = [blocks(page)[0] for page in written("markdown", "x")]
    for text, written_ in pages("markdown"):
        told = [blocks(page) for page in written_]
        assert [kinds for kinds, _ in told] == plain, (text, written_)
        assert [inline for _, inline in told] == [set()] * len(told), text


def test_junit_and_svg_have_the_elements_of_a_harmless_document() -> None:
    def elements(name: str, text: str) -> list[tuple[str, list[str]]]:
        page = REPORTS[name]().write(hostile(drawn, text), {})
        assert not unseen(page)
        told = [(e.tag.rpartition("}")[2], sorted(e.keys())) for e in ElementTree.fromstring(page).iter()]
        return [e for e in told if e[0] != "text"]  # of a drawing: a long one has more lines, or does not fit into its bar

    for name in ("junit", "svg"):
        plain = elements(name, "x")
        for text in filter(str.strip, PAYLOADS):
            assert elements(name, text) == plain, text


def test_commands_of_github_are_lines_of_their_own_and_issues_of_gitlab_strict_json() -> None:
    def commands(page: str) -> list[str]:
        assert not unseen(page)
        return [re.split(r"[ :]", line[2:])[0] for line in page.splitlines() if line.startswith("::") or pytest.fail(line)]

    plain = commands(REPORTS["github"]().write(hostile(drawn, "x"), {}))
    issues = shape(json.loads(REPORTS["gitlab"]().write(hostile(drawn, "x"), {})))
    assert len(plain) == 6
    for text in PAYLOADS:
        assert commands(REPORTS["github"]().write(hostile(drawn, text), {})) == plain, text
        page = REPORTS["gitlab"]().write(hostile(drawn, text), {})
        assert page.isascii() and shape(json.loads(page, parse_constant=pytest.fail)) == issues, text


def test_a_trace_has_the_tracks_and_events_of_a_harmless_one() -> None:
    def told(text: str) -> list[list[tuple[Any, ...]]]:
        read_back = read(REPORTS["perfetto"]().write(hostile(drawn, text), {}))
        texts = [v for events in read_back.values() for e in events for v in (*e[2:-1], *(e[-1].values() if len(e) > 2 else ()))]
        assert not unseen("".join(map(str, (*read_back, *texts)))), text
        return [[e if len(e) == 2 else (*e[:2], [*e[-1]]) for e in events] for events in read_back.values()]

    plain = told("x")
    assert len(plain) == 5
    for text in filter(str.strip, PAYLOADS):  # an empty advice is no note
        assert told(text) == plain, text


def test_numbers_of_a_table_stay_numbers() -> None:
    assert [csv_cell(v) for v in (-34, "-34", "+1.5", "1e-9", None, "-1-1", "- x")] == ["-34", "-34", "+1.5", "1e-9", "", "'-1-1", "'- x"]


def test_values_that_are_no_json_are_told_as_text() -> None:
    class Odd:
        def __str__(self) -> str:
            raise ValueError("no")

    ring: list[Any] = []
    ring.append(ring)
    values = {
        "nan": float("nan"),
        1: float("inf"),
        ("a", 2): {3},
        "big": 10**5000,
        "odd": Odd(),
        "ring": ring,
        "bytes": b"\xff",
        "s": "\ud800",
    }
    found = replace(run().findings[0], values=values)
    told = json.loads(REPORTS["json"]().write(replace(run(), findings=(found,)), {}), parse_constant=pytest.fail)["findings"][0]["values"]
    assert (told["nan"], told["1"], told["s"], told["odd"]) == ("nan", "inf", "\\ud800", "<Odd>")
    assert told["big"].startswith("0x")


@pytest.mark.skipif(not (shutil.which("chromium") or shutil.which("google-chrome")), reason="no Chromium")
def test_nothing_runs_in_chromium(tmp_path: Path) -> None:
    """A script that ran would mark the document; without the page's own policy too, so that escaping alone must hold."""
    browser = shutil.which("chromium") or shutil.which("google-chrome") or ""
    page = tmp_path / "page.html"
    bodies = [p for text in MARKUP for p in written("html", text)]
    marker = "<script>function ran() { document.documentElement.setAttribute('data-ran', '1') }</script>"
    inner = "".join(body.partition("<body>")[2].removesuffix("</body></html>\n") for body in bodies)
    page.write_text(
        f"<!doctype html><html><head><meta charset=utf-8>{marker}</head><body>{inner}<p id=end>end</p></body></html>", encoding="utf-8"
    )
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=3000",
    ]
    done = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode or 'id="end"' not in done.stdout:
        pytest.skip(f"Chromium does not run here: {done.stderr[-300:]}")
    assert "data-ran=" not in done.stdout.partition("<body>")[0]
    assert "<iframe" not in done.stdout
    assert "<img" not in done.stdout
