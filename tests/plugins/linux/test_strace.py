"""VFIO's ioctls as strace prints them."""

import pytest

from tracekit.testing import findings, tables

EVENTFD = "VFIO_IRQ_SET_DATA_EVENTFD|VFIO_IRQ_SET_ACTION_TRIGGER"
NONE = "VFIO_IRQ_SET_DATA_NONE|VFIO_IRQ_SET_ACTION_TRIGGER"


def set_irqs(count: int, result: str = "0", *, fd: str = "25", flags: str | None = None, before: str = "", after: str = "") -> str:
    flags = flags or (EVENTFD if count else NONE)
    data = f", data=[{', '.join(map(str, range(30, 30 + count)))}]" if count else ""
    return (
        f"{before}ioctl({fd}, VFIO_DEVICE_SET_IRQS, {{argsz=28, flags={flags}, index=2, start=0, count={count}{data}}}) = {result}{after}\n"
    )


FIELDS = ("flags", "index", "start", "count", "data", "ret")
REFUSED = "-1 ERANGE (Numerical result out of range)"


@pytest.mark.parametrize("before", ["", "1234  10:00:01.100000 ", "[pid  4711] ", "[pid 4711] 1732100001.100000 ", "77    10:00:01 "])
@pytest.mark.parametrize("fd", ["25", "25<anon_inode:[vfio-device]>"])
@pytest.mark.parametrize("after", ["", " <0.001234>"])
def test_a_request_has_flags_sizes_and_errno(before: str, fd: str, after: str) -> None:
    found = tables(set_irqs(2, REFUSED, before=before, fd=fd, after=after))["op_set_irqs"]
    assert found.select("flags", "index", "start", "count", "data", "ret").rows() == [(0x24, 2, 0, 2, "eventfd", -34)]


def test_flags_may_be_a_number() -> None:
    assert tables(set_irqs(2, flags="0x24"))["op_set_irqs"]["flags"].to_list() == [0x24]


def test_the_table_size_that_the_client_was_told() -> None:
    info = "ioctl(25, VFIO_DEVICE_GET_IRQ_INFO, {argsz=16, flags=VFIO_IRQ_INFO_EVENTFD|VFIO_IRQ_INFO_NORESIZE, index=2, count=12}) = 0\n"
    found = tables(info + info.replace("index=2", "index=1"))["op_table_size"]
    assert found.select("count", "origin").rows() == [(12, "GET_IRQ_INFO")]


def codes(text: str) -> list[tuple[str, str | None]]:
    return sorted((f.code, f.grade) for f in findings(text) if f.code in ("MSI-001", "VFIO-003"))


def test_a_growth_that_was_refused() -> None:
    assert codes(set_irqs(1) + set_irqs(0) + set_irqs(2, REFUSED)) == [("MSI-001", "possible"), ("VFIO-003", "proven")]


def test_a_growth_that_worked_and_another_device_are_quiet() -> None:
    assert codes(set_irqs(1) + set_irqs(0) + set_irqs(2)) == []
    other = set_irqs(1) + set_irqs(0) + set_irqs(2, "-1 ENOSPC (No space left on device)", fd="31")
    assert ("VFIO-003", "proven") not in codes(other)


@pytest.mark.parametrize(
    ("stamp", "ts"),
    [
        ("", None),
        ("10:00:01 ", 36_001),
        ("10:00:01.250000 ", 36_001.25),
        ("1732100001.250000 ", 1_732_100_001.25),
        ("     0.000113 ", None),
        ("10:00:01.250000 (+     0.000113) ", 36_001.25),
    ],
)
@pytest.mark.parametrize(("before", "tid"), [("", None), ("[pid  4711] ", 4711), ("4711  ", 4711)])
def test_stamps_and_threads_come_off(stamp: str, ts: float | None, before: str, tid: int | None) -> None:
    row = tables(set_irqs(2, before=before + stamp))["strace_set_irqs"].row(0, named=True)
    year = 63_072_000 if ts is not None and ts < 1e6 else 0  # times of day count from 1972
    assert (row["tid"], row["ts"]) == (tid, None if ts is None else round((ts + year) * 1e6) * 1000)


@pytest.mark.parametrize(
    "fd", ["25</dev/vfio/devices/vfio0<char 511:0>>", "25<anon_inode:[vfio-device]>", "25<anon_inode:[vfio-device:0000:00:08.0]>"]
)
def test_a_descriptor_may_be_decorated(fd: str) -> None:
    assert tables(set_irqs(1, fd=fd))["op_set_irqs"].select(FIELDS).rows() == [(0x24, 2, 0, 1, "eventfd", 0)]


@pytest.mark.parametrize("command", ["VFIO_DEVICE_SET_IRQS", "_IOC(_IOC_NONE, 0x3b, 0x6e, 0)", "0x3b6e"])
@pytest.mark.parametrize("flags", ["0x24", "36", "VFIO_IRQ_SET_DATA_EVENTFD|0x20", f"0x24 /* {EVENTFD} */"])
@pytest.mark.parametrize("index", ["2", "0x2", "VFIO_PCI_MSIX_IRQ_INDEX", "0x2 /* VFIO_PCI_MSIX_IRQ_INDEX */"])
def test_names_and_numbers_are_alike(command: str, flags: str, index: str) -> None:
    text = set_irqs(3, flags=flags).replace("VFIO_DEVICE_SET_IRQS", command).replace("index=2", f"index={index}")
    assert tables(text)["op_set_irqs"].select(FIELDS).rows() == [(0x24, 2, 0, 3, "eventfd", 0)]


def test_what_strace_does_not_decode_has_its_errno() -> None:
    (row,) = tables(f"ioctl(25, VFIO_DEVICE_SET_IRQS, 0x7ffc10) = {REFUSED}\n")["op_set_irqs"].select(FIELDS).rows()
    assert row == (None, None, None, None, None, -34)


def test_two_halves_are_one_request() -> None:
    begun = set_irqs(2, before="[pid 12] 10:00:01.100000 ").replace(") = 0", " <unfinished ...>")
    other = set_irqs(1, before="[pid 13] 10:00:01.150000 ", fd="31")
    resumed = f"[pid 12] 10:00:01.200000 <... ioctl resumed>) = {REFUSED}\n"
    found = tables(begun + other + resumed)["op_set_irqs"].sort("line")
    assert found.select("line", "line_end", "count", "ret").rows() == [(1, 3, 2, -34), (2, 2, 1, 0)]
    assert found["ts_end"][0] - found["ts"][0] == 100_000_000
    asked = "[pid 12] ioctl(25, VFIO_DEVICE_GET_IRQ_INFO, <unfinished ...>\n"
    told = "[pid 12] <... ioctl resumed>{argsz=16, flags=0x9, index=2, count=12}) = 0\n"
    assert tables(asked + told)["op_table_size"].select("line", "line_end", "count").rows() == [(1, 2, 12)]
    never = tables(begun)["op_set_irqs"]
    assert never.select("line", "ret").rows() == [(1, None)]


def opened(fd: int, bdf: str, before: str = "") -> str:
    return f'{before}ioctl(24, VFIO_GROUP_GET_DEVICE_FD, "{bdf}") = {fd}\n'


def told(text: str) -> list[tuple[str, str | None, str]]:
    return sorted((f.code, f.grade, f.subject.label) for f in findings(text) if f.code in ("MSI-001", "VFIO-003", "VFIO-002"))


def test_processes_have_descriptors_of_their_own() -> None:
    one, two = "[pid 12] ", "[pid 99] "
    text = (
        opened(25, "0000:00:08.0", one)
        + opened(25, "0000:00:09.0", two)
        + set_irqs(1, before=one)
        + set_irqs(2, before=two)
        + set_irqs(0, before=one)
        + set_irqs(4, REFUSED, before=one)
    )
    assert told(text) == [("MSI-001", "possible", "0000:00:08.0"), ("VFIO-003", "proven", "0000:00:08.0")]
    crossed = opened(25, "0000:00:08.0", one) + opened(25, "0000:00:09.0", two) + set_irqs(1, before=one) + set_irqs(0, before=one)
    assert ("VFIO-003", "proven", "0000:00:08.0") not in told(crossed + set_irqs(4, REFUSED, before=two))


THREAD = "clone3({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD, stack=0x7f}, 88) = 13\n"
FORK = "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f) = 13\n"


@pytest.mark.parametrize("begun", [THREAD, THREAD.replace(", 88) = 13", " => {parent_tid=[13]}, 88) = 13"), FORK, ""])
def test_a_thread_shares_and_a_child_has_a_copy(begun: str) -> None:
    text = opened(25, "0000:00:08.0", "12 ") + (f"12 {begun}" if begun else "") + set_irqs(1, before="12 ") + set_irqs(0, before="12 ")
    assert ("VFIO-003", "proven", "0000:00:08.0") in told(text + set_irqs(2, REFUSED, before="13 "))


def test_a_thread_sees_what_another_opened_later_and_a_child_does_not() -> None:
    later = opened(25, "0000:00:08.0", "12 ") + set_irqs(1, before="12 ") + set_irqs(0, before="12 ") + set_irqs(2, REFUSED, before="13 ")
    assert ("VFIO-003", "proven", "0000:00:08.0") in told(f"12 {THREAD}{later}")
    twin = opened(25, "0000:00:09.0", "13 ")
    assert ("VFIO-003", "proven", "0000:00:08.0") not in told(f"12 {FORK}{twin}{later}")


@pytest.mark.parametrize("between", ["close(25) = 0\n", "close(25<anon_inode:[vfio-device]>) = 0\n", "ioctl(25, VFIO_DEVICE_RESET) = 0\n"])
def test_a_close_or_a_reset_ends_a_growth(between: str) -> None:
    before, after = opened(25, "0000:00:08.0") + set_irqs(1) + set_irqs(0), set_irqs(4, REFUSED)
    assert ("VFIO-003", "proven", "0000:00:08.0") in told(before + after)
    again = "" if "RESET" in between else opened(25, "0000:00:08.0")
    assert ("VFIO-003", "proven", "0000:00:08.0") not in told(before + between + again + after)
