"""What a run says about the clocks of its sources."""

from pathlib import Path

from tracekit.analyze import Options, analyze
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
