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
