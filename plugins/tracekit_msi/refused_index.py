"""A refused MSI-X index in an enable: the first witness of MSI-001."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import (
    ERANGE,
    Evidence,
    Finding,
    Subject,
    Unchecked,
    callers,
    device_of,
    distinct,
    lost_between,
    rows_where,
    same_function,
    span,
    subject_of,
    unnamed,
    witness,
)

Rows = list[dict[str, Any]]

GRADES = ("proven", "probable", "possible")
RECORD = (
    "kprobes on pci_setup_msix_device_domain (hwsize), msi_create_device_irq_domain (hwsize), msi_insert_desc (index, $retval) and "
    "vfio_pci_set_irqs_ioctl, with $retval probes; or function_graph of vfio_pci_set_irqs_ioctl with funcgraph-retval"
)
ARM_CREATION = "p:tk/dom msi_create_device_irq_domain dev=$arg1:x64 hwsize=$arg4:u32, from before the first enable"

UNSEEN = Unchecked("the refused index, the size of the domain and of the table", RECORD)
ADVICE = "Unbind and rebind the driver of the device; do so after every change of its table size."


@witness
def refused_index(
    enables: pl.DataFrame,
    calls: pl.DataFrame | None = None,
    devices: pl.DataFrame | None = None,
    windows: pl.DataFrame | None = None,
    gap: pl.DataFrame | None = None,
) -> Iterator[Finding]:
    """Yield the enables in which an existing index was refused, one finding per device."""
    # Where events were lost inside an attempt, the absence of a new domain is not shown.
    stale = [
        {**r, "armed": r["armed"] and not lost_between(gap, r["source"], r["line"], r["line_end"])}
        for r in rows_where(enables, _may_be_stale)
        if _is_stale(r)
    ]
    done: set[str] = set()
    for row in sorted(stale, key=lambda r: GRADES.index(_grade(r, enables))):
        subject = subject_of(row, devices)
        if subject.label in done:
            continue
        done.add(subject.label)
        others = same_function(enables, row)
        again = [r for r in stale if _same(r, row) and r["line"] > row["line"]]
        yield _finding(row, subject, others, again, calls, windows)


def _may_be_stale(kind: str | None, created: bool | None, ret: int | None, fail_ret: int | None, fail_index: int | None) -> bool:
    return kind == "msix" and created is False and (ret == ERANGE or fail_ret == ERANGE or (fail_index or 0) > 0)


def _is_stale(row: Mapping[str, Any]) -> bool:
    """Return whether an attempt shows an index refused that the device has, or any index by a domain known to be smaller than the table; or
    failed with -34 where no insert is recorded at all, or none with its return value."""
    index, live = row["fail_index"], row["live"]
    is_later, within_table = index is not None and index > 0, live is None or index is not None and live > index
    # A domain of size 0 has no limit, or there is no domain at all and every index is refused.
    smaller = row["hwsize_how"] == "seen" and live is not None and live > (row["hwsize"] or 0) > 0
    if row["fail_ret"] == ERANGE and (smaller or is_later and within_table):
        return True
    if row["ret"] == ERANGE and row["first_line"] is None and (live is None or live > 1) and (smaller or _is_whole_request(row)):
        return True
    if row["fail_line"] is None or row["fail_ret"] is not None or not is_later:
        return False
    if row["inferred"]:  # without return values the refusal is the shape: inserts, then the unwinding, the domain kept, no irq set up
        return within_table and row["setup_line"] is not None
    # Inserts without return values, and the index that was refused: the last one before -34, or one that the domain cannot have.
    return row["ret"] == ERANGE and within_table or row["ret"] is None and smaller and row["hwsize"] <= index < live


def _is_whole_request(row: Mapping[str, Any]) -> bool:
    """Return whether a request is none for fewer vectors than its least: so only msi_insert_desc() returns -34 (drivers/pci/msi/msi.c)."""
    return row["min"] is not None and row["max"] is not None and row["max"] >= row["min"]


def _same(other: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Return whether another row is about the function of this one."""
    column, value = device_of(row) or ("source", row["source"])
    return bool(other[column] == value)


def _finding(
    row: Mapping[str, Any],
    subject: Subject,
    others: pl.DataFrame,
    again: Rows,
    calls: pl.DataFrame | None,
    windows: pl.DataFrame | None,
) -> Finding:
    old = row["hwsize"] if row["hwsize"] is not None else row["fail_index"]
    live = row["live"] if row["live"] is not None or row["fail_index"] is None else row["fail_index"] + 1
    grade = _grade(row, others)
    unknown = row["fail_ret"] is None and row["ret"] is None
    request, mine = row["request"], others.to_dicts()
    failed = rows_where(windows, lambda kind, request: kind == "failed" and request == row["request"]) if request is not None else []
    deaf = any(_same(w, row) for w in failed)
    size = f"hwsize {old}" if old is not None else "an older hwsize"
    index = f"index {row['fail_index']}" if row["fail_index"] is not None else "an index beyond it"
    table = f"{live}" if row["live"] is not None else f"at least {live}"
    sizes = "is smaller than its MSI-X table" if old is None and live is None else f"has {size}, the MSI-X table {table}"
    return Finding(
        summary=f"irq domain of {subject.label} {sizes}: {index} refused" + ("; errno not recorded" if unknown else " with -34"),
        grade=grade,
        subject=subject,
        severity="critical" if deaf else "high",
        evidence=distinct(_evidence(row, mine, again, calls)),
        unchecked=(
            *(() if row["armed"] else (Unchecked("no domain was created inside the refused attempt", ARM_CREATION),)),
            *((Unchecked("the errno of the refused insert", RECORD),) if unknown else ()),
            *((UNSEEN,) if old is None and live is None else ()),
            *unnamed(row["hint"]),
        ),
        values={
            "old_size": old,
            "old_size_how": row["hwsize_how"] or "deduced",
            "live": live,
            "live_how": row["live_how"] or "deduced from the index asked for",
            "index": row["fail_index"],
            "asked": row["max"],
            "errno": None if unknown else ERANGE,
            "attempts": 1 + len(again),
            "cured": _cure(row, mine) is not None,
        },
        advice=ADVICE,
    )


def _grade(row: Mapping[str, Any], enables: pl.DataFrame) -> Any:
    """Proven when the refused index, the size of now and the absence of a new domain are all seen, by functions whose names are known; or
    when the sizes of domain and table are read in the attempt that returned -34.

    Without an errno: probable where the index and the size of now are seen or the function takes fewer vectors right after, else possible.
    """
    if row["fail_line"] is not None and row["fail_ret"] is None and row["ret"] is None:
        return "probable" if (row["live"] is not None and row["index_seen"]) or _takes_fewer(row, enables) else "possible"
    shown = (row["fail_ret"] is not None and row["armed"]) or _sizes_read(row)
    return "proven" if shown and not row["hint"] and not row["inferred"] else "probable"


def _sizes_read(row: Mapping[str, Any]) -> bool:
    """Return whether both sizes are read in an attempt that returned -34: a domain made in it would have the size of the table."""
    read = (row["insert_hwsize_line"], row["live_line"])
    inside = row["line_end"] is not None and all(n is not None and row["line"] < n < row["line_end"] for n in read)
    return row["ret"] == ERANGE and inside and row["live"] > row["hwsize"] > 0


def _takes_fewer(row: Mapping[str, Any], enables: pl.DataFrame) -> bool:
    """Return whether the next enable of the function keeps the domain too, and gets no more vectors than were inserted."""
    if row["line_end"] is None:
        return False
    others = same_function(enables, row)
    later = others.filter((pl.col("source") == row["source"]) & (pl.col("line") > row["line_end"])).head(1)
    return later.height > 0 and not later["created"][0] and (later["ret"][0] or 0) in range(1, row["fail_index"] + 1)


def _evidence(row: Mapping[str, Any], others: Rows, again: Rows, calls: pl.DataFrame | None) -> Iterator[Evidence]:
    source = row["source"]
    if row["made_line"] is not None:
        place = (row["made_source"], row["made_line"])
        made = next((r for r in others if r["created"] and (r["source"], r["made_line"]) == place), None)
        if made is not None and made["setup_line"] is not None:
            yield from span(row["made_source"], made["setup_line"], made["setup_end"], "cause")
        yield from span(row["made_source"], row["made_line"], row["made_end"], "cause")
    else:
        yield from span(source, row["line"])  # from here to the return no domain was created
    yield from table_lines(row)
    if row["inserted"]:
        yield from span(source, row["first_line"], row["last_line"])
    elif row["fail_line"] is None:
        yield from span(source, row["insert_hwsize_line"], role="cause")
    yield from span(source, row["fail_line"], row["fail_end"], "cause")
    for call in callers(calls, row, row["fail_call"] if row["fail_call"] is not None else row["call"]):
        if call["ret"] == ERANGE:
            yield from span(source, call["line_end"], role="effect")
    yield from span(source, row["line_end"], role="effect")
    for other in again[:3]:
        yield from span(source, other["fail_line"], other["fail_end"], "effect")
    if (cure := _cure(row, others)) is not None:
        yield from span(cure["source"], cure["line"], cure["made_line"], "cure")
        yield from span(cure["source"], cure["line_end"], role="cure")
        for call in list(callers(calls, cure, cure["call"]))[-1:]:
            yield from span(cure["source"], call["line_end"], role="cure")


def table_lines(row: Mapping[str, Any]) -> Iterator[Evidence]:
    """Yield the line that shows the size of the table, and the set-up of the irq domain inside the attempt."""
    if row["live_line"] != row["setup_line"]:
        yield from span(row["source"], row["live_line"], role="cause")
    yield from span(row["source"], row["setup_line"], row["setup_end"], "cause")


def _cure(row: Mapping[str, Any], others: Rows) -> dict[str, Any] | None:
    """Return a later enable that created the domain again and got its vectors."""
    later = (r for r in others if r["source"] == row["source"] and r["line"] > row["line"])
    return next((r for r in later if r["created"] and (r["ret"] or 0) > 0), None)
