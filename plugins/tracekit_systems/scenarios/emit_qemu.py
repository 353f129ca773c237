"""The lines that QEMU would print in a run: its trace (`-trace 'vfio_*' -msg timestamp=on`) and its messages on standard error."""

from collections.abc import Iterator
from datetime import UTC, datetime

from tracekit import EBUSY, EINVAL, ENODEV, ENOMEM, ENOSPC, ENOTTY, EPERM, ERANGE, Answer, Scenario, TracekitError, release_of
from tracekit_systems.scenarios.emit import BEGIN_S
from tracekit_systems.scenarios.qemu import MSI_FDS, NO_VECTOR, VECTORS, WIRING
from tracekit_systems.scenarios.world import Event

BOOT_S = 1795219906  # when the host was booted, in Unix time
PROGRAM, THREAD = "qemu-system-x86_64", 4210
TELLS_ERRNO = (10, 1)  # gate QV4
TEXTS = {
    EPERM: "Operation not permitted",
    EBUSY: "Device or resource busy",
    EINVAL: "Invalid argument",
    ENODEV: "No such device",
    ENOMEM: "Cannot allocate memory",
    ENOSPC: "No space left on device",
    ENOTTY: "Inappropriate ioctl for device",
    ERANGE: "Numerical result out of range",
}
FORMATS = {  # as hw/vfio/trace-events has them: those of a function begin with a blank of their own
    "vfio_msix_early_setup": "{name} PCI MSI-X CAP @0xb0, BAR 4, offset 0x0, entries {entries}",
    "vfio_msi_setup": "{name} PCI MSI CAP @0x50",
    "vfio_msix_vector_do_use": " ({name}) vector {vector} used",
    "vfio_msix_vector_release": " ({name}) vector {vector} released",
    "vfio_msi_enable": " ({name}) Enabled {count} MSI vectors",
}


def qemu(answer: Answer, scenario: Scenario) -> str:
    """Return the trace and messages of QEMU. Errors: TracekitError where the client is another one."""
    if scenario.client.name != "qemu" and scenario.client.name != "vfio-user":
        raise TracekitError(f"--emit qemu: the client is {scenario.client.name}, which prints nothing of that kind")
    return "\n".join([f"QEMU emulator version {_version(scenario.client.version)}", *_lines(answer, scenario)]) + "\n"


def _lines(answer: Answer, scenario: Scenario) -> Iterator[str]:
    thread, text = THREAD, release_of(scenario.client.version) >= TELLS_ERRNO
    for e in answer.events:
        if e.kind != "client":
            continue
        if e.function == "start":
            thread += 1
        elif e.ret:
            yield from (f"{_iso(e.at)} {PROGRAM}: {said}" for said in _messages(e, text))
        else:
            yield f"{thread}@{_unix(e.at)}:{e.function} {_arguments(e)}"


def _arguments(e: Event) -> str:
    """Return what stands behind the name.

    vfio_msix_early_setup 0000:3d:00.0 PCI MSI-X CAP @0xb0, BAR 4, offset 0x0, entries 8, noresize 0
    vfio_msix_enable  (0000:3d:00.0)
    """
    told = FORMATS.get(e.function, " ({name})").format(name=e.device, **e.args)
    return told + (f", noresize {e.args['noresize']}" if "noresize" in e.args else "")


def _messages(e: Event, text: bool) -> Iterator[str]:
    """Yield what QEMU says to a request that failed. Before {QV4} a failed ioctl is a -1, and a count is a count.

    vfio: failed to enable vectors, -1
    vfio 0000:3d:00.0: Failed to set up TRIGGER eventfd signaling for interrupt MSIX-8: VFIO_DEVICE_SET_IRQS failure: Invalid argument
    """
    words = TEXTS.get(e.ret, f"Unknown error {-e.ret}")
    reason = words if text else str(max(e.ret, -1))
    if e.function in (VECTORS, NO_VECTOR):
        yield f"vfio: failed to {e.function}, {reason}"
    elif e.function == WIRING:
        what = f"interrupt MSIX-{e.args['vector']}"
        yield f"vfio {e.device}: Failed to set up TRIGGER eventfd signaling for {what}: VFIO_DEVICE_SET_IRQS failure: {words}"
    elif e.function == MSI_FDS and e.ret > 0:
        yield f"vfio: Error: Failed to enable {e.args['count']} MSI vectors, retry with {e.ret}"
    elif e.function == MSI_FDS:
        yield f"vfio: Error: Failed to setup MSI fds: {words}"
        yield "vfio: Error: Failed to enable MSI"


def _version(release: str) -> str:
    return release + ".0" * max(2 - release.count("."), 0)


def _unix(at: int) -> str:
    us = (BOOT_S + BEGIN_S) * 1_000_000 + at // 1000
    return f"{us // 1_000_000}.{us % 1_000_000:06d}"


def _iso(at: int) -> str:
    us = (BOOT_S + BEGIN_S) * 1_000_000 + at // 1000
    return f"{datetime.fromtimestamp(us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%S}.{us % 1_000_000:06d}Z"
