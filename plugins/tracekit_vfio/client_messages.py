"""Messages of clients of VFIO that say of an enable more than that it failed: DPDK's, other programs', and QEMU's assertions."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from tracekit import HOST, VFIO_MSI, VFIO_MSIX, Finding, Subject, Unchecked, distinct, rows_above, rows_where, span

RECORD = "SET_IRQS calls of the host with their return values (kprobe and kretprobe on vfio_pci_set_irqs_ioctl)"
UNNAMED = Subject("an unnamed device", "unknown", how="DPDK's `Probe PCI driver` line above names it")
MOST = 5  # lines that are shown
EVENTFD = 0x4  # flag of SET_IRQS: its data are file descriptors
NO_SPACE, OUT_OF_RANGE = "No space left on device", "Numerical result out of range"
ROUTES = (
    "KVM refused its table of interrupt routes",
    "The table is full (1024 routes in old kernels, 4096 later), or one entry is not valid: strace of QEMU shows the errno of "
    "KVM_SET_GSI_ROUTING. Give the VM fewer devices or vectors, or update QEMU and the host's kernel.",
)
OWN_CHECK = (
    "a check of its own code for interrupts failed",
    "Update QEMU, or report it with the assertion: a device, its driver or QEMU used a vector or a route that there is not.",
)


def probed_last(messages: pl.DataFrame | None, probed: pl.DataFrame | None) -> dict[str | None, list[dict[str, Any]]]:
    """Return DPDK's messages, which name a file descriptor, by the device that it probed last before each."""
    probes = sorted((r for r in rows_where(probed, None) if r["bdf"]), key=lambda r: (r["source"], r["line"]))
    groups: dict[str | None, list[dict[str, Any]]] = {}
    for m in rows_where(messages, None):
        groups.setdefault(next((p["bdf"] for p in rows_above(m, probes)), None), []).append(m)
    return groups


def by_dpdk(messages: pl.DataFrame | None, probed: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield the enables that failed for DPDK, by the device that it probed last: DPDK enables once a start, with no vectors before."""
    for bdf, mine in probed_last(messages, probed).items():
        subject = Subject(bdf, "pci", bdf, how="the device that DPDK probed last before") if bdf else UNNAMED
        advice = (
            "Record SET_IRQS calls of the host with their return values: DPDK does not print the errno. Compare how many vectors its "
            "driver asks for with `lspci -vv` of the device."
        )
        what = f"DPDK could not enable the vectors of {subject.label}"
        yield _unable(subject, mine, what, mine[0]["reason"], "a driver that polls does not go on without", advice)


def of_vectors(index: int | None, count: int | None, flags: int | None, errno_text: str) -> bool:
    """Return whether a refused SET_IRQS was for vectors: as it tells, or by an errno that only they have."""
    if index is None:
        return errno_text in (NO_SPACE, OUT_OF_RANGE)
    return index in (VFIO_MSI, VFIO_MSIX) and bool(count) and flags is not None and bool(flags & EVENTFD)


def by_program(refused: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield the SET_IRQS for vectors that programs which drive a device themselves print, by device."""
    groups: dict[str | None, list[dict[str, Any]]] = {}
    for m in rows_where(refused, of_vectors):
        groups.setdefault(m["bdf"], []).append(m)
    for bdf, mine in groups.items():
        subject = Subject(bdf, "pci", bdf) if bdf else Subject("an unnamed device", "unknown", how="the program's options")
        asked = f"{mine[0]['count']} vectors" if mine[0]["count"] else "vectors"
        advice = (
            "See whether vectors are short (`No space left on device`: VEC-*, VEC-005), and compare how many are asked for with "
            "`lspci -vv` of the device."
        )
        what = f"a program could not enable {asked} of {subject.label}"
        yield _unable(subject, mine, what, mine[0]["errno_text"], "the program does not go on without", advice, mine[0]["count"])


def _unable(
    subject: Subject, mine: list[dict[str, Any]], what: str, reason: str, and_that: str, advice: str, asked: int | None = None
) -> Finding:
    """Return the finding of a first enable that failed for a client, as its messages tell it."""
    return Finding(
        summary=f"{what} ({reason})",
        grade="possible",
        subject=subject,
        severity="medium",
        evidence=distinct(e for m in mine[:MOST] for e in span(m["source"], m["line"], role="effect")),
        unchecked=(Unchecked(f"why the enable failed, and that {and_that}", RECORD),),
        values={"message": reason, "messages": len(mine), "asked": asked, "last_working": None},
        advice=advice,
    )


def by_qemu_itself(assertions: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield QEMU's assertions about MSI and KVM's routes: QEMU ended, and the guest with it. One finding a place."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for m in rows_where(assertions, None):
        function = m["place"].rpartition(":")[2].partition("(")[0].split()[-1].lstrip("*")
        groups.setdefault(function, []).append(m)
    for function, mine in groups.items():
        means, advice = ROUTES if function == "kvm_irqchip_commit_routes" else OWN_CHECK
        yield Finding(
            summary=f"QEMU ended itself in {function}, and its guest with it: {means} ({mine[0]['condition']})",
            grade="probable",
            subject=HOST,
            severity="high",
            evidence=distinct(e for m in mine[:MOST] for e in span(m["source"], m["line"], role="effect")),
            unchecked=(
                Unchecked(
                    "that a passed-through device was set up then, and not one that QEMU emulates", "QEMU's trace (-trace 'vfio_msi*')"
                ),
            ),
            values={"function": function, "condition": mine[0]["condition"], "messages": len(mine)},
            advice=advice,
        )
