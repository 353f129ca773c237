"""Reports from hand-made runs: what a reader sees, and what a hostile log must not do to them."""

import csv
import io
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from tracekit_reports import tracekit_reports
from tracekit_reports.markdown import plain
from tracekit_reports.story import story
from tracekit_reports.svg import MOST

from tracekit.findings import Evidence, Finding, Outcome, Subject, Unchecked
from tracekit.run import NotUnderstood, PluginReport, Run, SourceReport
from tracekit.timeline import Bar, Lane, Picture, Timeline

REPORTS = {r.name: r for r in tracekit_reports() if not getattr(r, "binary", False)}
DEVICE = Subject("0000:00:08.0", bdf="0000:00:08.0", how="inferred from handler names")
INSERT = "  vfioirq-262     [000] .....    26.551163: r_insd: (msix_setup_msi_descs+0xe1/0x120 <- msi_insert_desc) ret=-34"
STALE = Finding(
    name="msi.stale-hwsize", code="MSI-001", severity="high", grade="proven", subject=DEVICE,
    summary="irq domain has hwsize 8, the MSI-X table 16: index 8 is refused with -34",
    advice="Unbind the device and bind it again.", fingerprint="0123456789abcdef", explains=("MSI-009",),
    evidence=(
        Evidence("trace.txt", 24, "context", None, "k_setup: hwsize=8"),
        Evidence("trace.txt", 461, "cause", 464, INSERT, text_end="ret=-34"),
    ),
    unchecked=(Unchecked("the kernel's release", "uname -a"),), values={"hwsize": 8, "live": 16},
)  # fmt: skip
WARNING = Finding(
    name="msi.setup-warning", code="MSI-009", severity="medium", grade="proven", subject=DEVICE, explained_by="MSI-001",
    summary="WARNING in iounmap below __pci_enable_msix_range", evidence=(Evidence("dmesg.txt", 649, "effect", None, "WARNING: CPU: 0"),),
)  # fmt: skip
PLACE = {"source": "trace.txt", "also": []}
OBS = Finding("1 question could not be settled", None, (), severity="info", name="obs.blind-spot", code="OBS-001")
OUTCOMES = (
    Outcome("msi.stale-hwsize", "MSI-001", "found", "1 finding"),
    Outcome("vfio.lost-on-resize", "VFIO-001", "inconclusive", "no line counts what the device raised", "the device's counters"),
    Outcome("vfio.resize-window", "VFIO-002", "clear"),
    Outcome("xen.pirq-starved", "XEN-002", "not evaluated", "no lines of xen_map_failed in the input", "xl dmesg"),
)
SOURCES = (
    SourceReport("trace.txt", 613, {"ftrace": 601}, {"probe_entry": 300}, {"event": 300}, (NotUnderstood("vector_alloc", 2, 17, "irq=x"),)),
    SourceReport("dmesg.txt", 900, {"dmesg": 900}, {"kernel_version": 1}),
)
SICK = Run(
    SOURCES, (STALE, WARNING, OBS), OUTCOMES, ({"gate": "KV1", "value": True},), (PluginReport("p", "1", ("MSI-001 x",)),), (), "0.1.0"
)
WELL = Run(SOURCES[1:], (), OUTCOMES[2:], version="0.1.0")


def write(name: str, run: Run, **options: object) -> str:
    return REPORTS[name]().write(run, {"width": 80, "color": False, "full": False, **options})


def hostile(text: str) -> Run:
    """A run in which every text that may come from a log is `text`."""
    subject = Subject(text, how=text, aliases=(text,))
    evidence = (Evidence(text, 1, "cause", None, text),)
    finding = Finding(
        text, "proven", evidence, subject, "high", text, (Unchecked(text, text),), machine=text, name="msi.stale-hwsize", code="MSI-001"
    )
    return Run((SourceReport(text, 1, notes=(text,)),), (finding,), (Outcome("a.b", "MSI-002", "inconclusive", text, text),), version="0")


def test_a_healthy_run_takes_two_lines() -> None:
    assert (
        write("terminal", WELL) == "Nothing wrong found in dmesg.txt (900 lines).\nChecked and clear: 1. Not evaluated: 1 (why: --full).\n"
    )


def test_the_verdict_says_where_a_recording_lost_events() -> None:
    lossy = SourceReport("trace.txt", 613, {"ftrace": 613}, {"probe_entry": 300, "gap": 2})
    assert write("terminal", Run((lossy,), (), OUTCOMES[2:])).startswith(
        "Nothing wrong found in trace.txt (613 lines; events lost in 2 places)."
    )


def test_full_says_why_diagnoses_were_not_evaluated() -> None:
    page = write("terminal", WELL, full=True)
    assert "clear         VFIO-002 vfio.resize-window\n" in page
    assert "no lines of xen_map_failed in the input. To record: xl" in page.replace("\n                ", " ")


def test_the_terminal_page_says_what_who_how_sure_where_and_what_to_do() -> None:
    assert write("terminal", SICK, width=110) == (
        "1 finding (1 proven) in 2 sources (1,513 lines, 2 not understood).\n"
        "\n"
        " HIGH  MSI-001  msi.stale-hwsize  proven\n"
        "  irq domain has hwsize 8, the MSI-X table 16: index 8 is refused with -34\n"
        "  device        0000:00:08.0; inferred from handler names\n"
        "  seen in       trace.txt\n"
        "    461-464 cause   vfioirq-262 [000] ..... 26.551163: r_insd: (msix_setup_msi_descs+0xe1/0x120 <-\n"
        "                    msi_insert_desc) ret=-34\n"
        "        464         ret=-34\n"
        "         24 context k_setup: hwsize=8\n"
        "  what to do    Unbind the device and bind it again.\n"
        "  not checked   the kernel's release. Would settle it: uname -a\n"
        "  leads to      MSI-009 msi.setup-warning, proven: WARNING in iounmap below __pci_enable_msix_range\n"
        "                (dmesg.txt:649)\n"
        "\n"
        "  inconclusive  VFIO-001 vfio.lost-on-resize: no line counts what the device raised. To record: the device's\n"
        "                counters\n"
        "\n"
        "Checked and clear: 1. Inconclusive: 1. Not evaluated: 1 (why: --full).\n"
    )


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_of_the_page_is_wider_than_the_terminal(width: int) -> None:
    long = Finding("x" * 500, "possible", (Evidence("p" * 300, 10**9, "cause", 2 * 10**9, "y " * 900),), name="a.b", code="MSI-001")
    lines = write("terminal", Run(SOURCES, (STALE, long), OUTCOMES), width=width).splitlines()
    assert len(lines) > 20
    assert max(map(len, lines)) <= width


def test_of_a_long_path_the_files_name_is_kept() -> None:
    path = "/var/spool/cases/" + "x" * 80 + "/trace.txt"
    found = Finding("s", "proven", (Evidence(path, 7, "cause", None, "text"),), DEVICE, "high", name="a.b", code="MSI-001")
    run = Run(SOURCES, (found,), OUTCOMES)
    assert re.search(r"seen in {7}…x{53}/trace\.txt$", write("terminal", run), re.M)
    assert path in write("terminal", run, width=200)
    assert path in re.sub(r"\n +", "", write("terminal", run, full=True))


def test_a_word_longer_than_the_page_is_not_cut_short() -> None:
    word = "0x" + "0123456789abcdef" * 6
    found = Finding(word, "proven", (), DEVICE, "high", f"echo {word}", name="a.b", code="MSI-001")
    joined = re.sub(r"\n +", "", write("terminal", Run(SOURCES, (found,), OUTCOMES)))
    assert joined.count(word) == 2


def test_what_a_fact_advises_is_a_sentence_of_its_own() -> None:
    fact = Finding("QEMU itself hands them on", "proven", (), DEVICE, "info", "Look at irqfd.", name="vfio.slow-path", code="VFIO-010")
    assert "QEMU itself hands them on. Look at irqfd." in write("terminal", Run(SOURCES, (fact,), OUTCOMES), full=True, width=200)


def test_colour_only_where_it_is_asked_for() -> None:
    assert "\x1b[" not in write("terminal", SICK)
    colored = write("terminal", SICK, color=True)
    assert "\x1b[" in colored
    assert [s.rstrip() for s in re.sub(r"\x1b\[[0-9;]*m", "", colored).splitlines()] == write("terminal", SICK).splitlines()


def test_a_chain_of_consequences_hangs_below_its_root() -> None:
    lost = Finding("guest waits", "proven", (), DEVICE, "high", explained_by="MSI-009", name="irq.guest-timeout", code="IRQ-007")
    told = story(Run(SOURCES, (STALE, WARNING, lost), ()))
    assert [(f.finding.code, [c.code for c in f.consequences]) for f in told.faults] == [("MSI-001", ["MSI-009", "IRQ-007"])]


def test_two_findings_that_explain_each_other_are_still_told() -> None:
    a = Finding("a", "proven", (), DEVICE, explained_by="MSI-002", name="a.a", code="MSI-001")
    b = Finding("b", "proven", (), DEVICE, explained_by="MSI-001", name="b.b", code="MSI-002")
    told = story(Run(SOURCES, (a, b), ()))
    assert {f.code for fault in told.faults for f in (fault.finding, *fault.consequences)} == {"MSI-001", "MSI-002"}


def test_the_json_document_keeps_its_contract() -> None:
    document = json.loads(write("json", SICK))
    assert list(document) == [
        "schema",
        "version",
        "sources",
        "findings",
        "outcomes",
        "gates",
        "plugins",
        "errors",
        "trust",
        "suppressed",
        "settings",
    ]
    assert document["schema"] == "tracekit.run/1"
    source = {k: document["sources"][0][k] for k in ("path", "lines", "events", "envelopes", "not_understood", "clock")}
    assert source == {"path": "trace.txt", "lines": 613, "events": 300, "envelopes": {"ftrace": 601}, "not_understood": 2, "clock": "none"}
    assert document["findings"][0] == {
        "name": "msi.stale-hwsize", "code": "MSI-001", "severity": "high", "grade": "proven", "subject": "0000:00:08.0",
        "entity": {"kind": "pci", "bdf": "0000:00:08.0", "label": "0000:00:08.0", "aliases": [], "how": "inferred from handler names"},
        "summary": STALE.summary, "meaning": "", "advice": STALE.advice,
        "evidence": [
            PLACE | {"line": 461, "line_end": 464, "role": "cause", "text": INSERT, "text_end": "ret=-34"},
            PLACE | {"line": 24, "line_end": None, "role": "context", "text": "k_setup: hwsize=8", "text_end": None},
        ],
        "explains": ["MSI-009"], "explained_by": None, "confirmed_by_replay": None, "fixes": [],
        "unchecked": [{"guard": "the kernel's release", "would_settle": "uname -a"}],
        "related": [], "windows": [], "values": {"hwsize": 8, "live": 16}, "machine": "", "boot": 0, "fingerprint": "0123456789abcdef",
    }  # fmt: skip
    assert document["findings"][1]["explained_by"] == "MSI-001"
    assert document["findings"][2]["grade"] is None
    assert document["outcomes"][2] == {"name": "vfio.resize-window", "code": "VFIO-002", "outcome": "clear", "reason": "", "record": ""}


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_control_characters_of_a_log_reach_no_report(name: str) -> None:
    text = write(name, hostile("a\x1b]0;owned\x07b\x9b31m\u202ec\ud800\x00"), full=True)
    assert not re.search("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202e\ud800]", text)
    assert "\\x1b" in text or "\\u001b" in text


@pytest.mark.parametrize("name", ["terminal", "html", "markdown"])
def test_a_serial_consoles_colours_and_line_ends_are_left_out(name: str) -> None:
    serial = replace(
        STALE, evidence=(Evidence("console.log", 3, "cause", None, "\x1bc\x1b[?7l\x1b[2J[    1.5] Linux \x1b[31mversion\x1b[0m\r\r"),)
    )
    text = write(name, replace(SICK, findings=(serial,)))
    assert "Linux version" in text
    assert "x1b" not in text
    assert "x0d" not in text


def test_html_escapes_everything() -> None:
    page = write("html", hostile("<script>alert(1)</script>\"'><img src=x onerror=y>"))
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") >= 8


def test_html_loads_nothing_from_elsewhere() -> None:
    page = write("html", SICK)
    assert not re.search(r"https?:|src=|href=[^#]{2}|url\([^#]", page)


def test_markdown_text_cannot_become_markup() -> None:
    assert plain("[x](http://y) <b> `c` *d* @e #1\nf") == "\\[x\\](http:\u200b//y) \\<b\\> \\`c\\` \\*d\\* \\@e \\#1 f"
    fences = [line for line in write("markdown", hostile("a ```` b\n# heading")).splitlines() if line.startswith("`````")]
    assert fences == ["`````text", "`````"]


def test_csv_cells_start_no_formula() -> None:
    rows = list(csv.reader(io.StringIO(write("csv", hostile("=HYPERLINK(1)")))))
    assert len(rows) == 2
    assert not [c for c in rows[1] if c[:1] in "=+-@" and c]
    assert rows[1].count("'=HYPERLINK(1)") == 4


def test_sarif_results_have_a_rule_a_level_and_a_place() -> None:
    document = json.loads(write("sarif", SICK))
    scan = document["runs"][0]
    assert document["version"] == "2.1.0"
    assert [(r["ruleId"], r["level"]) for r in scan["results"]] == [("MSI-001", "error"), ("MSI-009", "note")]
    assert [r["id"] for r in scan["tool"]["driver"]["rules"]] == ["MSI-001", "MSI-009"]
    assert scan["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] == 461


WINDOW = {"source": "a/trace.txt", "line": 59, "line_end": 72, "index": 2, "old": 1, "new": 2, "ts": 346782829000, "ts_end": 346789140000}
WINDOWS = (
    {
        **WINDOW,
        "span_ns": 6311000,
        "no_handler_ns": 5922000,
        "no_vectors_ns": None,
        "vectors_in_use": [0, 3],
        "inferred": False,
        "queue": 7,
    },
    {**WINDOW, "line": 80, "line_end": None, "ts_end": None, "new": 10**400, "span_ns": 10**400},
)
RESIZED = replace(SICK, findings=(replace(STALE, windows=WINDOWS),))


def test_full_has_the_table_of_windows() -> None:
    assert "windows" not in write("terminal", RESIZED, width=200)
    short = replace(STALE, windows=(WINDOWS[0], {**WINDOWS[0], "line": 80, "line_end": 80}))
    page = write("terminal", replace(SICK, findings=(short,)), width=120, full=True)
    assert [line.rstrip() for line in page.partition("  windows\n")[2].splitlines()[:3]] == [
        "    lines  begin (s)   end (s)     vectors  in use  at most (ms)  no handler (ms)  queue",
        "    59-72  346.782829  346.789140  1 -> 2   0, 3    6.311         5.922            7",
        "    80     346.782829  346.789140  1 -> 2   0, 3    6.311         5.922            7",
    ]


def test_heads_of_the_table_of_windows_wrap_before_its_numbers_do() -> None:
    page = write("terminal", replace(SICK, findings=(replace(STALE, windows=WINDOWS[:1]),)), width=80, full=True)
    table = page.partition("  windows\n")[2].partition("\n  what to do")[0].splitlines()
    assert len(table) > 2 and table[-1].split() == ["59-72", "346.782829", "346.789140", "1", "->", "2", "0,", "3", "6.311", "5.922", "7"]


def test_windows_of_several_files_name_them_and_no_number_is_too_large() -> None:
    other = {**WINDOWS[1], "source": "b/trace.1"}
    page = write("html", replace(SICK, findings=(replace(STALE, windows=(WINDOWS[0], other)),)))
    assert "<td>trace.1</td><td>80</td><td>346.782829</td><td></td><td>1 -&gt; 1000" in page
    many = write("html", replace(SICK, findings=(replace(STALE, windows=(WINDOWS[0],) * 30),)))
    assert "<details><summary>Windows (30)</summary>" in many


@pytest.mark.parametrize(
    ("grade", "replayed", "told"),
    [
        ("proven", True, "proven, confirmed by replay</b>: its lines show it; in a replay with its fix it does not occur</p>"),
        ("probable", None, "probable</b>: its lines fit, and do not show all of it; not checked: the kernel&#x27;s release</p>"),
        ("possible", False, "possible, not confirmed by replay</b>: its lines fit another cause too; not checked: the kernel"),
    ],
)
def test_html_says_what_the_grade_rests_on(grade: Any, replayed: bool | None, told: str) -> None:
    assert told in write("html", replace(SICK, findings=(replace(STALE, grade=grade, confirmed_by_replay=replayed),)))


def dense(count: int) -> Run:
    """A run whose finding has a window in each of many seconds, with a bar for each in two lanes."""
    bars = tuple(Bar(i * 10**9, i * 10**9 + 10**6, f"bar {i}", "bad" if i % 50 == 7 else "good", "trace.txt", i) for i in range(count))
    shades = tuple((bar.begin, bar.end or 0) for bar in bars if bar.tone == "bad")
    whole = Timeline("0000:00:08.0", "ns", 0, count * 10**9, (Lane("no vectors", "windows", bars, shades=True),) * 2, shades)
    evidence = tuple(Evidence("trace.txt", i, "cause" if i else "effect", None, f"line {i}") for i in range(count))
    finding = replace(STALE, evidence=evidence, windows=tuple({**WINDOW, "line": i} for i in range(count)))
    around = {"trace.txt": {i: f"line {i}" for i in range(count)}}
    return replace(SICK, findings=(finding,), pictures=(Picture(whole),), around=around)


def test_a_page_of_thousands_of_windows_stays_small_and_counts_what_is_left_out() -> None:
    page = write("html", dense(20_000))
    assert len(page) < 500_000
    assert "<p>19,800 more lines of evidence: <code>--format json</code></p>" in page
    assert "<p>19,800 more windows: <code>--format json</code></p>" in page
    assert 'id="f1-0-L1"' in page and 'id="f1-0-L19999"' not in page
    assert set(re.findall('href="#([^"]+)"', page)) <= set(re.findall('id="([^"]+)"', page))


def test_bars_that_share_a_few_pixels_are_drawn_as_one_the_worst_first() -> None:
    few, many = (write("svg", dense(count)) for count in (MOST, 20_000))
    assert few.count("<title>bar ") == 2 * MOST and "more beside it" not in few
    assert 2 * 100 < many.count("<title>bar ") < 2 * 400
    titles = re.findall(r"<title>(bar [^<]*)</title>", many)
    counted = sum(1 + int((m[1] if (m := re.search("and ([0-9,]+) more beside it", t)) else "0").replace(",", "")) for t in titles)
    assert counted == 2 * 20_000
    assert all(int(re.findall("[0-9]+", t)[0]) % 50 == 7 for t in titles)
