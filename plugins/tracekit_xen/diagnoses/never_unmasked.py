"""XEN-006: an HVM guest never unmasks a device's vectors."""

import re
from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Row, Shown, Subject, Unchecked, Verdict, clear, diagnosis, gate_value, in_order, inconclusive
from tracekit_xen.places import rows, whole

DEVICE = re.compile(r"[A-Za-z]+[0-9]+")
FIRST = (5, 13)  # the release that began to mask all entries late in the set-up (mid-2021)


@diagnosis(
    "xen.never-unmasked",
    code="XEN-006",
    severity="high",
    record="/proc/interrupts and dmesg of the guest; xl debug-keys M; xl dmesg",
    gates=("KV6",),
    shown_by=(Shown("xen_platform", where=pl.col("platform").str.to_uppercase() == "HVM"),),
    absent="no /proc/interrupts with the kernel's boot log, which tells whether the guest is HVM",
)
def never_unmasked(
    interrupt_row: pl.DataFrame,
    xen_platform: pl.DataFrame | None = None,
    kernel_version: pl.DataFrame | None = None,
    nvme_completion_polled: pl.DataFrame | None = None,
    nvme_timeout: pl.DataFrame | None = None,
    net_tx_timeout: pl.DataFrame | None = None,
    gates: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """All vectors of a device in an HVM guest stay masked: not one interrupt from the start, and no error.

    What it finds: `xen-pirq` MSI rows of /proc/interrupts that are zero for a whole device whose driver times out, in an HVM guest with a
    release from mid-2021 until {KV6}. Probable: the release alone does not tell whether the fix is in.
    Why it matters: the device works by polling and timeouts only, or not at all.
    Stays quiet when: any vector of the device has counted; the driver does not complain (an idle device); the guest is not HVM.
    Affected: guest kernels from mid-2021 until {KV6}, and some stable kernels of 2025 (both from sources, not confirmed by a run).
    What to do: update the guest kernel to one with 7e0815b3e099 ({KV6}, and stable kernels of May 2022).
    References: Linux 7e0815b3e099 "x86/pci/xen: Disable PCI/MSI[-X] masking for XEN_HVM guests"; c3164d2e0d18 (2025).
    """
    silent = _silent(interrupt_row)
    hvm = [r for r in rows(xen_platform) if (r.platform or "").upper() == "HVM"]
    if not any((r.chip or "").startswith("xen-pirq") for r in rows(interrupt_row)):
        yield clear("no pirqs in /proc/interrupts")
    elif silent and hvm:
        complaints = [(r, d) for r in rows(nvme_completion_polled, nvme_timeout, net_tx_timeout) if (d := _complainer(r)) in silent]
        releases = [r for r in rows(kernel_version) if _is_late(r.release) and gate_value(gates, "KV6", r.source) is False]
        named = dict.fromkeys(d for _, d in complaints) if releases else {}
        for device in named:
            yield _finding(device, silent[device], [r for r, d in complaints if d == device], releases[0], hvm[0])
        why = "MSI rows without an interrupt: " + ", ".join(sorted(silent))
        yield inconclusive(why, "dmesg with the driver's timeouts; xl debug-keys M")  # holds only where nothing was found
    elif hvm:
        yield clear("a vector of every device that has several has counted")


def _silent(table: pl.DataFrame) -> dict[str, list[Row]]:
    """Devices with several pirqs (so they are MSI-X: a device has one line interrupt), all of them zero in every snapshot."""
    found: dict[str, list[Row]] = {}
    for r in rows(table):
        if (r.chip or "").startswith("xen-pirq") and (m := DEVICE.match(r.actions or "")):
            found.setdefault(m[0], []).append(r)
    several = {d: mine for d, mine in found.items() if len({r.irq for r in mine}) > 1}
    return {d: mine for d, mine in several.items() if not any(n.strip("0") for r in mine for n in (r.counts or "").split())}


def _complainer(r: Row) -> str:
    return str(getattr(r, "device", None) or getattr(r, "interface", None) or "")


def _is_late(release: str | None) -> bool:
    """Return whether a release masks all entries late."""
    m = re.match(r"([0-9]+)\.([0-9]+)", release or "")
    return m is not None and (int(m[1]), int(m[2])) >= FIRST


def _finding(device: str, silent: list[Row], complaints: list[Row], release: Row, hvm: Row) -> Finding:
    return Finding(
        f"{device} has not interrupted once on its {len(silent)} MSI vectors (HVM guest, {release.release}), and its driver times out",
        "probable",
        in_order([whole(release, "context"), whole(hvm, "context"), *(whole(r, "cause") for r in silent), *(whole(r) for r in complaints)]),
        Subject(device, "pci", how="the guest's log names the function at the driver's probe"),
        advice="Update the guest kernel to one with 7e0815b3e099 ({KV6}, and stable kernels from May 2022 on).",
        unchecked=(Unchecked("that the vectors are masked", "xl debug-keys M; xl dmesg: `mask=1/ G/1`"),),
        values={"vectors": len(silent)},
    )
