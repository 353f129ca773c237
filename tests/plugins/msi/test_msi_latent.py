"""MSI-002: an irq domain of another size than the table, which a later enable or lspci shows, before a request reaches it."""

import pytest
from kprobes import Trace

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run

LSPCI = """\
{bdf} Ethernet controller: Example Devices VF
\tCapabilities: [a0] MSI-X: Enable+ Count={count} Masked-
"""


def opened(t: Trace, size: int, live: int, asked: int) -> tuple[int, int]:
    """A session with a table of `size`, then an enable on a table of `live` that asks for less; the lines of the creation."""
    t.open()
    t.enable(size, size, made=size)
    t.interrupts(0)
    t.disable()
    t.close()
    t.open()
    t.enable(asked, live)
    t.interrupts(0)
    created = [n for n, line in enumerate(t.text, 3) if "msi_create_device_irq_domain" in line]
    return created[0], created[1]


def latent(*texts: str) -> list[Finding]:
    return [f for f in findings(*texts) if f.code == "MSI-002"]


@pytest.mark.parametrize(("size", "live"), [(8, 16), (1, 2), (33, 40)])
def test_a_later_enable_shows_a_table_beyond_the_domain(size: int, live: int) -> None:
    t = Trace("0001:03:1f.7")
    made = opened(t, size, live, 1)
    (f,) = latent(str(t))
    assert (f.grade, f.severity, f.subject.bdf, f.values) == ("proven", "medium", t.bdf, {"old_size": size, "live": live, "enables": 1})
    first, second = f.evidence
    assert (first.line, first.line_end, first.role) == (*made, "cause")
    assert (second.line > made[1], second.role) == (True, "cause")
    assert f.summary == f"irq domain of {t.bdf} has hwsize {size}, the MSI-X table {live}; no request went beyond it yet"


def test_a_table_of_the_same_size_is_clear() -> None:
    t = Trace()
    opened(t, 8, 8, 4)
    assert latent(str(t)) == []
    assert outcome(run(str(t)), "MSI-002").outcome == "clear"


def test_a_table_that_shrank_is_clear() -> None:
    t = Trace()
    opened(t, 8, 4, 4)
    assert latent(str(t)) == []


def test_three_enables_beyond_the_domain_are_named_and_the_fourth_is_counted() -> None:
    t = Trace()
    opened(t, 8, 16, 2)
    for _ in range(3):
        t.disable()
        t.enable(2, 16)
    (f,) = latent(str(t))
    assert (f.values["enables"], len(f.evidence)) == (4, 4)


def test_two_devices_are_two_findings() -> None:
    one, other = Trace("0000:41:00.1"), Trace("0000:41:00.2", 0xFF1100010A5C2000, 0xFF11000104AD8000, "qemu-kvm-812", 157)
    opened(one, 8, 16, 2)
    other.at = one.at
    opened(other, 4, 8, 2)
    found = latent("\n".join([str(one), *other.text]) + "\n")
    assert sorted((f.subject.bdf, f.values["old_size"], f.values["live"]) for f in found) == [
        ("0000:41:00.1", 8, 16),
        ("0000:41:00.2", 4, 8),
    ]


def test_lspci_shows_a_table_beyond_the_domain() -> None:
    t = Trace()
    made = opened(t, 8, 8, 4)
    (f,) = latent(str(t), LSPCI.format(bdf=t.bdf, count=16))
    assert (f.grade, f.severity, f.subject.bdf) == ("possible", "medium", t.bdf)
    assert f.values == {"old_size": 8, "live": 16, "enables": 2}
    assert [(e.source.rpartition("/")[2], e.line, e.role) for e in f.evidence] == [("a.log", made[0], "cause"), ("b.log", 2, "cause")]
    assert f.summary == f"irq domain of {t.bdf} has hwsize 8, lspci shows a table of 16"
    assert [u.guard for u in f.unchecked] == ["the size was read while this irq domain lived"]


@pytest.mark.parametrize(
    "shown",
    [
        LSPCI.format(bdf="0000:41:00.1", count=8),
        LSPCI.format(bdf="0000:41:00.1", count=4),
        LSPCI.format(bdf="0000:41:00.2", count=16),
        LSPCI.format(bdf="0000:41:00.1", count=16) + LSPCI.format(bdf="0000:41:00.1", count=8),
    ],
    ids=["as large", "smaller", "of another function", "once as large"],
)
def test_lspci_that_shows_no_larger_table_of_the_function_is_clear(shown: str) -> None:
    t = Trace("0000:41:00.1")
    opened(t, 8, 8, 4)
    assert latent(str(t), shown) == []


def test_without_a_creation_the_size_is_not_known() -> None:
    t = Trace()
    t.open()
    t.enable(4, 16)
    assert latent(str(t), LSPCI.format(bdf=t.bdf, count=32)) == []
    assert outcome(run(str(t)), "MSI-002").outcome == "not evaluated"


@pytest.mark.parametrize(("size", "found"), [(16, 0), (8, 1)])
def test_lspci_is_held_against_the_last_irq_domain(size: int, found: int) -> None:
    t = Trace("0000:41:00.1")
    for table in (8 if found else 4, size):
        t.open()
        t.enable(2, table, made=table)
        t.interrupts(0)
        t.disable()
        t.close()
    shown = LSPCI.format(bdf=t.bdf, count=32) + ("" if found else LSPCI.format(bdf=t.bdf, count=16))
    assert [f.values["old_size"] for f in latent(str(t), shown)] == [size] * found


# By drgn: both sizes on one line

BANNER = "Linux version 6.12.41-cloud-amd64 (builder@example) #1 SMP PREEMPT_DYNAMIC\n"
READ = "tracekit-hwsize: {} MSI-X hwsize {}{} enabled driver vfio-pci\n"


@pytest.mark.parametrize(
    ("hwsize", "table", "found"),
    [
        (8, " table 16 (config)", [("proven", 16, 0)]),
        (1, " table 2 (config)", [("proven", 2, 0)]),
        (8, " table 9 (vfio-pci)", [("probable", 9, 1)]),  # of a core dump: what vfio-pci read when it opened the device
        (16, " table 16 (config)", "clear"),
        (17, " table 16 (config)", "clear"),
        (0, " table 16 (config)", "clear"),  # as large as the index space
        (8, "", "not evaluated"),  # the table was not read
    ],
)
def test_a_domain_that_drgn_reads_is_held_against_the_table_beside_it(
    hwsize: int, table: str, found: list[tuple[str, int, int]] | str
) -> None:
    result = run(BANNER + READ.format("0000:3b:00.2", hwsize, table))
    told = [f for f in result.findings if f.code == "MSI-002"]
    if isinstance(found, str):
        assert (told, outcome(result, "MSI-002").outcome) == ([], found)
    else:
        assert [(f.grade, f.values["live"], len(f.unchecked)) for f in told] == found
        assert [(f.values["old_size"], [e.line for e in f.evidence]) for f in told] == [(hwsize, [2])]


def test_of_two_readings_of_a_function_the_later_one_counts() -> None:
    one, other = "0000:3b:00.2", "0000:3b:00.3"
    text = BANNER + "".join(READ.format(bdf, size, f" table {n} (config)") for bdf, size, n in ((one, 8, 12), (other, 4, 8), (one, 8, 16)))
    assert [(f.subject.bdf, f.values["live"], [e.line for e in f.evidence]) for f in latent(text)] == [(one, 16, [4]), (other, 8, [3])]
