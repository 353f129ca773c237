"""XEN-008: a PV guest's PCI frontend could not get MSI."""

from collections.abc import Iterator

import polars as pl

from tracekit import ENXIO, Finding, Row, Unchecked, Verdict, diagnosis, in_order, subject_of
from tracekit_xen.kernels import pv_sources
from tracekit_xen.places import rows, whole
from tracekit_xen.refusals import hvm_sources

SEIZED = "See pciback's reason in dom0's log; check that dom0 has MSI on and that the device is not seized."
# drivers/xen/xen-pciback/pciback_ops.c, xen_pcibk_enable_msi() and xen_pcibk_enable_msix()
ADVICE = {
    -114: "The backend has this mode on already, left from an earlier guest or driver: give the device back to pciback anew (`xl "
    "pci-assignable-remove` and `-add`, or detach and attach it), or reset it, before the guest starts.",
    ENXIO: "The backend has the other mode on (MSI or MSI-X), or the device does not decode memory (`lspci -vv`, Mem-): let the guest's "
    "driver switch the other one off first, or reset the device.",
}


@diagnosis(
    "xen.frontend-refused",
    code="XEN-008",
    severity="medium",
    explains=("MSI-004",),
    record="dmesg of the PV guest, dmesg of dom0 (pciback)",
    shown_by=("xen_platform",),
    absent="no kernel log of a Xen guest",
    when=dict.fromkeys(("xen_frontend_error", "xen_frontend_refused", "xen_frontend_missing")),
    otherwise="no frontend was refused its interrupts",
)
def frontend_refused(
    xen_frontend_error: pl.DataFrame | None = None,
    xen_frontend_missing: pl.DataFrame | None = None,
    xen_platform: pl.DataFrame | None = None,
    pirq_lives: pl.DataFrame | None = None,
    cpu_position: pl.DataFrame | None = None,
    call_frame: pl.DataFrame | None = None,
    xen_pv_sign: pl.DataFrame | None = None,
    xen_frontend_said: pl.DataFrame | None = None,
    xen_frontend_refused: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """The backend refused MSI or MSI-X to a PV guest, or the guest's frontend is not there.

    What it finds: `Xen PCI frontend error: E!` or `enable msix get err E` (proven), or `Xen PCI frontend has not registered MSI/MSI-X
    support!` in a PV guest.
    Why it matters: the driver falls back to a line interrupt that the guest may share, or gives up.
    Stays quiet when: an HVM guest prints the second line, which there means that no pirq was free (XEN-002).
    Affected: PV guests.
    What to do: see dom0's log for pciback's reason: MSI off in dom0, a seized or shared device, permissive=1 missing. -114: the mode is on
    already, -6: the other one is.
    References: Linux arch/x86/pci/xen.c, xen_setup_msi_irqs(); drivers/pci/xen-pcifront.c.
    """
    hvm = hvm_sources(xen_platform, pirq_lives)
    pv = pv_sources(xen_platform, cpu_position, call_frame, xen_pv_sign) | {r.source for r in rows(xen_frontend_said)}
    found: dict[str, list[Row]] = {}
    for r in (*rows(xen_frontend_error), *rows(xen_frontend_refused), *(m for m in rows(xen_frontend_missing) if m.source not in hvm)):
        found.setdefault(subject_of(r).label, []).append(r)
    for refusals in found.values():
        yield _finding(refusals, pv)


def _signed(status: int) -> int:
    """Return an errno that the frontend prints as 32 bits."""
    return status - (1 << 32) if status >= 1 << 31 else status


def _finding(refusals: list[Row], pv: set[str]) -> Finding:
    first = refusals[0]
    errors = sorted({r.ret for r in refusals if hasattr(r, "ret")} | {_signed(r.status) for r in refusals if hasattr(r, "status")})
    said = f"with {', '.join(str(e) for e in errors)}" if errors else "as no frontend is registered"
    sure = bool(errors) or first.source in pv
    return Finding(
        f"the PCI backend refused MSI to {subject_of(first).label} {said}",
        "proven" if sure else "probable",
        in_order(whole(r) for r in refusals),
        subject_of(first),
        advice=next((ADVICE[e] for e in errors if e in ADVICE), SEIZED),
        unchecked=() if sure else (Unchecked("that the guest is PV", "the guest's boot log (`Hypervisor detected: Xen PV`)"),),
        values={"errno": errors[0]} if errors else {},
    )
