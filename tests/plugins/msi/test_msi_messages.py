"""The kernel's and Xen's own lines about MSI (MSI-005, MSI-006, MSI-008): which lines a finding names, and what takes precedence."""

import pytest
from kprobes import Trace

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run

ENABLE, INSERT = "__pci_enable_msix_range", "msi_insert_desc"


def of(code: str, *texts: str, **named: str) -> list[Finding]:
    return [f for f in findings(*texts, **named) if f.code == code]


def log(*lines: str) -> str:
    """A kernel log, its lines a second apart."""
    return "".join(f"[{10 + i:5d}.000000] {line}\n" for i, line in enumerate(lines))


def lines(f: Finding) -> list[int]:
    return [e.line for e in f.evidence]


# MSI-005

CONFLICT = "foo {}: can't enable {} ({} already enabled)"


@pytest.mark.parametrize("count", [1, 3, 4])
def test_the_first_conflict_of_a_device_gives_the_words_and_three_of_them_the_lines(count: int) -> None:
    told = [CONFLICT.format("0000:01:00.0", "MSI", "MSI-X"), *[CONFLICT.format("0000:01:00.0", "MSI-X", "MSI")] * (count - 1)]
    (f,) = of("MSI-005", log(*told))
    assert (f.grade, f.values) == ("proven", {"wanted": "MSI", "active": "MSI-X", "driver": "foo", "times": count})
    assert lines(f) == list(range(1, count + 1))[:3]


@pytest.mark.parametrize("count", [1, 3, 4])
def test_of_xens_conflicts_about_a_device_the_first_names_the_kind(count: int) -> None:
    told = ["(XEN) irq 16 already mapped to MSI-X on 0000:03:00.0\n", *["(XEN) MSI already in use on 0000:03:00.0\n"] * (count - 1)]
    (f,) = of("MSI-005", "".join(told))
    assert (f.grade, f.values) == ("proven", {"active": "MSI-X", "times": count})
    assert lines(f) == list(range(1, count + 1))[:3]


WARNING = """\
[   {at}.000000] ------------[ cut here ]------------
[   {at}.000001] WARNING: CPU: 0 PID: 262 at drivers/pci/msi/{file}:{place} {function}+0x33/0x100
[   {at}.000002] CPU: 0 UID: 0 PID: 262 Comm: modprobe Not tainted 6.12.0 #1
"""


def test_the_warning_of_a_second_enable_is_named_once() -> None:
    warned = "".join(WARNING.format(at=at, file="msi.c", place=at, function=ENABLE) for at in (20, 30))
    assert [(f.values, lines(f)) for f in of("MSI-005", warned)] == [({"place": "drivers/pci/msi/msi.c:20"}, [2])]


# MSI-006

WIDE = "foo {}: arch assigned 64-bit MSI address 0x{:x} but device only supports 32 bits"
REFUSED = "hv_pci {}: Request for interrupt failed: 0x{:x}"
DEVICE = "7ad35d50-c05b-47ab-b3a0-56a9a845852b"


@pytest.mark.parametrize("count", [1, 4, 5])
def test_the_first_line_about_a_device_gives_the_number_and_four_the_lines(count: int) -> None:
    (f,) = of("MSI-006", log(*(WIDE.format("0000:01:00.0", 0x1FEE00000 + i) for i in range(count))))
    assert (f.grade, f.subject.bdf, f.values) == ("proven", "0000:01:00.0", {"address": 0x1FEE00000, "driver": "foo"})
    assert lines(f) == list(range(1, count + 1))[:4]
    (f,) = of("MSI-006", log(*(REFUSED.format(DEVICE, 0xC0000001 + i) for i in range(count))))
    assert (f.grade, f.subject.kind, f.values) == ("probable", "unknown", {"status": 0xC0000001, "count": count})
    assert lines(f) == list(range(1, count + 1))[:4]


@pytest.mark.parametrize(
    ("before", "found"),
    [("", "probable"), (WIDE.format("0000:01:00.0", 1 << 32), "proven"), (REFUSED.format(DEVICE, 0xC0000001), "probable")],
)
def test_a_line_that_names_the_device_stands_for_the_warning_without_one(before: str, found: str) -> None:
    warned = WARNING.format(at=20, file="legacy.c", place=31, function="pci_msi_setup_msi_irqs")
    (f,) = of("MSI-006", (log(before) if before else "") + warned)
    assert (f.grade, lines(f)) == (found, [1] if before else [2])


@pytest.mark.parametrize(
    ("function", "arguments", "descriptors", "ret", "kind"),
    [
        (ENABLE, "minvec=1 maxvec=4", 0, -524, "MSI-X"),
        (ENABLE, "minvec=1 maxvec=4", 0, -19, "MSI-X"),
        ("__pci_enable_msi_range", "minvec=1 maxvec=4", 0, -524, "MSI"),
        (ENABLE, "minvec=1 maxvec=4", 1, -524, None),  # a descriptor follows the domain
        (ENABLE, "minvec=1 maxvec=4", 0, -12, None),
        ("pci_msix_alloc_irq_at", "index=4", 0, -524, None),  # MSI-X is on: the domain does not add vectors
    ],
)
def test_an_enable_that_fails_before_any_descriptor_has_no_domain(
    function: str, arguments: str, descriptors: int, ret: int, kind: str | None
) -> None:
    t = Trace()
    begin = t.entry(function, f"dev={t.dev:#x} {arguments}")
    for index in range(descriptors):
        t.entry(INSERT, f"dev={t.dev + 0xC8:#x} domid=0 index={index}")
        t.leave(INSERT, 0)
    end = t.leave(function, ret)
    told = [(f.summary, f.grade, f.values, [(e.line, e.line_end) for e in f.evidence]) for f in of("MSI-006", str(t))]
    summary = f"pci_dev {t.dev:#x} has no {kind} domain: the enable returned {ret}"
    assert told == [(summary, "probable", {"errno": ret, "asked": 4}, [(begin, end)])] * (kind is not None)
    assert outcome(run(str(t)), "MSI-006").outcome == ("found" if kind else "clear")


def test_of_two_failed_enables_of_a_function_the_first_is_named() -> None:
    t = Trace()
    first = t.entry(ENABLE, f"dev={t.dev:#x} minvec=1 maxvec=8")
    t.leave(ENABLE, -524)
    t.entry(ENABLE, f"dev={t.dev:#x} minvec=1 maxvec=4")
    t.leave(ENABLE, -19)
    assert [(f.values, lines(f)) for f in of("MSI-006", str(t))] == [({"errno": -524, "asked": 8}, [first])]


@pytest.mark.parametrize("xen", ["trace", "log"])
def test_under_xen_its_own_refusal_is_the_reason(xen: str) -> None:
    t = Trace()
    t.entry(ENABLE, f"dev={t.dev:#x} minvec=1 maxvec=2")
    if xen == "trace":
        t.entry("xen_initdom_setup_msi_irqs", f"dev={t.dev:#x} nvec=2 type=17")
        t.leave("xen_initdom_setup_msi_irqs", -19)
    t.leave(ENABLE, -19)
    beside = [] if xen == "trace" else [log("nvme 0000:00:04.0: Failed to create MSI-X! ret=-19!")]
    assert of("MSI-006", str(t), *beside) == []


# MSI-008


@pytest.mark.parametrize(
    ("reason", "errno"), [("Device or resource busy", -16), ("Operation not supported", -95), ("Invalid argument", -22)]
)
def test_a_refused_write_of_the_count_names_the_vf(reason: str, errno: int) -> None:
    (f,) = of("MSI-008", f"bash: echo: write error: {reason}\n/sys/bus/pci/devices/0000:01:00.2/sriov_vf_msix_count: {reason}\n")
    assert (f.grade, f.subject.bdf, f.values, lines(f)) == ("proven", "0000:01:00.2", {"errno": errno, "reason": reason}, [2])


# The ITS: what it does not hold, and what an old kernel takes for a time-out


@pytest.mark.parametrize(
    ("said", "why", "advice"),
    [
        (
            "Devices doesn't stick: f907000240190600 f907000040190600",
            "its register for Devices does not hold bits 0x200000000 of the table's address",
            "It reaches less memory",
        ),
        (
            "Interrupt Collections doesn't stick: a404000040190600 8404000040190600",
            "its register for Interrupt Collections does not hold what was written",
            "A fault of the platform",
        ),
        ("failed probing (-6)", "its probe failed with -6", "A fault of the platform"),
        ("no ITS detected, giving up", "it does not answer, or does not stop", "A fault of the platform"),
    ],
)
def test_an_its_that_is_not_used(said: str, why: str, advice: str) -> None:
    (f,) = of("MSI-006", log(f"ITS@0x00000000fd440000: {said}"))
    assert (f.grade, f.severity, f.subject.label, lines(f)) == ("proven", "high", "ITS", [1])
    assert f.summary == f"the ITS at 0xfd440000 is not used: {why}; devices behind it get no MSI"
    assert f.advice.startswith(advice)


@pytest.mark.parametrize(
    "said",
    ["ITS@0x00000000fd440000: allocated 8192 Devices @100180000 (indirect, esz 8, psz 64K, shr 1)", "ITS [mem 0xfd440000-0xfd45ffff]"],
)
def test_an_its_that_is_used(said: str) -> None:
    assert findings(log(said)) == []


FAILED = "ITS cmd its_build_vmovp_cmd failed"


@pytest.mark.parametrize(
    ("numbers", "done"),
    [
        ("65440 65504 480", True),  # the reader has gone around
        ("65472 32 65480", False),  # a command that goes around: the reader stands in it
        ("65472 32 0", False),
        ("480 544 480", False),  # it stands at the command
        ("480 544 512", False),
        ("480 544 96", False),  # it has not come
        ("480 544", False),  # the format since 5.2
    ],
)
def test_a_reader_of_the_its_that_has_gone_around(numbers: str, done: bool) -> None:
    told = log(f"ITS queue timeout ({numbers})", FAILED)
    assert [(f.grade, lines(f)) for f in of("MSI-006", told)] == ([] if done else [("proven", [1, 2])])
    assert outcome(run(told), "MSI-006").outcome == ("inconclusive" if done else "found")


def test_a_command_that_failed_beside_one_that_was_done() -> None:
    told = log("ITS queue timeout (65440 65504 480)", FAILED, "ITS queue timeout (480 544 480)", "ITS cmd its_build_mapd_cmd failed")
    (f,) = of("MSI-006", told)
    assert (lines(f), f.values["commands"]) == ([3, 4], ["mapd"])
