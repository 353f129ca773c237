"""MSI-009: the kernel itself went wrong in its MSI code."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from tracekit import Evidence, Finding, Subject, Unchecked, Verdict, diagnosis, distinct, span, times
from tracekit_msi.models.kernel_reports import CONTROLLER, MSI_CODE

CORE = "the MSI core"  # where a file tells, and no function
XEN = "Xen "  # begins the words of the hypervisor
RECORD = "the kernel log with the whole report, from its head to the end of its call trace"
GRAVEST = ("oops", "warning", "bare")
CAUSE = Unchecked(
    "why the enable or free failed", "kprobes on __pci_enable_msix_range and msi_insert_desc with $retval, or the lines before the report"
)
ADVICE = "Look for the reason of the failure first (refused index, no vectors); else update the kernel, or report it with its trace."
OF_CONTROLLER = (
    "The driver of the interrupt controller, which makes interrupts of the devices' messages, reports this: see what it was at (a CPU that "
    "starts, memory for its tables, a vector that moves), and whether devices still interrupt; update the kernel, or report it."
)
ARRIVE = Unchecked("whether the devices' interrupts arrive", "/proc/interrupts, twice")
FREES = re.compile(r"(?:pci_)?free_msi_irqs$|pci_disable_msix?$|pci_free_irq_vectors$")  # BUG_ON(irq_has_action())
HANDLER = re.compile(r"vfio_\w*(?:handler|eventfd)$")  # it stands in the table only where eventfd_signal() below it warns
DROPPED = (
    "Update the host's kernel: before 5.15 eventfd_signal() refuses while another one runs on the CPU, since then only within its own "
    "task. Until then reset the device, or restart its guest, where it hangs."
)
HOW_MANY = Unchecked("how many interrupts were lost: the kernel warns once a boot", "counts of /proc/interrupts of host and guest")
HEAD = Unchecked("what the kernel reported", "the lines above this trace: the head of the report")
NO_HEAD = (
    "The head of the report says what happened, and was not read: see the lines above, else the journal, the serial console or pstore."
)
NO_STACK = (
    "Find the call trace below this line: it names the driver whose call the MSI core refused. Update that, or report it with the trace."
)
FREED = (
    "Look at the lines above: as a rule a request of the irq or a probe failed, and the driver's error path frees what it did not get. "
    "That refusal is the trouble. Else a driver frees twice: update it, or report it with the trace."
)
ENABLED = "A handler runs with interrupts off and must leave them off: update the driver, or report it. Its interrupts arrive."
OF_XEN = "Update Xen, or report it to xen-devel with the whole report and what the domain did with the device at that time."
HELD = (
    "A driver gave up its vectors while a handler was still requested: free_irq() must come before pci_free_irq_vectors() or "
    "pci_disable_msi(). The driver stands in the call trace: update it, or report it with the trace."
)


@diagnosis(
    "msi.kernel-bug",
    code="MSI-009",
    severity="high",
    record=RECORD,
    log="boot",
)
def kernel_bug(
    kernel_reports: pl.DataFrame | None = None, devices: pl.DataFrame | None = None, irq_misuses: pl.DataFrame | None = None
) -> Iterator[Finding | Verdict]:
    """The kernel reports an error of its own (WARNING, BUG, Oops) in its MSI code.

    What it finds: a report whose place, or one of whose first ten reliable frames, is a function of the MSI core, an MSI irq domain, or
    VFIO's or Xen's MSI code; whose place is in a controller of MSIs (ITS, IMSIC, those of host bridges); or whose head names a file of
    the MSI core; also Xen's own BUG or failed assertion in its MSI code. A WARNING in eventfd_signal() that a handler of VFIO called: that
    interrupt was not given to the guest. Low: an irq that is freed and was not held, a handler that switches interrupts on.
    Why it matters: after an Oops or BUG the device, or the machine, is lost; a WARNING on an error path marks that an enable
    or a free failed.
    Stays quiet when: such a function stands only in a lock chain, behind a question mark, beyond the tenth frame, in the dump of a task
    that hangs, or when the tracer warns about itself.
    Affected: any kernel.
    What to do: look for the reason of the failure first (MSI-001, VEC-001); else update the kernel or report it.
    References: Linux kernel/irq/msi.c, drivers/pci/msi/; arch/x86/mm/ioremap.c, iounmap() (called twice by the error path of 6.12).
    """
    yield from _misused(irq_misuses)
    if kernel_reports is None:
        return
    told = {(r["source"], line) for r in (irq_misuses.to_dicts() if irq_misuses is not None else ()) for line in r["lines"]}
    others = [r for r in kernel_reports.to_dicts() if (r["source"], r["line"]) not in told]
    first: dict[Any, Any] = {}
    for r in others:
        first.setdefault((r["kind"], r["place"], r["function"], r["msi_function"]), r)
    if first:
        yield _finding(sorted(first.values(), key=lambda r: GRAVEST.index(r["kind"])), devices)


def _finding(reports: Sequence[Mapping[str, Any]], devices: pl.DataFrame | None) -> Finding:
    """Return one finding for all reports: the gravest is told."""
    r = next((r for r in reports if dropped(r)), reports[0]) if reports[0]["kind"] != "oops" else reports[0]
    lost = dropped(r)
    errno = errno_of(r)
    failed = f", the enable failed with {errno}" if errno is not None else ""
    place = f" in {r['function']}" if r["function"] else ""
    own = (r["what"] or "").startswith(XEN)  # Xen's own words name its place
    what = {"warning": f"WARNING{place}", "oops": f"{_oops(r['what'])}{place}", "bare": ""}[r["kind"]]
    what = r["what"].removeprefix(XEN) if own else what
    file = ", a file of the MSI core" if r["msi_function"] == CORE else f", with {r['msi_function']} on its stack"
    stack = "" if r["function"] == r["msi_function"] else file
    cut = "the CPU stood in {} and the kernel reported it" if r["function"] == r["msi_function"] else "a call trace has {} on its stack"
    who = "Xen" if own else "the kernel"
    told = f"{who} reports: {what}{stack}{failed}" if what else f"{cut.format(r['msi_function'])}; its head was not read"
    subject = subject_of_report(r, devices)
    return Finding(
        summary=told + (": an interrupt of a passed-through device was lost" if lost else ""),
        grade="probable" if r["kind"] == "bare" else "proven",
        subject=subject,
        severity="high" if r["kind"] == "oops" or lost else "medium",
        evidence=distinct(e for w in reports[:4] for e in _evidence(w)),
        unchecked=(HOW_MANY,) if lost else _unchecked(r),
        values={
            "kind": r["kind"],
            "function": r["function"],
            "msi_function": r["msi_function"],
            "place": r["place"],
            "errno": errno,
            "reports": len(reports),
        },
        advice=DROPPED if lost else _advice(r),
    )


def dropped(r: Mapping[str, Any]) -> bool:
    """Return whether eventfd_signal() returned without signalling (WARN_ON_ONCE of fs/eventfd.c) below a handler of VFIO."""
    return r["kind"] != "oops" and HANDLER.match(r["msi_function"]) is not None


def of_controller(r: Mapping[str, Any]) -> bool:
    """Return whether a report stands in the driver of a controller, and in no code of the MSI core."""
    return CONTROLLER.match(r["msi_function"]) is not None and MSI_CODE.match(r["msi_function"]) is None


def _unchecked(r: Mapping[str, Any]) -> tuple[Unchecked, ...]:
    if of_controller(r):
        return (ARRIVE,)
    return {"warning": (CAUSE,), "bare": (HEAD,)}.get(r["kind"], ())


def _advice(r: Mapping[str, Any]) -> str:
    if r["kind"] == "bare":
        return NO_HEAD
    if (r["what"] or "").startswith(XEN):
        return OF_XEN
    if of_controller(r):
        return OF_CONTROLLER
    if r["kind"] == "oops" and FREES.match(r["msi_function"]):
        return HELD
    return NO_STACK if not r["frames"] and r["msi_function"] == CORE else ADVICE


def _misused(misuses: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield irqs that were freed and not held, and handlers that switched interrupts on: one finding for each function of a driver."""
    if misuses is None:
        return
    for (what, function), group in misuses.group_by(["what", "function"], maintain_order=True):
        irqs = group["irq"].unique(maintain_order=True).to_list()
        name = f"irq {irqs[0]}" + (f" (and {times(len(irqs) - 1, 'other')})" if len(irqs) > 1 else "")
        driver = f" by {function}" if function else ""
        freed = f"{name} was freed{driver}, and nobody held it"
        yield Finding(
            summary=f"a driver's mistake: {freed if what == 'freed' else f'{function} of {name} switched interrupts on'}",
            grade="proven",
            subject=Subject(f"irq {irqs[0]}", kind="host"),
            severity="low",
            evidence=distinct(Evidence(r["source"], n, "cause") for r in group.head(4).iter_rows(named=True) for n in r["lines"]),
            values={"irqs": irqs[:16], "function": function, "count": group.height},
            advice=FREED if what == "freed" else ENABLED,
        )


def _oops(what: str | None) -> str:
    """Return the head of a report in words: of a BUG its place alone is kept in the table."""
    told = (what or "Oops").strip().rstrip("!")
    return f"BUG at {told}" if re.match(r"[\w/.-]+\.[ch]:[0-9]+$", told) else told


def _evidence(r: Mapping[str, Any]) -> Iterator[Any]:
    for line in r["lines"]:
        yield from span(r["source"], line, role="cause" if line in (r["line"], r["msi_line"]) else "context")


def errno_of(r: Mapping[str, Any]) -> int | None:
    """Return the error in RBP where iounmap() warns inside the error path of an enable (6.12)."""
    if r["function"] != "iounmap" or r["rbp"] is None or not r["rbp"] & 0xFFFFFFFF > 0xFFFFF000:
        return None
    return int((r["rbp"] & 0xFFFFFFFF) - (1 << 32))


def subject_of_report(r: Mapping[str, Any], devices: pl.DataFrame | None) -> Subject:
    """Return the pci_dev in RBX of the iounmap WARNING, or the function that vfio-pci named last."""
    if of_controller(r):
        return Subject("interrupt controller", kind="host")
    pointer = r["rbx"] if r["function"] == "iounmap" else None
    alias = (f"pci_dev {pointer:#x}",) if pointer is not None else ()
    if pointer is not None and devices is not None:
        known = devices.filter((pl.col("kind") == "pci_dev") & (pl.col("pointer") == pointer) & pl.col("bdf").is_not_null())
        if known.height:
            return Subject(known["bdf"][0], "pci", known["bdf"][0], alias)
    if r["named"] is not None:
        return Subject(r["named"], "pci", r["named"], alias, r["how"])
    if alias:
        return Subject(alias[0], "pci", None, (), "a trace with this pointer beside the log names it")
    return Subject(
        "an unnamed device", "unknown", None, (), "the driver in the call trace" + ("" if r["frames"] else " below") + " names it"
    )
