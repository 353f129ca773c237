"""VFIO-010: interrupts take the slow way to the guest."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from tracekit import HOST, Finding, Subject, Unchecked, Verdict, clear, diagnosis, distinct, inconclusive, numbered, span, times
from tracekit_vfio.models.vector_windows import as_bdf
from tracekit_vfio.options import host_of

RECORD = "QEMU -trace 'vfio_msi*', or the host's dmesg"
MOST = 6  # times a vector was unmasked that are shown


@diagnosis(
    "vfio.slow-path",
    code="VFIO-010",
    severity="info",
    record=RECORD,
    needs_any=("vfio_msi_interrupt", "vfio_bypass_failed", "kvm_bypass_failed", "qemu_irqfd_failed"),
    absent="no vfio_msi_interrupt of QEMU's trace and no kernel's note about a bypass: what goes through QEMU is not recorded",
)
def slow_path(
    vfio_msi_interrupt: pl.DataFrame | None = None,
    vfio_msix_vector_do_use: pl.DataFrame | None = None,
    vfio_msix_vector_release: pl.DataFrame | None = None,
    vfio_bypass_failed: pl.DataFrame | None = None,
    kvm_bypass_failed: pl.DataFrame | None = None,
    qemu_irqfd_failed: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """Interrupts of a vector are handed to the guest by QEMU itself, or without posted delivery.

    What it finds: two or more `vfio_msi_interrupt` of a vector that the guest has unmasked, or the kernel's note that the bypass of a
    vector was not set up: by VFIO (the producer), by KVM (the consumer, its posted entry), which names no device. Of INTx, that QEMU got
    no irqfd for it.
    Why it matters: performance only; every interrupt costs a wake-up of QEMU.
    Stays quiet when: the vector is masked, or it is the first interrupt after a mask.
    Affected: any release.
    What to do: check KVM's in-kernel irqchip, irqfd, and the IOMMU's posted interrupts.
    References: QEMU hw/vfio/pci.c, vfio_msi_interrupt(); Linux drivers/vfio/pci/vfio_pci_intrs.c, vfio_msi_set_vector_signal().
    """
    findings = [*_through_qemu(vfio_msi_interrupt, vfio_msix_vector_do_use, vfio_msix_vector_release), *_unposted(vfio_bypass_failed)]
    if kvm_bypass_failed is not None and vfio_bypass_failed is None:  # else VFIO says of the same vectors whose they are
        findings.append(_by_kvm(kvm_bypass_failed))
    findings += _of_intx(qemu_irqfd_failed)
    yield from findings
    if findings:
        return
    if vfio_msi_interrupt is None:
        yield inconclusive("an irqfd of INTx was not taken back; what goes through QEMU is not recorded", RECORD)
    elif vfio_msix_vector_do_use is None:
        yield inconclusive("interrupts went through QEMU; whether their vectors were masked is not recorded", RECORD)
    else:
        yield clear("interrupts through QEMU only while masked")


def _through_qemu(entries: pl.DataFrame | None, used: pl.DataFrame | None, released: pl.DataFrame | None) -> Iterator[Finding]:
    """Vectors with two interrupts in a row after an unmask and no mask between, by device."""
    if entries is None or used is None:
        return
    steps = [
        f.select("source", "line", "machine", "boot", "name", "vector", pl.lit(k).alias("step"))
        for f, k in ((entries, "irq"), (used, "use"), (released, "mask"))
        if f is not None
    ]
    rows = pl.concat(steps).sort("source", "line")
    spells: dict[tuple[str, str, int], list[list[int]]] = {}  # one per time unmasked: the line of the unmask, then of the interrupts
    for source, line, _, _, name, vector, step in rows.iter_rows():
        mine = spells.setdefault((source, name, vector), [])
        if step == "use":
            mine.append([line])
        elif step == "mask":
            mine.append([])
        elif mine and mine[-1]:
            mine[-1].append(line)
    slow = {key: [s for s in found if len(s) > 2] for key, found in spells.items()}
    for source, name in dict.fromkeys(key[:2] for key, found in slow.items() if found):
        yield _finding(name, source, rows, {key[2]: found for key, found in slow.items() if found and key[:2] == (source, name)})


def _finding(name: str, source: str, rows: pl.DataFrame, vectors: dict[int, list[list[int]]]) -> Finding:
    lines = [e for v in sorted(vectors) for s in vectors[v][:MOST] for e in (*span(source, s[0]), *span(source, s[1], s[-1], "effect"))]
    return Finding(
        summary=f"{numbered(vectors)} of {name}: QEMU itself hands interrupts to the guest",
        grade="proven",
        subject=_subject(name),
        evidence=distinct(lines),
        values={"vectors": sorted(vectors), "interrupts": sum(len(s) - 1 for found in vectors.values() for s in found)},
        advice="Performance only: check that KVM's in-kernel irqchip and irqfd are in use.",
    )


def _subject(name: str) -> Subject:
    bdf: Any = as_bdf(name)
    return Subject(name, "pci" if bdf else "unknown", bdf)


def _unposted(messages: pl.DataFrame | None) -> Iterator[Finding]:
    if messages is None:
        return
    for (bdf,), group in messages.group_by("bdf", maintain_order=True):
        first = group.row(0, named=True)
        yield Finding(
            summary=f"posted delivery is off for {times(group.height, 'vector')} of {bdf} ({first['ret']})",
            grade="proven",
            subject=Subject(str(bdf), "pci", str(bdf)),
            evidence=distinct(e for r in group.head(3).iter_rows(named=True) for e in span(r["source"], r["line"])),
            values={"vectors": group.height, "errno": first["ret"]},
            advice="Performance only: check the IOMMU's posted interrupts and KVM's irqfd.",
        )


def _of_intx(messages: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield the line interrupts that QEMU has to deliver itself; that its irqfd was not taken back at the end is no matter of the way."""
    set_up = messages.filter(pl.col("step") == "setup") if messages is not None else None
    if set_up is None or set_up.is_empty():
        return
    named = set_up.with_columns(pl.Series("name", [host_of(r["option"]) for r in set_up.iter_rows(named=True)], dtype=pl.String))
    for (bdf,), group in named.group_by(pl.coalesce("bdf", "name"), maintain_order=True):
        whose = str(bdf) if bdf is not None else "an unnamed device"
        yield Finding(
            summary=f"INTx of {whose} goes through QEMU: the irqfd that KVM delivers it by was refused",
            grade="probable",
            subject=Subject(whose, "pci", whose) if bdf is not None else Subject(whose, "unknown"),
            evidence=distinct(e for r in group.head(3).iter_rows(named=True) for e in span(r["source"], r["line"])),
            values={"messages": group.height},
            advice="Performance only: see QEMU's errno and the host's kernel log, and let the guest use MSI.",
            unchecked=(Unchecked("that the line was set up without it", RECORD),),
        )


def _by_kvm(messages: pl.DataFrame) -> Finding:
    """Return what KVM says without a device."""
    errno = next((r["ret"] for r in messages.head(MOST).iter_rows(named=True) if r["ret"] is not None), None)
    return Finding(
        summary=f"KVM could not switch the posted delivery of a passed-through interrupt, {times(messages.height, 'message')}"
        + (f" ({errno})" if errno is not None else ""),
        grade="proven",
        subject=HOST,
        evidence=distinct(e for r in messages.head(3).iter_rows(named=True) for e in span(r["source"], r["line"])),
        values={"messages": messages.height, "errno": errno},
        advice="Performance only: check the IOMMU's posted interrupts; -16 is an eventfd that the VM manager gave to two irqfds.",
    )
