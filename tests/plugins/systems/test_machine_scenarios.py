"""The scenarios of msi-model.md 11: machines composed as on a host, by dialogue, and for each scenario the samples that tell it in logs."""

from pathlib import Path

import pytest
from tracekit_irq.machines.irte_pool import IrtePool
from tracekit_irq.machines.vector_pool import VectorPool
from tracekit_msi.machines.msi_domain import MsiDomain
from tracekit_msi.machines.pci_function import PciFunction
from tracekit_vfio.machines.kvmtool import Kvmtool
from tracekit_vfio.machines.vfio_device import VfioDevice
from tracekit_vfio.machines.vmm import DISABLE, Request, Vmm

from tracekit import VFIO_INTX, VFIO_MSI, VFIO_MSIX
from tracekit.testing import expected

SAMPLES = Path(__file__).parents[3] / "sample_traces"
# Scenario -> sample -> codes that it must have, and codes that it must not have.
SCENARIOS: dict[str, list[tuple[str, set[str], set[str]]]] = {
    "S1": [("msi.stale-hwsize/fires-grown-vector-by-vector", {"MSI-001", "VFIO-003"}, set())],
    "S2": [("msi.stale-hwsize/quiet-vector-by-vector-after-a-rebind", set(), {"MSI-001", "VFIO-003"})],
    "S3": [("msi.stale-hwsize/quiet-vector-by-vector-6.1", set(), {"MSI-001", "VFIO-003"})],
    "S4": [("vfio.vector-dead/fires-ninth-vector-of-a-stale-domain", {"MSI-001", "VFIO-004"}, {"VFIO-003"})],
    "S5": [("msi.table-shrunk/fires-64-8", {"MSI-003"}, {"MSI-001"})],
    "S6": [("vfio.lost-on-resize/fires-polled-after-the-window", {"VFIO-001", "VFIO-002"}, set())],
    "S7": [("vfio.lost-on-resize/quiet-no-traffic-before-the-windows", set(), {"VFIO-001"})],
    "S8": [("vfio.resize-window/quiet-disabled-by-the-guest", set(), {"VFIO-001", "VFIO-002"})],
    "S9": [("vfio.needless-resize/fires-1-3-6.12", {"VFIO-002", "VFIO-006"}, set())],
    "S10": [
        ("vec.exhausted-at-request/fires-swapped-fields", {"VEC-001"}, {"VFIO-008"}),
        ("vfio.shortage-blind/fires-guest-was-not-told", {"VEC-001", "VFIO-008"}, set()),
        ("vfio.shortage-blind/quiet-guest-saw-its-own-failure", {"VEC-001"}, {"VFIO-008"}),
    ],
    "S11": [("xen.pirq-reused/fires-cached-number-of-another-device", {"XEN-001", "XEN-004"}, {"XEN-002"})],
    "S12": [("xen.pirq-leak/fires-numbers-fall-to-the-floor", {"XEN-002", "XEN-003"}, {"XEN-001"})],
    "S13": [("xen.pirq-leak/quiet-numbers-recur", set(), {"XEN-001", "XEN-002", "XEN-003"})],
    "S14": [("xen.map-failed/quiet-multi-msi-cut-to-one", set(), {"XEN-002", "XEN-005"})],
    "S15": [("vfio.lost-on-resize/quiet-events-lost-in-the-window", set(), {"VFIO-001"})],
    "S16": [("vfio.range-rejected/fires-enable-of-no-vectors", {"VFIO-005"}, {"MSI-001"})],
    "S17": [("vfio.resize-window/quiet-grown-across-a-close-6.1", set(), {"VFIO-001", "VFIO-002", "MSI-001"})],
    "S18": [("vfio.resize-window/fires-guest-disable-then-growth-6.12", {"VFIO-002"}, set())],
    "S19": [("vfio.reenable-failed/fires-growth-refused-by-a-stale-domain-6.12", {"MSI-001", "VFIO-003"}, set())],
    "S20": [("vfio.resize-window/quiet-same-count-6.1", set(), {"VFIO-001", "VFIO-002"})],
    "S21": [("irq.remap-blocked/quiet-status-without-a-detail-line", set(), {"IRQ-003"})],
}  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_is_a_sample(scenario: str) -> None:
    """What a sample expects is compared with what is found by the tests of samples; here, that it is the scenario's verdict."""
    for case, there, absent in SCENARIOS[scenario]:
        found = {f["code"] for f in expected(SAMPLES / case).get("finding", [])}
        assert (there - found, absent & found) == (set(), set()), case


class Host:
    """A function, its opened device and QEMU; requests and their results are kept."""

    def __init__(self, table: int, *, own_domain: bool = True, policy: str = "incr", **gates: bool) -> None:
        self.function = PciFunction(MsiDomain(own_domain, "none" if own_domain else "global"), msix_count=table, msi_count=4, **gates)
        self.device = VfioDevice(dynamic=self.function.dynamic)
        self.vmm = Vmm(policy, table)  # type: ignore[arg-type]
        self.results: list[tuple[str, int, int]] = []

    def send(self, request: Request, wiring: int = 0) -> int:
        enable = self.function.enable_msi if request.index == VFIO_MSI else self.function.enable_msix
        was = self.device.irq_type
        got = self.device.set_irqs(
            request.index, request.start, request.count, request.data,
            alloc=lambda n: enable(1, n), alloc_at=self.function.alloc_at, wiring=wiring,
        )  # fmt: skip
        assert got is not None and len(got) == 1
        ret = min(got)
        if request.index in (VFIO_MSI, VFIO_MSIX) and (request.data == "none" and ret == 0 or was == 5 and ret != 0):
            self.function.free()
        self.results.append((request.data, request.count, ret))
        return ret

    def run(self, *vectors: int) -> list[tuple[str, int, int]]:
        """The guest enables and unmasks; what was sent for it."""
        self.results.clear()
        self.vmm.guest_enables((), self.send)
        for vector in vectors:
            self.vmm.guest_unmasks(vector, self.send)
        return self.results

    def close(self) -> None:
        self.vmm.guest_disables(self.send)
        self.device.close()
        self.function.free()


def test_s1_s2_s3_the_ninth_vector_of_a_domain_of_eight() -> None:
    for own_domain, rebind, last, wired in ((True, False, -34, 0), (True, True, 0, 9), (False, False, 0, 9)):
        host = Host(8, own_domain=own_domain)
        host.run(*range(8))
        host.close()
        if rebind:
            host.function.unbind()
        host.function.msix_count = 64
        assert host.run(*range(9))[-1] == ("eventfd", 9, last)
        assert len(host.device.wired) == wired


def test_s1_the_next_vector_after_a_failed_growth_is_wired_alone() -> None:
    host = Host(8)
    host.run(0)
    host.close()
    host.function.msix_count = 64
    assert host.run(*range(9))[-1][2] == -34
    host.vmm.guest_unmasks(3, host.send)
    assert (host.results[-1], host.device.allocated, host.device.wired) == (("eventfd", 1, 0), {0, 1, 2, 3}, {3})


def test_s4_in_place_only_the_vectors_above_the_size_are_dead() -> None:
    host = Host(8, policy="dyn", dynamic=True)
    host.run(0)
    host.close()
    host.function.msix_count = 64
    assert [ret for _, _, ret in host.run(*range(9))][-2:] == [0, -34]
    assert host.device.wired == set(range(8))


def test_s5_a_table_that_shrank_clamps_the_request_and_its_domain_is_larger() -> None:
    host = Host(64)
    host.run(0)
    host.close()
    host.function.msix_count = 8
    assert host.send(Request(VFIO_MSIX, 0, 64, "eventfd")) == 8  # where user space's range is not checked first
    assert (host.function.domain.hwsize, host.device.irq_type) == (64, 5)


def test_s8_s18_a_guests_own_disable_is_followed_by_the_line_and_no_growth() -> None:
    host = Host(8)
    host.run(0, 1, 2)
    host.results.clear()
    host.vmm.guest_disables(host.send)
    assert host.results == [("none", 0, 0), ("eventfd", 1, 0)]
    assert host.device.irq_type == VFIO_INTX
    host.send(Request(VFIO_INTX, 0, 0, "none"))
    assert [count for _, count, ret in host.run(0, 1, 2) if ret == 0] == [1, 1, 0, 2, 0, 3]


def test_s10_all_is_granted_and_the_wiring_finds_no_vector() -> None:
    host, pool = Host(4), VectorPool()
    pool.online(0, 3)
    assert [pool.allocate(irq) for irq in range(4)] == [{0}] * 4
    results = [min(pool.activate(irq)) for irq in range(4)]
    assert results == [0, 0, 0, -28]
    assert host.send(Request(VFIO_MSIX, 0, 4, "eventfd"), wiring=min(results)) == -28
    assert (host.device.irq_type, host.device.wired, host.function.vectors) == (5, set(), set())


def test_without_reservation_the_allocation_itself_finds_no_vector() -> None:
    old, new = VectorPool(reserves=False), VectorPool()
    old.online(0, 1)
    new.online(0, 1)
    assert [old.allocate(1), old.allocate(2), old.warnings] == [{0}, {-28}, 0]
    assert [new.allocate(1, maskable=False), new.allocate(2, maskable=False), new.allocate(3)] == [{0}, {-28}, {0}]
    new.deactivate(1)
    assert (new.available, new.reserved) == (1, 1)  # the reservation is that of irq 3


def test_a_full_remapping_table_cuts_what_vfio_asks_for_to_a_positive_number() -> None:
    table, host = IrtePool(size=8), Host(16)
    table.allocate("other", 4)
    granted = [table.allocate("mine") for _ in range(16)]
    host.function.room = granted.count(frozenset({0}))
    assert host.send(Request(VFIO_MSIX, 0, 16, "eventfd")) == 4
    assert (host.device.irq_type, host.function.vectors) == (5, set())
    assert host.send(Request(VFIO_MSIX, 0, 4, "eventfd")) == 0
    host.send(DISABLE)
    host.function.room = 0
    assert host.send(Request(VFIO_MSIX, 0, 4, "eventfd")) == -28


def test_s16_no_vectors_asked_for_is_out_of_range_and_makes_no_domain() -> None:
    host = Host(8)
    assert host.send(Request(VFIO_MSIX, 0, 0, "eventfd")) == -34
    assert host.function.domain.kind == "none"


def test_s17_growth_across_a_close_is_two_sessions() -> None:
    host = Host(8, own_domain=False)
    host.run(0, 1)
    host.close()
    host.function.msix_count = 16
    assert host.send(Request(5, 0, 0, "none")) == -25
    assert [r for r in host.run(*range(16)) if r[2] < 0] == [("none", 0, -22)]  # the disable that finds nothing


def test_s20_msi_off_and_on_and_the_domain_of_msix_goes_with_it() -> None:
    host = Host(8)
    host.run(0)
    host.close()
    host.function.msix_count = 16
    on, off = Request(VFIO_MSI, 0, 1, "eventfd"), Request(VFIO_MSI, 0, 0, "none")
    assert [host.send(r) for r in (on, off, on, off)] == [0, 0, 0, 0]
    assert host.function.domain.kind == "msi"
    assert host.send(Request(VFIO_MSIX, 0, 16, "eventfd")) == 0  # made anew with the size of now


def test_the_classes_of_interrupts_are_tried_in_order() -> None:
    f = Host(4).function
    assert f.alloc(1, 8, ("msix", "msi", "intx")) == {4}
    assert f.alloc(1, 8, ("msi",)) == {-22}  # MSI-X is on
    f.free()
    f.msix_count, f.several = 0, False
    assert (f.alloc(1, 4, ("msix", "msi")), f.domain.kind) == ({1}, "msi")
    f.free()
    assert (f.alloc(2, 4, ("msix", "msi")), f.alloc(2, 4, ("intx",)), f.alloc(1, 1, ("msix", "intx"))) == ({-28}, {-28}, {1})
    f.several = None
    assert f.enable_msi(1, 4) == {1, 4}


def test_one_vector_can_go_and_the_others_stay() -> None:
    f = Host(4, dynamic=True).function
    f.enable_msix(1, 2)
    f.alloc_at(2)
    f.free_at(2)
    assert (f.vectors, f.domain.taken) == ({0, 1}, {0, 1})
    assert f.alloc_at(2) == {2}


def test_kvmtool_enables_the_whole_table_and_once_more_at_the_first_unmask() -> None:
    calls: list[Request] = []

    def send(request: Request) -> int:
        calls.append(request)
        return 0

    k = Kvmtool(4)
    assert k.config_offset() == 20
    k.guest_writes_control(True, True, send)  # enabled, all masked by the function
    assert (calls, k.empty, k.config_offset()) == ([Request(VFIO_MSIX, 0, 4, "eventfd", frozenset(range(4)))], True, 24)
    k.guest_writes_entry(0, False, send)
    assert len(calls) == 1  # nothing while the function is masked
    k.guest_writes_control(True, False, send)
    k.guest_writes_entry(2, True, send)
    assert calls[1:] == [Request(VFIO_MSIX, 0, 4, "eventfd", frozenset({1, 2, 3})), Request(VFIO_MSIX, 2, 1, "eventfd")]
    assert (k.signal(0), k.signal(2), k.signal(2), k.signal(3)) == (True, False, False, False)
    assert k.guest_writes_entry(2, False, send) == 1  # two messages while masked are one interrupt
    k.guest_writes_control(False, False, send)
    assert (calls[3:], k.config_offset()) == ([DISABLE, Request(VFIO_INTX, 0, 1, "eventfd")], 20)


def test_kvmtool_meets_a_stale_domain_at_its_first_request() -> None:
    host = Host(8)
    host.run(0)
    host.close()
    host.device.close()
    host.function.msix_count = 64
    k = Kvmtool(64)
    k.guest_writes_entry(0, False, host.send)
    k.guest_writes_control(True, False, host.send)
    assert (k.failures, k.on) == ([-34], False)
