"""Requests of which the recorder did not fetch all, or named an argument in its own way."""

import pytest
from tracekit_linux.operations import model

from tracekit.testing import tables

SET, TRIGGER = "vfio_pci_set_irqs_ioctl", "vfio_pci_set_msi_trigger"
VDEV = "vdev=0xff11000000005000"


@pytest.fixture(params=[1 << 30, 0], ids=["few", "many"], autouse=True)
def way(request, monkeypatch):
    monkeypatch.setattr(model, "FEW", request.param)


def asked(args, ret=0, function=SET, inside=()):
    """What is read of a request: flags, index, start, count, data."""
    calls = [
        f"k_set: ({function}+0x4/0xd0 [vfio_pci_core]) {args}",
        *inside,
        f"r_set: (vfio_pci_core_ioctl+0x965/0x1090 [vfio_pci_core] <- {function}) ret={ret}",
    ]
    text = "".join(f" qemu-7 [001] .....  1.{n:06}: {line}\n" for n, line in enumerate(calls))
    (row,) = tables(text)["op_set_irqs"].select("flags", "index", "start", "count", "data").rows()
    return row


@pytest.mark.parametrize("name", ["flags", "fl", "mode", "ops", "what"])
@pytest.mark.parametrize(("value", "data"), [("0x24", "eventfd"), ("33", "none"), ("0x22", "bool"), ("0xc", "eventfd")])
def test_flags_under_any_name_are_flags(name, value, data):
    count = 0 if data == "none" else 4
    assert asked(f"{VDEV} {name}={value} index=2 start=0 count={count}") == (int(value, 0), 2, 0, count, data)


def test_flags_of_the_trigger_stand_behind_the_count():
    assert asked(f"{VDEV} index=2 start=0 count=0 fl=0x21", function=TRIGGER) == (0x21, 2, 0, 0, "none")


@pytest.mark.parametrize(
    "args",
    [
        f"{VDEV} fl=0x25 index=2 start=0 count=4",  # two kinds of data
        f"{VDEV} fl=0x4 index=2 start=0 count=4",  # no action
        f"{VDEV} fl=0xff11000000004000 index=2 start=0 count=4",
        f"{VDEV} index=2 start=0 count=4 fl=0x21",  # in another place
        f"fl=0x21 {VDEV} index=2 start=0 count=4",
        f"{VDEV} index=2 start=0 count=4",
    ],
)
def test_what_cannot_be_flags_is_none_and_the_count_tells(args):
    assert asked(args) == (None, 2, 0, 4, "eventfd")


@pytest.mark.parametrize(
    ("index", "count", "ret", "data"),
    [
        (2, 0, 0, "none"),
        (2, 0, -22, "none"),  # nothing was enabled
        (2, 0, -34, "eventfd"),  # an enable of no vectors
        (1, 1, 0, "eventfd"),
        (2, 8, -28, "eventfd"),
        (2, 8, -25, None),  # a mask: MSI-X has none
        (0, 1, 0, None),  # INTx can be masked
        (0, 0, 0, None),
        (3, 1, 0, None),
        (5, 0, -25, "none"),
    ],
)
def test_without_flags_the_count_tells_what_a_request_did(index, count, ret, data):
    assert asked(f"{VDEV} index={index} start=0 count={count}", ret) == (None, index, 0, count, data)


ENABLE = (
    "k_msix: (__pci_enable_msix_range+0x4/0x520) dev=0xff11000000001000 minvec=1 maxvec=5",
    "r_msix: (pci_alloc_irq_vectors_affinity+0xad/0x110 <- __pci_enable_msix_range) ret={}",
)
DISABLE = (f"k_dis: (vfio_msi_disable+0x0/0xe0 [vfio_pci_core]) {VDEV} msix=1",)


@pytest.mark.parametrize(
    ("flags", "inside", "ret", "count"),
    [
        (0x24, (ENABLE[0], ENABLE[1].format(5)), 0, 5),
        (0x24, (ENABLE[0], ENABLE[1].format(-34)), -34, 5),
        (0x24, (), -34, None),
        (0x21, DISABLE, 0, 0),
        (0x21, (), 0, None),
        (0x21, (ENABLE[0], ENABLE[1].format(5)), 0, None),  # not what its flags say
    ],
)
def test_without_a_count_the_calls_inside_tell_it(flags, inside, ret, count):
    assert asked(f"{VDEV} flags={flags:#x} index=2 start=0", ret, inside=inside)[3] == count
