"""The guards of the replay of SET_IRQS and of enables: whose request it is, what is known, and what explains a miss."""

from typing import Any

import polars as pl
import pytest
from kprobes import Trace

from tracekit.testing import tables

ENABLE = "__pci_enable_msix_range"
WIRED = "-28 or -22 or -16 or -12 or -9 or 0"


def predicted(t: Trace, operation: str = "set_irqs") -> list[tuple[Any, ...]]:
    """(subject, predicted, observed, basis, agrees, explained_by) of each."""
    rows = tables(str(t))["predictions"].filter(pl.col("operation") == operation)
    return rows.select("subject", "predicted", "observed", "basis", "agrees", "explained_by").rows()


def enabled() -> Trace:
    t = Trace()
    t.open()
    t.enable(2, 8, made=8)
    return t


@pytest.mark.parametrize(
    ("devices", "last"),
    [(1, ("0", "0", "known", True)), (2, (None, "0", None, None)), (3, (None, "0", None, None))],
)
def test_a_request_without_a_device_is_about_the_only_one(devices: int, last: tuple[Any, ...]) -> None:
    t = Trace()
    for n in range(devices):
        t.vdev, t.dev, t.task = 0xFF11000000001000 + n * 0x1000, 0xFF12000000001000 + n * 0x1000, f"qemu-{100 + n}"
        t.open()
        t.enable(2, 8, made=8)
    t.task = "worker-99"
    t.entry("vfio_pci_set_irqs_ioctl", "flags=0x21 index=2 start=0 count=0")
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    assert predicted(t)[-1][1:5] == last


@pytest.mark.parametrize(("inside", "row"), [(True, (WIRED, "0", "known")), (False, ("0", "0", "healthy"))])
def test_an_enable_inside_shows_that_nothing_was_enabled_before(inside: bool, row: tuple[str, ...]) -> None:
    t = Trace()
    t.begin(0x24, 2, 0, 2)
    if inside:
        t.entry(ENABLE, f"dev={t.dev:#x} minvec=1 maxvec=2")
        t.leave(ENABLE, 2)
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    assert [r[1:4] for r in predicted(t)] == [row]


@pytest.mark.parametrize(
    ("flags", "last"),
    [(0x21, ("-22 or 0", "-22", "healthy", True)), (0x09, ("0", "-22", "known", False)), (0x11, ("0", "-22", "known", False))],
)
def test_a_trigger_whose_return_is_lost_leaves_it_open_what_is_enabled(flags: int, last: tuple[Any, ...]) -> None:
    t = enabled()
    t.begin(flags, 2, 0, 0)
    t.disable(-22)
    assert predicted(t)[-1][1:5] == last


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        ("", ("-22 or 0", "-22", "healthy", True)),
        ("vdev={:#x}", ("-22 or 0", "-22", "healthy", True)),
        ("vdev={:#x} flags=0x9", ("0", "-22", "known", False)),  # it masks: nothing is switched on or off
    ],
)
def test_a_request_without_arguments_leaves_it_open_what_is_enabled(arguments: str, last: tuple[Any, ...]) -> None:
    t = enabled()
    t.entry("vfio_pci_set_irqs_ioctl", arguments.format(t.vdev))
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    t.disable(-22)
    assert predicted(t)[-1][1:5] == last


@pytest.mark.parametrize(
    ("arguments", "row"),
    [
        ("flags=0x24 index=2 start=0 count=2", ("0", "0", "healthy", True)),
        ("flags=0x24 index=2 count=2", (None, "0", None, None)),  # any vectors
        ("flags=0x24 start=0 count=2", (None, "0", None, None)),
        ("flags=0x24 index=2 start=0", (None, "0", None, None)),
    ],
)
def test_a_request_of_which_an_argument_is_cut_is_not_predicted(arguments: str, row: tuple[Any, ...]) -> None:
    t = Trace()
    t.entry("vfio_pci_set_irqs_ioctl", f"vdev={t.vdev:#x} {arguments}")
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    assert [r[1:5] for r in predicted(t)] == [row]


@pytest.mark.parametrize(
    ("inner", "ret", "row"),
    [
        (-34, -34, ("0", "-34", "known", False, "MSI-001")),
        (-28, -28, ("0", "-28", "known", False, "VEC-001")),
        (-28, -34, ("-28", "-34", "known", False, None)),  # not what the call inside returned
        (2, -34, (WIRED, "-34", "known", False, None)),
        (2, -28, (WIRED, "-28", "known", True, None)),
        (None, -34, ("0", "-34", "healthy", False, "MSI-001")),
        (None, -22, ("0", "-22", "healthy", False, None)),
    ],
)
def test_an_error_is_explained_where_the_call_inside_returned_it(inner: int | None, ret: int, row: tuple[Any, ...]) -> None:
    t = Trace()
    t.open()
    t.begin(0x24, 2, 0, 2)
    if inner is not None:
        t.entry(ENABLE, f"dev={t.dev:#x} minvec=1 maxvec=2")
        t.leave(ENABLE, inner)
    t.leave("vfio_pci_set_irqs_ioctl", ret)
    assert [r[1:] for r in predicted(t)] == [row]


@pytest.mark.parametrize(("fd", "expected"), [(20, "-9"), (0, "-9"), (-1, WIRED)])
def test_the_request_returns_the_error_of_a_wiring_and_not_of_a_detaching(fd: int, expected: str) -> None:
    t = Trace()
    t.open()
    t.begin(0x24, 2, 0, 1)
    t.entry(ENABLE, f"dev={t.dev:#x} minvec=1 maxvec=1")
    t.leave(ENABLE, 1)
    t.entry("vfio_msi_set_vector_signal", f"vdev={t.vdev:#x} vector=0 fd={fd} msix=1")
    t.leave("vfio_msi_set_vector_signal", -9)
    t.leave("vfio_pci_set_irqs_ioctl", -9)
    assert [r[1:5] for r in predicted(t)] == [(expected, "-9", "known", True)]


# The enables inside


@pytest.mark.parametrize(
    ("ret", "agrees"),
    [(4, True), (-22, True), (2, False), (6, False), (-28, False), (-34, False)],
)
def test_a_miss_that_no_old_domain_explains_has_no_explanation(ret: int, agrees: bool) -> None:
    t = enabled()
    t.disable()
    t.begin(0x24, 2, 0, 4)
    t.entry(ENABLE, f"dev={t.dev:#x} minvec=1 maxvec=4")
    t.leave(ENABLE, ret)
    t.leave("vfio_pci_set_irqs_ioctl", min(ret, 0))
    assert predicted(t, "enable")[-1][1:] == ("-22 or 4", str(ret), "known", agrees, None)


def test_a_refusal_beyond_the_old_domain_is_explained_by_it() -> None:
    t = enabled()
    t.disable()
    t.enable(12, 16, limit=8)
    assert predicted(t, "enable")[-1][1:] == ("12", "-34", "known", False, "MSI-001")


@pytest.mark.parametrize(("request_of_vfio", "row"), [(True, ("1 or 2", "2", "known", True)), (False, (None, "2", None, None))])
def test_a_request_that_vfio_lets_pass_shows_how_many_vectors_plain_msi_has(request_of_vfio: bool, row: tuple[Any, ...]) -> None:
    t = Trace()
    if request_of_vfio:
        t.begin(0x24, 1, 0, 2)
    t.entry("__pci_enable_msi_range", f"dev={t.dev:#x} minvec=1 maxvec=2")
    t.leave("__pci_enable_msi_range", 2)
    if request_of_vfio:
        t.leave("vfio_pci_set_irqs_ioctl", 0)
    assert [r[1:5] for r in predicted(t, "enable")] == [row]
