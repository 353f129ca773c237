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


def dom0(answer: Answer, scenario: Scenario) -> str:
    """Return the kernel log of dom0: the banner, and what its drivers' requests lead to."""
    told = (f"[{stamp(e.at, 12)}] {e.function}" for e in answer.events if e.kind == "dom0")
    release = ".".join(map(str, release_of(scenario.host.xen)[:2]))
    boot = (
        f"[    0.000000] Linux version {scenario.host.kernel} (builder@example) (gcc (GCC) 12.2.0) #1 SMP",
        "[    0.000000] Command line: placeholder root=/dev/sda1 ro console=hvc0",
        "[    0.000000] Hypervisor detected: Xen PV",
        f"[    0.000000] Xen version: {release}.0 (preserve-AD)",
        "[    0.000000] Booting paravirtualized kernel on Xen PV",
        "[    0.120000] xen:events: Using FIFO-based ABI",
    )
    return "\n".join([*boot, *told]) + "\n"


def device_model(answer: Answer, scenario: Scenario) -> str:
    """Return the device model's log (qemu-dm-*.log) of a QEMU that is built with XEN_PT_LOGGING_ENABLED: by the guest's functions."""
    told = (f"[{e.device.removeprefix('0000:')}] {e.function}" for e in answer.events if e.kind == "model")
    return "\n".join([f"QEMU emulator version {scenario.client.version}", *told]) + "\n"


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
