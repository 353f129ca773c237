"""What a run says about the clocks of its sources."""

from pathlib import Path

import polars as pl
import pytest

from tracekit import before
from tracekit.pipeline import Options, analyze
from tracekit.testing import run

TRACE = """\
 modprobe-176 [000] ..... 115.108750: k: (xen_initdom_setup_msi_irqs+0x0/0x340) dev=0xffff888005622000 nvec=3 type=17
 modprobe-176 [000] ..... 115.110750: r: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret=-28
 modprobe-176 [000] ..... 115.342697: k: (xen_initdom_setup_msi_irqs+0x0/0x340) dev=0xffff888004d1f000 nvec=3 type=17
 modprobe-176 [000] ..... 115.345572: r: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret=-28
"""
LOG = """\
[  108.926750] e1000e 0000:00:06.0: xen map irq failed -28 for 32752 domain
[  109.160697] e1000e 0000:00:07.0: xen map irq failed -28 for 32752 domain
"""


def clocks(*texts: str) -> list[str]:
    return [s.clock for s in run(*texts).sources]


def test_a_source_tells_how_its_clock_relates_to_a_trace() -> None:
    assert clocks(TRACE, LOG) == ["ftrace", "printk; +6.183000 s +- 0.001001 s is the clock of a.log, fixed by 2 messages"]


def test_a_clock_that_nothing_ties_is_named_alone() -> None:
    assert clocks(TRACE, LOG.replace("-28", "-22")) == ["ftrace", "printk"]


def test_a_source_with_an_offset_is_one_stream_with_the_first_that_has_none(tmp_path: Path) -> None:
    paths = [str(tmp_path / n) for n in ("a.log", "b.log", "c.log")]
    for path in paths:
        Path(path).write_text(LOG)

    def merged(*given: int) -> list[str]:
        made = analyze(paths, Options(clocks={paths[n]: 1 for n in given}, keep_tables=("streams",)))
        return [Path(p).name for p in made.tables["streams"].filter("merged")["source"]]

    assert [merged(), merged(2), merged(0), merged(0, 1, 2)] == [[], ["a.log", "c.log"], ["a.log", "b.log"], ["a.log", "b.log", "c.log"]]


@pytest.mark.parametrize(
    ("source", "line", "ts", "earlier"),
    [
        ("a.log", 6, 90, True),  # of one source the line decides, whatever the stamps say
        ("a.log", 5, 101, False),
        ("a.log", 4, 200, False),
        ("b.log", 1, 101, True),
        ("b.log", 9, 99, False),
        ("b.log", 9, 100, None),
        ("b.log", 9, None, None),
        ("c.log", 9, 101, None),  # its clock is its own
    ],
)
def test_what_came_before_is_known_of_one_source_and_of_one_clock(source: str, line: int, ts: int | None, earlier: bool | None) -> None:
    streams = pl.DataFrame({"source": ["a.log", "b.log", "c.log"], "stream": [0, 0, 1]})
    first = {"source": "a.log", "line": 5, "ts": 100}
    assert before(first, {"source": source, "line": line, "ts": ts}, streams) is earlier


def test_without_a_stamp_of_its_own_a_row_is_before_nothing_of_another_source() -> None:
    streams = pl.DataFrame({"source": ["a.log", "b.log"], "stream": [0, 0]})
    assert before({"source": "a.log", "line": 5, "ts": None}, {"source": "b.log", "line": 9, "ts": 100}, streams) is None


def test_a_plugin_orders_rows_of_logs_whose_clocks_the_user_gave(tmp_path: Path) -> None:
    paths = [str(tmp_path / n) for n in ("a.log", "b.log")]
    for path in paths:
        Path(path).write_text(LOG)
    for shift, earlier in ((-1_000_000_000, False), (1_000_000_000, True)):
        made = analyze(paths, Options(clocks={paths[1]: shift}, keep_tables=("xen_map_failed", "streams"))).tables
        one, other = (made["xen_map_failed"].filter(source=path, line=1).row(0, named=True) for path in paths)
        assert before(one, other, made["streams"]) is earlier
