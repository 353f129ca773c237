"""What if, on a Xen domain's pirqs: starvation, re-use and leaks each have their own cures."""

from typing import Any

from tracekit.diagnosing.places import Places
from tracekit.pipeline import flipped
from tracekit.plugins import registry as plugins
from tracekit.replay.whatif import Flip
from tracekit.run import Run
from tracekit.testing import run


def flips_of(result: Run) -> dict[tuple[str, Any], Flip]:
    return {(f.gate, f.to): f for f in flipped(plugins.load(), Places(result.tables))}


def cured(result: Run, code: str) -> list[tuple[str, Any]]:
    return [key for key, f in flips_of(result).items() if code in f.vanished]


def confirmed(result: Run) -> dict[str, bool | None]:
    return {f.code: f.confirmed_by_replay for f in result.findings if not f.code.startswith(("OBS", "CFG"))}


class Guest:
    """An HVM guest's dynamic debug, one second a line."""

    def __init__(self) -> None:
        self.lines = ["[    0.000000] Linux version 4.4.100 (gcc 5.4.0) #1 SMP", "[    0.000113] Hypervisor detected: Xen HVM"]

    def says(self, bdf: str, text: str) -> None:
        self.lines.append(f"[{len(self.lines) * 2:5d}.000000] xhci_hcd {bdf}: {text}")

    def takes(self, bdf: str, pirq: int, irq: int, how: str = "bound to") -> None:
        self.says(bdf, f"xen: msi {how} pirq={pirq}")
        self.says(bdf, f"xen: msi --> pirq={pirq} --> irq={irq}")

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


A, B = "0000:00:03.0", "0000:00:04.0"


def test_a_shared_number_vanishes_with_a_fresh_one_each_time() -> None:
    guest = Guest()
    guest.takes(A, 71, 90)
    guest.takes(B, 71, 91)
    guest.takes(A, 71, 90, "already bound to")
    guest.lines.append("[   40.000000] xen:events: Failed to obtain physical IRQ 90")
    result = run(str(guest))
    assert confirmed(result) == {"XEN-001": True, "XEN-004": True}
    assert cured(result, "XEN-001") == [("KV5", True), ("QV1", False)]
    assert flips_of(result)["higher_limit", True].remaining == ("XEN-001", "XEN-004")


def test_its_twin_takes_a_fresh_number_and_shares_nothing() -> None:
    guest = Guest()
    guest.takes(A, 71, 90)
    guest.takes(B, 71, 91)
    guest.takes(A, 70, 90)
    result = run(str(guest))
    assert confirmed(result) == {}
    assert flips_of(result)["KV5", False].new == ("XEN-001", "XEN-004")
    assert {k for k, f in flips_of(result).items() if f.vanished or f.remaining} == set()


def test_numbers_that_never_come_back_vanish_with_a_device_model_that_unmaps() -> None:
    guest = Guest()
    for n in range(6):
        guest.takes(A, 55 - n, 90)
    result = run(str(guest))
    assert confirmed(result) == {"XEN-003": True}
    assert cured(result, "XEN-003") == [("QV1", True), ("XV1", True)]


def test_its_twin_gets_the_same_number_again() -> None:
    guest = Guest()
    for _ in range(6):
        guest.takes(A, 55, 90)
    result = run(str(guest))
    assert confirmed(result) == {}
    assert flips_of(result)["QV1", False].new == ("XEN-003",)


STARVED = """\
        insmod-31        [001] .....     1.000001: a: (xen_initdom_setup_msi_irqs+0x0/0x2a0) dev=0xffff888005622000 nvec=2 type=17
        insmod-31        [001] .....     1.000002: b: (xen_bind_pirq_msi_to_irq+0x0/0x1a0) dev=0xffff888005622000 desc=0xffff888007202080 pirq=25 nvec=1
        insmod-31        [001] .....     1.000003: c: (xen_initdom_setup_msi_irqs+0x1/0x2a0 <- xen_bind_pirq_msi_to_irq) ret=46
        insmod-31        [001] .....     1.000004: b: (xen_bind_pirq_msi_to_irq+0x0/0x1a0) dev=0xffff888005622000 desc=0xffff8880072020c0 pirq=24 nvec=1
        insmod-31        [001] .....     1.000005: c: (xen_initdom_setup_msi_irqs+0x1/0x2a0 <- xen_bind_pirq_msi_to_irq) ret=47
        insmod-31        [001] .....     1.000006: d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret=0
        insmod-40        [001] .....     2.000001: a: (xen_initdom_setup_msi_irqs+0x0/0x2a0) dev=0xffff888004d1f000 nvec=5 type=17
        insmod-40        [001] .....     2.000006: d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret={ret}
"""


def test_starvation_vanishes_with_more_numbers_or_fewer_vectors_only() -> None:
    result = run(STARVED.format(ret=-28))
    assert confirmed(result) == {"XEN-002": True}
    assert cured(result, "XEN-002") == [("higher_limit", True), ("fewer_vectors", True)]
    assert dict(flips_of(result)["higher_limit", True].cost) == {"pirqs": 5}


def test_a_request_that_was_granted_is_no_starvation() -> None:
    result = run(STARVED.format(ret=0))
    assert confirmed(result) == {}
    assert {k for k, f in flips_of(result).items() if f.vanished or f.remaining or f.new} == set()


def test_messages_of_refusals_alone_confirm_nothing() -> None:
    result = run(
        "[    0.000000] Linux version 6.1.0 (x@y) #1 SMP\n[    9.100000] e1000e 0000:00:06.0: xen map irq failed -28 for 32752 domain\n"
    )
    assert confirmed(result) == {"XEN-002": None}
