"""Drivers' complaints about interrupts in unknown wordings, read by structure."""

import re
from typing import ClassVar

from tracekit import ENOSPC, Model, Row, Table
from tracekit_irq import complaint, silence
from tracekit_irq.tables import DRIVER_REFUSALS, DRIVER_SILENCES

# Whose messages have rules of their own: Xen's say which step of the hypervisor refused, `vfio` is QEMU's word for its side of VFIO.
OTHERS = ("pciback", "xen_pciback", "xen-pciback", "pcifront", "vfio")
# A sentence before a colon, where a driver and its device stand else: `Failed to enable SRIOV: Only 0 MSI-X ...`.
SENTENCE = re.compile(r"(?i)(?:fail(?:ed|ure)?|unable|can(?:not|'t)?|could(?:n't)?|error|warning|not|no|only|while|when|trying)$")
HANGCHECK, LOST = "Hangcheck timer elapsed", "lost interrupt"  # what i915 and libata say
# Names in which MSI is the maker of the machine, and programs with the number of their process: `msi_ec`, `msi-wmi`, `msiexec[44]`.
NO_DRIVER = re.compile(r"(?i)msi(?:exec|[_-]?(?:ec|wmi|laptop|claw|center|afterburner)(?![a-z0-9]))|.*[a-z_-]\[[0-9]+\]$")


class Complaints(Model):
    """Read each complaint of a driver that no rule of known wordings (`drivers.lark`) reads: such a table says more."""

    tables: ClassVar[tuple[Table, ...]] = (DRIVER_REFUSALS, DRIVER_SILENCES)

    def __init__(self) -> None:
        super().__init__()
        self.told: set[tuple[str, int]] = set()
        self.complaints: list[tuple[Row, str | None, str | None, str]] = []  # the row, the driver and device it names, what it says
        self.silences: list[Row] = []

    def on_driver_complaint(self, e: Row) -> None:
        named = e.bdf is not None or not SENTENCE.match(e.driver or "")
        self.complaints.append((e, e.driver if named else None, (e.device or e.instance) if named else None, e.complaint))

    def on_driver_complaint_alone(self, e: Row) -> None:
        self.complaints.append((e, e.alone, None, e.plain))

    def on_driver_irq_complaint(self, e: Row) -> None:
        self.complaints.append((e, e.driver, e.unit or e.instance, e.irq_complaint))

    def on_driver_irq_missing(self, e: Row) -> None:
        self.complaints.append((e, e.driver or e.alone, None, e.missing))

    def on_driver_silence(self, e: Row) -> None:
        self.silences.append(e)

    def on_driver_fence_polled(self, e: Row) -> None:
        self._silent(e, "fence", e.ring, f"Fence fallback timer expired on ring {e.ring}")

    def on_driver_hangcheck_missed(self, e: Row) -> None:
        self.emit("driver_silences", e, driver="i915", bdf=None, device=None, kind="ring", queue=e.engine, text=HANGCHECK, line_end=e.line)

    def on_ata_interrupt_lost(self, e: Row) -> None:
        self.emit("driver_silences", e, driver=None, bdf=None, device=e.port, kind="port", queue=None, text=LOST, line_end=e.line)

    def _known(self, e: Row) -> None:
        self.told.add((e.source, e.line))

    on_driver_irq_refused = on_driver_vectors_refused = on_driver_vectors_reduced = on_driver_irq_fallback = _known
    on_driver_vf_vectors = on_driver_vectors_told = on_driver_vectors_used = on_driver_interrupt_missed = _known
    on_driver_interrupt_test_failed = on_ath_response_polled = on_nvme_completion_polled = _known
    on_mlx5_eqe_recovered = on_mlx5_command_recovered = _known
    on_xen_msi_create_failed = on_xen_pciback_failed = on_xen_frontend_said = on_xen_frontend_error = _known
    on_xen_frontend_missing = on_xen_map_failed = on_msi_mode_conflict = on_vmm_complaint = on_xen_frontend_refused = _known

    def on_end(self) -> None:
        heard = [(e, silence.kind(e.silence)) for e in self.silences if self._own(e, e.driver)]
        for e, kind in heard:
            if kind == "test":
                self._known(e)  # it says more than the complaint that the driver falls back
        for e, driver, device, text in self.complaints:
            said = complaint.read(text) if self._own(e, driver) else None
            if said is not None and not (said.falls_back and _wired(e, said, device)):
                self._known(e)  # where two rules read one line
                self.emit(
                    "driver_refusals",
                    e,
                    driver=driver or device,
                    bdf=getattr(e, "bdf", None),
                    device=device,
                    what=said.what,
                    errno=said.errno,
                    asked=said.asked,
                    granted=said.granted,
                    falls_back=said.falls_back,
                    of_vfs=said.of_vfs,
                    text=text,
                    line_end=e.line,
                )
        for e, kind in heard:
            if kind == "test" or kind is not None and self._own(e, e.driver):
                self._silent(e, kind, silence.queue(e.silence), e.silence)

    def _silent(self, e: Row, kind: str, queue: str | None, text: str) -> None:
        self.emit("driver_silences", e, driver=e.driver, bdf=e.bdf, device=e.device, kind=kind, queue=queue, text=text, line_end=e.line)

    def _own(self, e: Row, driver: str | None) -> bool:
        """Return whether the line is a Linux driver's own, and not of a known wording."""
        kernel = e.side == "kernel" or e.side.startswith("guest")
        return kernel and driver not in OTHERS and not NO_DRIVER.match(driver or "") and (e.source, e.line) not in self.told


def _wired(e: Row, said: complaint.Complaint, device: str | None) -> bool:
    """Return whether a device that goes on without is of the platform, to which firmware gives wires as well as MSI.

    It has a dot (`arm-smmu-v3.0.auto`, `fe1c0000.ethernet`), or no address of PCI and asks for an irq: `serial8250: ttyS0: ..., polling`.
    """
    wire = said.what == "irq" and getattr(e, "bdf", None) is None and said.errno != ENOSPC
    return wire or device is not None and "." in device
