"""Xen's console in a run (`xl dmesg`): what a release build of the hypervisor says at boot, and the kernel log of its guest."""

from collections.abc import Iterator

from tracekit import Answer, Scenario, release_of
from tracekit_systems.scenarios.emit import stamp
from tracekit_systems.scenarios.hvm import GSIS, fifo, msis

DEFAULT_PIRQS = 32  # of a domU, without extra_guest_irqs=
GUEST = "(d1) "
NO_CALLBACK_MESSAGE = (5, 8)


def xen(answer: Answer, scenario: Scenario) -> str:
    """Return the console; the guest's lines have the stamps of its own clock, and are those of dynamic debug of arch/x86/pci/xen.c too."""
    told = (f"[{stamp(e.at, 12)}] {e.function}" for e in answer.events if e.kind == "message")
    return "\n".join([*_hypervisor(scenario), *(GUEST + line for line in (*_boot(scenario), *told))]) + "\n"


def _hypervisor(scenario: Scenario) -> Iterator[str]:
    """Yield the lines at boot.

    (XEN) Xen version 4.12.0 (builder@example) (gcc (GCC) 12.2.0) debug=n
    (XEN) IRQ limits: 24 GSI, 1640 MSI/MSI-X
    """
    host = scenario.host
    extra = f" extra_guest_irqs={host.pirqs}" if host.pirqs != DEFAULT_PIRQS else ""
    yield f"(XEN) Xen version {host.xen}.0 (builder@example) (gcc (GCC) 12.2.0) debug=n"
    yield f"(XEN) Command line: placeholder guest_loglvl=all{extra}"
    yield f"(XEN) IRQ limits: {GSIS} GSI, {msis(scenario)} MSI/MSI-X"


def _boot(scenario: Scenario) -> Iterator[str]:
    kernel, numbers = scenario.guest.kernel, release_of(scenario.host.xen)
    yield f"[    0.000000] Linux version {kernel} (builder@example) (gcc (GCC) 12.2.0) #1 SMP"
    yield "[    0.000000] Hypervisor detected: Xen HVM"
    yield f"[    0.000000] Xen version {'.'.join(map(str, numbers[:2]))}."
    if release_of(kernel) >= (3, 14):
        yield f"[    0.120000] xen:events: Using {'FIFO-based' if fifo(scenario) else '2-level'} ABI"
    if release_of(kernel) < NO_CALLBACK_MESSAGE:
        yield "[    0.120000] xen:events: Xen HVM callback vector for event delivery is enabled"
