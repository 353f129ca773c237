"""SET_IRQS held against the machine of an opened device, on hosts that check the range of a request and on those that do not."""

import pytest
from kprobes import Trace

from tracekit.testing import tables

NEW = "[    0.000000] Linux version 6.12.10-arm64 (build@x) (aarch64-linux-gnu-gcc 13) #1 SMP\n"
OLD = NEW.replace("6.12.10", "6.1.170")


def told(trace, release=""):
    """(predicted, observed, agrees) of each SET_IRQS."""
    rows = tables(**{"trace.txt": release + str(trace)})["predictions"]
    return rows.filter(rows["operation"] == "set_irqs").select("predicted", "observed", "agrees").rows()


def enabled(count=2):
    t = Trace()
    t.open()
    t.enable(count, 12, made=12)
    return t


@pytest.mark.parametrize(
    ("release", "ret", "expected"),
    [(NEW, 0, ("0", True)), (OLD, -22, ("-22", True)), (OLD, 0, ("-22", False)), ("", 0, ("-22 or 0", True))],
)
def test_a_software_trigger_beyond_the_vectors_is_no_error_from_6_5_on(release, ret, expected):
    t = enabled()
    t.set_irqs(0x21, 2, 5, 1, ret)
    predicted, _, agrees = told(t, release)[-1]
    assert (predicted, agrees) == expected


def test_a_trigger_while_nothing_is_enabled_is_refused_by_all():
    t = Trace()
    t.open()
    t.set_irqs(0x21, 2, 0, 1, -22)
    assert told(t) == [("-22", "-22", True)]


def test_a_block_beyond_the_vectors_takes_the_old_ones_down_where_the_range_is_not_checked():
    from tracekit_vfio.machines.vfio_device import VfioDevice

    from tracekit import VFIO_MSIX

    for sparse, left in ((True, set()), (False, {0, 1})):
        device = VfioDevice(sparse=sparse, irq_type=VFIO_MSIX, allocated={0, 1}, wired={0, 1})
        result = device.set_irqs(VFIO_MSIX, 0, 3, "eventfd", alloc=lambda n: frozenset((n,)), wiring=-22 if sparse else None)
        assert (result, device.wired) == (frozenset((-22,)), left)
    beyond = VfioDevice(sparse=True, irq_type=VFIO_MSIX, allocated={0, 1}, wired={0, 1})
    assert beyond.set_irqs(VFIO_MSIX, 4, 1, "eventfd", alloc=lambda n: frozenset((n,))) == frozenset((-22,))
    assert beyond.wired == {0, 1}


def test_a_recording_that_begins_late_tells_what_a_healthy_host_returns():
    t = Trace()
    t.set_irqs(0x24, 2, 0, 3, 0)
    t.set_irqs(0x21, 2, 0, 0, 0)
    assert told(t) == [("0", "0", True), ("0", "0", True)]
