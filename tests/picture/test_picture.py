"""Pictures: from a recording to the lanes, and to what reports draw of them."""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from xml.dom import minidom

import polars as pl
import pytest
from tracekit_reports.axis import position
from tracekit_reports.html import HtmlReport
from tracekit_reports.svg import SvgReport
from tracekit_reports.terminal import TerminalReport

from tracekit.diagnosing.places import Places
from tracekit.findings import Finding, Subject
from tracekit.picture.compose import picture
from tracekit.picture.lane import lane
from tracekit.picture.scale import FOLD, MOST_FOLDS, Scale
from tracekit.picture.scene import MOST_MARKS, Scene
from tracekit.pipeline import Options, analyze
from tracekit.run import Run
from tracekit.testing import run as run_text
from tracekit.timeline import Bar, Lane, Mark, Picture, Timeline

SAMPLES = Path(__file__).resolve().parents[2] / "sample_traces"
STALE = SAMPLES / "msi.stale-hwsize/fires-kprobe-8-16-6.12/trace.txt"
WINDOW = SAMPLES / "vfio.resize-window/fires-grown-1-4-6.1/trace.txt"
LONG = SAMPLES / "vfio.resize-window/fires-guest-disable-then-growth-6.12/trace.txt"
QUIET = SAMPLES / "msi.stale-hwsize/quiet-rebind-16-6.12/trace.txt"


def drawn(path: Path) -> Run:
    """The run of a log, with its pictures."""
    return analyze([str(path)], Options(pictures=True))


def first(run: Run) -> Picture:
    """The picture of the first finding."""
    found = run.picture(run.findings[0])
    assert found is not None
    return found


def shown(timeline: Timeline) -> dict[str, list[str]]:
    """The texts of the bars of each lane."""
    return {lane.name: [bar.text for bar in lane.bars] for lane in timeline.lanes}


def test_a_stale_domain_is_drawn_above_the_larger_table_and_the_refused_enable() -> None:
    lanes = shown(first(drawn(STALE)).whole)
    assert lanes["irq domain"] == ["hwsize 8"]
    assert lanes["MSI-X table"] == ["8 entries", "16 entries"]
    assert lanes["enable"] == ["8→8", "16: -34"]
    (table,) = (lane for lane in first(drawn(STALE)).whole.lanes if lane.name == "MSI-X table")
    assert [bar.tone for bar in table.bars] == ["good", "bad"]


def test_a_window_gets_a_picture_of_its_own_with_the_bars_of_its_handlers() -> None:
    found = first(drawn(LONG))
    assert found.focus is not None
    lanes = shown(found.focus)
    assert [re.sub(r"[0-9.]+ ms", "N ms", text) for text in lanes["no vectors"]] == ["1→2 at most N ms"]
    assert lanes["vector 0 handled"] and lanes["vectors in place"] == ["1", "2"]
    assert found.focus.shades and found.focus.begin > found.whole.begin and found.focus.end < found.whole.end


def test_what_is_quiet_has_no_picture_and_nothing_is_drawn_unasked() -> None:
    assert drawn(QUIET).pictures == ()
    assert analyze([str(STALE)]).pictures == ()


def test_a_log_without_stamps_is_drawn_by_its_lines() -> None:
    bare = re.sub(r"(?m)^(.*?\]) [^ ]+ +[0-9.]+: ", r"\1 ", STALE.read_text())
    assert run_text(bare) is not None  # nothing to draw is no error


def timeline(*edges: int) -> Timeline:
    """A lane of marks."""
    return Timeline("x", "ns", edges[0], edges[-1], (Lane("a", "t", marks=tuple(Mark(e, "", "good", "s", 1) for e in edges)),))


def test_long_idle_stretches_are_folded_and_positions_keep_their_order() -> None:
    close = timeline(*range(0, 100, 10), *range(10_000, 10_100, 10))
    scale = Scale.of(close)
    (fold,) = scale.folds
    assert 90 <= fold[0] < fold[1] <= 10_000
    assert scale(fold[1]) - scale(fold[0]) == pytest.approx(FOLD)
    places = [scale(p) for p in (0, 10, 20, 30, 5_000, 10_000, 10_090)]
    assert places == sorted(places) and places[0] == 0 and places[-1] == pytest.approx(1)
    assert Scale.of(timeline(*range(0, 100, 10))).folds == ()
    assert Scale.of(replace(close, shades=((80, 10_010),))).folds == ()
    assert len(Scale.of(timeline(*(n * 10_000 + k for n in range(40) for k in (0, 1)))).folds) <= MOST_FOLDS


def test_a_part_has_no_folds_and_bars_are_cut_at_its_ends() -> None:
    whole = Timeline("x", "ns", 0, 100, (Lane("a", "t", (Bar(0, 50, "b", "good", "s", 1), Bar(60, None, "c", "good", "s", 2))),))
    part = whole.cut(40, 80)
    assert [(b.begin, b.end) for b in part.lanes[0].bars] == [(40, 50), (60, None)]
    assert Scale.of(part).folds == () and (part.begin, part.end) == (40, 80)


def test_many_interrupts_are_counted_together_and_none_is_lost() -> None:
    many = pl.DataFrame({"source": ["s"] * 50_000, "line": range(1, 50_001), "ts": range(0, 5_000_000, 100)})
    scene = Scene(Subject("x"), {"irq_handler_entry": many}, {"s": {1}})
    marks = list(scene.moments(many, "good", "interrupt"))
    assert len(marks) <= MOST_MARKS and sum(m.count for m in marks) == 50_000
    assert len(list(scene.within(0, 1_000).moments(many, "good", "interrupt"))) == 11


def test_a_lane_that_raises_is_named_and_the_others_stay() -> None:
    @lane(1, reads=())
    def broken(scene: Scene) -> list[Lane]:
        raise ValueError("no")

    @lane(2, reads=())
    def sound(scene: Scene) -> list[Lane]:
        return [Lane("good", "t", tuple(Bar(n, n + 1, "b", "good", "s", 1) for n in range(3)))]

    wrong: list[str] = []
    f = Finding("x", "proven", (), Subject("0000:00:08.0", bdf="0000:00:08.0"))
    found = picture(f, Places({}), [sound, broken], lambda source, error: wrong.append(f"{source.name}: {error}"))
    assert wrong == ["broken: no"]
    assert found is not None and [lane.name for lane in found.whole.lanes] == ["good"]


def test_the_svg_is_well_formed_has_no_script_and_its_bars_lead_to_lines() -> None:
    text = SvgReport().write(drawn(WINDOW), {})
    tree = minidom.parseString(text)
    assert not tree.getElementsByTagName("script")
    links = [a.getAttribute("href") for a in tree.getElementsByTagName("a")]
    assert links and all(re.fullmatch(r".*trace\.txt#L[0-9]+", link) for link in links)
    assert "at most" in text


def test_texts_of_a_log_cannot_break_out_of_the_drawing() -> None:
    hostile = Lane('<script>alert(1)</script>"', "t", tuple(Bar(n, n + 9, "</svg><b>\u202e", "bad", 'x"><i>', 1) for n in range(3)))
    f = Finding("</svg>", "proven", (), Subject("x"), severity="high", code="X-001", name="x.x")
    run = Run((), (f,), (), pictures=(Picture(Timeline("<b>", "ns", 0, 20, (hostile,))),))
    minidom.parseString(SvgReport().write(run, {}))
    page = HtmlReport().write(run, {})
    assert "<script>alert" not in page and "<i>" not in page and "\u202e" not in page


def test_every_link_of_the_page_has_its_line_on_the_page() -> None:
    page = HtmlReport().write(drawn(WINDOW), {})
    links, places = set(re.findall(r'href="#([^"]+)"', page)), set(re.findall(r'id="([^"]+)"', page))
    assert links and links <= places


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_terminal_draws_within_its_width(width: int) -> None:
    text = TerminalReport().write(drawn(WINDOW), {"width": width})
    assert max(map(len, text.splitlines())) <= width
    assert re.search(r"no vectors .*█", text)


def test_the_page_shows_the_lines_around_the_evidence_and_runs_no_script_but_its_own() -> None:
    run = drawn(WINDOW)
    page = HtmlReport().write(run, {})
    text = WINDOW.read_text().splitlines()
    assert run.around[str(WINDOW)][32] == text[31]
    assert "<summary>The lines around</summary>" in page and page.count("<script>") == 1
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in page
    assert "<script" not in HtmlReport().write(drawn(QUIET), {})


def test_bars_of_a_rotated_log_name_the_file_and_line_that_a_user_sees(tmp_path: Path) -> None:
    lines = LONG.read_text().splitlines(keepends=True)
    (tmp_path / "trace.log.1").write_text("".join(lines[:60]))
    (tmp_path / "trace.log").write_text("".join(lines[60:]))
    whole, rotated = first(drawn(LONG)), first(drawn(tmp_path))
    assert [shown(t) for t in (whole.whole, whole.focus or whole.whole)] == [
        shown(t) for t in (rotated.whole, rotated.focus or rotated.whole)
    ]
    places = [(b.source, b.line) for lane in rotated.whole.lanes for b in lane.bars]
    expected = [b.line for lane in whole.whole.lanes for b in lane.bars]
    assert places == [(str(tmp_path / "trace.log.1"), n) if n <= 60 else (str(tmp_path / "trace.log"), n - 60) for n in expected]
    page = HtmlReport().write(drawn(tmp_path), {})
    assert set(re.findall(r'href="#([^"]+)"', page)) and "None" not in TerminalReport().write(drawn(tmp_path), {"width": 100})


WAITED = "{} stay kernel: [drm] Fence fallback timer expired on ring sdma{}\n"


@pytest.mark.parametrize(
    ("stamps", "axis"),
    [
        (("Feb 20 20:32:31", "Feb 20 20:32:31", "Feb 20 20:32:33"), ("20:32:31.000", "20:32:33.000")),
        (("2026-02-20T23:59:59.5Z", "2026-02-21T00:00:01Z", "2026-02-21T00:00:02Z"), ("Feb 20 23:59:59.500", "Feb 21 00:00:02.000")),
    ],
)
def test_stamps_with_a_date_are_told_as_times_of_the_day(stamps: tuple[str, ...], axis: tuple[str, str], tmp_path: Path) -> None:
    log = tmp_path / "messages"
    log.write_text("".join(WAITED.format(stamp, n) for n, stamp in enumerate(stamps)))
    found = first(drawn(log)).whole
    assert (position(found, found.begin), position(found, found.end)) == axis


def test_stamps_since_boot_are_told_as_seconds() -> None:
    found = timeline(1_500_000_000, 67_465_951_000_000_000)
    assert (position(found, found.begin), position(found, found.end)) == ("1.500 s", "67,465,951.000 s")
