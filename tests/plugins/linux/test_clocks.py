"""How the clock of a kernel log relates to that of a trace."""

import pytest
from tracekit_linux.clocks import Pair, best_offsets

from tracekit.testing import tables

TASK = " vfio-11 [000] ....."
MAP_FAILED = "[  {:.6f}] e1000e 0000:00:0{}.0: xen map irq failed {} for 32752 domain\n"


def setup(begin, end, ret=-28, dev="0xffff888005622000"):
    """A Xen MSI set-up that is recorded with both ends."""
    return (
        f"{TASK} {begin:.6f}: k: (xen_initdom_setup_msi_irqs+0x0/0x340) dev={dev} nvec=3 type=17\n"
        f"{TASK} {end:.6f}: r: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret={ret}\n"
    )


def relations(trace, log):
    """(basis, offset and err in us, pairs, lines of the log, lines of the trace) of each relation."""
    found = tables(trace, log).get("clock_relations")
    rows = found.select("basis", "offset", "err", "pairs", "lines", "other_lines").rows() if found is not None else []
    return [(b, o and o // 1000, e and e // 1000, *rest) for b, o, e, *rest in rows]


def test_two_refusals_with_their_calls_fix_the_offset():
    trace = setup(115.1, 115.102) + setup(115.3425, 115.3455)
    log = MAP_FAILED.format(108.917, 6, -28) + MAP_FAILED.format(109.160, 7, -28)
    assert relations(trace, log) == [("fixed", 6184000, 1001, 2, [1, 2], [1, 3])]


def test_an_errno_that_no_call_returned_fits_no_offset():
    assert relations(setup(115.1, 115.102, -22), MAP_FAILED.format(108.917, 6, -28)) == []


def test_one_pair_is_assumed_where_it_says_more_than_that_something_was_printed():
    assert [r[0] for r in relations(setup(115.1, 115.102), MAP_FAILED.format(108.917, 6, -28))] == ["assumed"]


def test_a_message_whose_call_is_missing_speaks_against_an_offset():
    trace = setup(115.1, 115.102) + setup(115.3425, 115.3455) + setup(119.0, 119.1, 0)
    log = "".join(MAP_FAILED.format(ts, 6, -28) for ts in (108.917, 109.160, 110.0))
    assert [r[0] for r in relations(trace, log)] == ["none"]


def test_a_warning_is_tied_to_the_failing_call_of_its_task():
    trace = (
        f"{TASK} 5.100000: k: (__pci_enable_msix_range+0x4/0x520) dev=0xff11000000002000 minvec=1 maxvec=9\n"
        f"{TASK} 5.108000: r: (pci_alloc_irq_vectors_affinity+0xad/0x110 <- __pci_enable_msix_range) ret=-34\n"
    )
    log = """\
[    5.101000] WARNING: CPU: 0 PID: 11 at arch/x86/mm/ioremap.c:461 iounmap+0x33/0x100
[    5.101100] RIP: 0010:iounmap+0x33/0x100
[    5.101200] RSP: 0018:ff4a00 EFLAGS: 00010282
[    5.101300] RBP: 00000000ffffffde R08: 0000000000000000 R09: 0000000000000000
[    5.101400] Call Trace:
[    5.101500]  __pci_enable_msix_range+0x2a0/0x520
"""
    assert relations(trace, log) == [("assumed", 3000, 4001, 1, [1], [1])]
    assert relations(trace, log.replace("PID: 11", "PID: 12")) == []


def test_sources_that_the_user_related_are_left_alone():
    from tracekit_linux.clocks import ClockRelations

    from tracekit.testing import play

    found = tables(setup(115.1, 115.102), MAP_FAILED.format(108.917, 6, -28))
    heard = {n: found[n] for n in ("calls", "xen_map_failed")}
    assert play(ClockRelations, heard)["clock_relations"].height == 1
    given = found["streams"].with_columns(merged=True)
    assert ClockRelations().run((), {**heard, "streams": given})["clock_relations"].is_empty()


@pytest.mark.parametrize(
    ("spans", "best"),
    [
        ([(0, 10, 1, 1), (5, 20, 2, 2)], [(5, 10)]),
        ([(0, 10, 1, 1), (20, 30, 1, 2)], [(0, 10), (20, 30)]),
        # Two messages in one call are one pair.
        ([(0, 10, 1, 1), (5, 20, 2, 1), (40, 50, 1, 2)], [(0, 20), (40, 50)]),
    ],
)
def test_the_best_offsets_give_each_message_a_call_of_its_own(spans, best):
    assert best_offsets([Pair(low, high, "x", line, call, call, False) for low, high, line, call in spans]) == best
