"""The machines, by dialogue: what each operation may return, and what it leaves behind."""

from tracekit_msi.machines.msi_domain import MsiDomain
from tracekit_msi.machines.pci_function import PciFunction
from tracekit_vfio.machines.guest import Guest
from tracekit_vfio.machines.vfio_device import VfioDevice
from tracekit_vfio.machines.vmm import DISABLE, Request, Vmm

from tracekit import VFIO_MSI, VFIO_MSIX


def function(count: int | None, *, per_device: bool = True, **gates: bool) -> PciFunction:
    return PciFunction(MsiDomain(per_device, "none" if per_device else "global"), msix_count=count, **gates)


def test_a_domain_keeps_the_size_it_was_made_with() -> None:
    f = function(8)
    assert f.enable_msix(1, 8) == {8}
    f.free()
    f.msix_count = 64
    assert f.enable_msix(1, 8) == {8}
    f.free()
    assert f.enable_msix(1, 9) == {-34}
    assert (f.msix_enabled, f.domain.taken, f.domain.hwsize) == (False, set(), 8)
    f.unbind()
    assert f.enable_msix(1, 64) == {64}


def test_a_global_domain_has_no_size() -> None:
    f = function(8, per_device=False)
    assert f.enable_msix(1, 8) == {8}
    f.free()
    f.msix_count = 2000
    assert f.enable_msix(1, 2000) == {2000}


def test_errors_come_in_the_kernels_order() -> None:
    f = function(4, supports_msix=False, usable=False)
    assert f.enable_msix(5, 4) == {-34}
    assert f.enable_msix(1, 4) == {-524}
    f.supports_msix = True
    assert f.enable_msix(1, 4) == {-22}
    f.usable = True
    assert f.enable_msix(5, 8) == {-28}
    assert f.enable_msix(5, 8, virtual=True) == {8}
    assert f.enable_msix(1, 4) == {-22}  # enabled already
    f.free()
    f.mapped = False
    assert f.enable_msix(1, 4) == {-12}
    f.mapped, f.wide_address = True, False
    assert f.enable_msix(1, 4) == {-5}


def test_a_request_is_clamped_to_the_table_and_a_shortage_is_a_set() -> None:
    assert function(4).enable_msix(1, 16) == {4}
    assert function(4, reservation=False).enable_msix(2, 16) == {2, 3, 4, -28}


def test_what_is_not_known_is_not_predicted() -> None:
    assert function(None).enable_msix(1, 4) is None
    assert MsiDomain(per_device=True).insert(3) is None
    unknown = MsiDomain(per_device=True)
    for index in range(5):
        unknown.learn(index, 0)
    unknown.learn(5, -34)
    assert (unknown.hwsize, unknown.insert(5), unknown.insert(4)) == (5, {-34}, {-16})


def test_a_vector_in_place_needs_a_host_that_can_and_an_index_below_the_size() -> None:
    f = function(4, dynamic=True)
    assert f.alloc_at(1) == {-524}
    f.enable_msix(1, 1)
    assert (f.alloc_at(1), f.alloc_at(1), f.alloc_at(3), f.alloc_at(4)) == ({1}, {-16}, {3}, {-34})


def test_the_count_of_a_vf_cannot_change_under_a_driver() -> None:
    f = function(4)
    assert [f.set_vf_count(n, bound=b, supported=s) for n, b, s in ((-1, False, True), (8, False, False), (8, True, True), (8, False, True))] == [
        {-22}, {-95}, {-16}, {0},
    ]  # fmt: skip
    assert f.msix_count == 8


def device(**gates: bool) -> tuple[VfioDevice, PciFunction]:
    return VfioDevice(**gates), function(8, **gates)


def test_set_irqs_through_a_session() -> None:
    d, f = device()

    def alloc(n: int) -> frozenset[int] | None:
        return f.enable_msix(1, n)

    def ask(index: int, start: int, count: int, data: str, wiring: int = 0) -> set[int] | frozenset[int] | None:
        return d.set_irqs(index, start, count, data, alloc=alloc, alloc_at=f.alloc_at, wiring=wiring)  # type: ignore[arg-type]

    assert ask(VFIO_MSIX, 0, 0, "none") == {-22}
    assert ask(VFIO_MSIX, 0, 2, "eventfd") == {0}
    assert ask(VFIO_MSI, 0, 1, "eventfd") == {-22}
    assert ask(VFIO_MSIX, 1, 1, "eventfd") == {0}
    assert ask(VFIO_MSIX, 2, 1, "eventfd") == {-22}  # no growth in place
    assert ask(VFIO_MSIX, 0, 0, "none") == {0}
    f.free()
    assert ask(VFIO_MSIX, 0, 0, "eventfd") == {-34}
    assert ask(VFIO_MSIX, 0, 3, "eventfd", wiring=-28) == {-28}
    assert ask(5, 0, 0, "none") == {-25}
    assert (d.irq_type, d.wired) == (5, set())


def test_flags_say_whether_vectors_can_be_added_in_place() -> None:
    assert [VfioDevice(dynamic=d).flags(i) for d in (False, True) for i in (0, 1, 2)] == [0x7, 0x9, 0x9, 0x7, 0x9, 0x1]


def sent(policy: str, **gates: bool) -> list[Request]:
    calls: list[Request] = []

    def send(request: Request) -> int:
        calls.append(request)
        return 0

    vmm = Vmm(policy, table=8, **gates)  # type: ignore[arg-type]
    guest = Guest()
    guest.starts([0, 1, 2], vmm, send)
    return calls


def test_qemu_before_8_2_takes_everything_down_for_each_vector() -> None:
    up = [Request(VFIO_MSIX, 0, n, "eventfd") for n in (1, 2, 3)]
    assert sent("incr") == [DISABLE, up[0], Request(VFIO_MSIX, 0, 1, "eventfd"), DISABLE, up[1], DISABLE, up[2]]


def test_qemu_8_2_adds_and_kvmtool_takes_the_whole_table() -> None:
    assert sent("dyn")[2:] == [Request(VFIO_MSIX, v, 1, "eventfd") for v in (0, 1, 2)]
    assert sent("full") == [Request(VFIO_MSIX, 0, 8, "eventfd"), *(Request(VFIO_MSIX, v, 1, "eventfd") for v in (0, 1, 2))]


def test_after_a_failed_growth_the_guest_is_deaf_and_not_told() -> None:
    vmm, guest = Vmm("incr", table=8), Guest()
    guest.starts([0, 1, 2], vmm, lambda r: -34 if r.count == 3 else 0)
    assert (vmm.failures, vmm.count, guest.refused, guest.deaf(set())) == ([-34], 3, False, {0, 1, 2})
    told = Guest(kind="b")
    told.starts([0, 1, 2], Vmm("dyn", table=8), lambda _: 0, available=2)
    assert (told.refused, told.wanted) == (True, set())


def test_the_guests_disable_gives_the_line_interrupt_back() -> None:
    calls: list[Request] = []
    vmm = Vmm("incr", table=8)
    vmm.guest_enables([0], lambda _: 0)
    vmm.guest_disables(lambda r: calls.append(r) or 0)  # type: ignore[func-returns-value]
    assert calls == [DISABLE, Request(0, 0, 1, "eventfd")]


def test_the_line_is_one_and_can_be_masked_only_while_it_is_on() -> None:
    d = VfioDevice()

    def ask(start: int, count: int, data: str, action: str = "trigger", wiring: int | None = 0) -> set[int] | frozenset[int] | None:
        return d.set_irqs(0, start, count, data, alloc=lambda n: None, wiring=wiring, action=action)  # type: ignore[arg-type]

    assert ask(0, 1, "none", "unmask") == {-22}
    assert ask(0, 0, "none") == {-22}
    assert ask(0, 2, "eventfd") == {-22}
    assert ask(0, 1, "eventfd", wiring=None) == {0, -9, -12, -16, -19, -22, -28}  # -19: no line is routed
    assert ask(0, 1, "eventfd") == {0}
    assert (ask(0, 1, "none", "mask"), ask(0, 1, "bool", "unmask"), ask(1, 1, "none", "mask")) == ({0}, {0}, {-22})
    assert ask(0, 1, "eventfd", "mask") == {-25}
    assert ask(0, 1, "eventfd", "unmask") == {0, -9, -12, -16, -22, -28}
    assert d.set_irqs(2, 0, 1, "eventfd", alloc=lambda n: None) == {-22}  # the line is on
    assert d.set_irqs(2, 0, 1, "none", alloc=lambda n: None, action="mask") == {-25}
    assert ask(0, 0, "none") == {0}
    assert d.irq_type == 5


def test_error_and_release_notifiers_take_one_eventfd() -> None:
    def ask(index: int, start: int, count: int, data: str) -> set[int] | frozenset[int] | None:
        return VfioDevice().set_irqs(index, start, count, data, alloc=lambda n: None)  # type: ignore[arg-type]

    assert [ask(4, 0, 1, "eventfd"), ask(4, 0, 0, "eventfd"), ask(4, 1, 1, "eventfd"), ask(4, 0, 1, "bool"), ask(4, 0, 0, "none")] == [
        {0, -9, -22}, {-22}, {-22}, {0}, {0, -22},
    ]  # fmt: skip
    assert [ask(3, 0, 1, "eventfd"), ask(3, 0, 2, "eventfd")] == [{0, -9, -22, -25}, {-22, -25}]  # -25: not PCI Express


def test_a_mask_that_works_tells_that_the_line_is_on() -> None:
    d = VfioDevice(irq_type=None)
    assert d.set_irqs(0, 0, 1, "none", alloc=lambda n: None, action="unmask") is None
    d.observed(0, 0, 1, "none", 0, "unmask")
    assert d.set_irqs(0, 0, 1, "none", alloc=lambda n: None, action="unmask") == {0}


def test_what_was_granted_bounds_a_table_and_its_domain_from_below() -> None:
    f = PciFunction(MsiDomain(per_device=True))
    assert f.enable_msix(1, 2) is None
    f.granted(2)
    f.free()
    assert (f.enable_msix(1, 2), f.domain.check(1), f.domain.check(2)) == ({2}, {-16}, None)
    f.free()
    assert f.enable_msix(1, 3) is None
    f.unbind()
    assert (f.enable_msix(1, 2), f.domain.at_least) == (None, 0)


def test_entries_beyond_the_table_were_an_error_for_a_while() -> None:
    for strict, entries, result in ((True, True, -22), (True, False, 8), (False, True, 8)):
        f = PciFunction(MsiDomain(True, "none"), msix_count=8, strict=strict)
        assert f.enable_msix(1, 9, entries=entries) == {result}
        f.free()
        assert f.enable_msix(1, 8, entries=entries) == {8}
