"""Why a driver got no irq: the irq core refused it, or the function's INT pin leads to none."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from tracekit import EBUSY, EINVAL, ENOMEM, Evidence, Finding, Subject, at_once, near, span

ENOTCONN = -107  # request_irq() of IRQ_NOTCONNECTED (kernel/irq/manage.c)
NO_LINE = (EBUSY, EINVAL, ENOTCONN)  # what request_irq() says of an irq that stands for none: 0 is the timer's, 255 is none
PORTS = ("pcieport", "pci")
LATER = (ENOMEM, -517)  # memory was short, or the driver will be asked again
SOON, SOON_MS = 6, 200  # a driver says at once that its irq was refused
PROBE, PROBE_MS = 200, 10_000  # pci_enable_device() stands at the begin of a probe
IRQ = re.compile(r"(?i)\b(?:irq|interrupt)[ #:]{1,2}([0-9]{1,9})\b")
PCI_CHIPS = re.compile("MSI|PCI|APIC|ITS|IR-")
NAMED = "the driver that asks for it names itself near that line"
ROUTE = (
    "Nothing is short: the function's INT pin leads to no irq, a matter of the routing that firmware gives (_PRT; PIR or MP tables; of a "
    "guest its hypervisor's). Update the firmware, boot without acpi=off or noapic, try pci=biosirq or another slot, or have the driver "
    "use MSI."
)
ONESHOT = "The driver asks for a thread without IRQF_ONESHOT and without a handler, which no kernel grants: update the driver."
CORE = "The irq core or its chip does not give the irq: see the line of genirq, which other driver has it, and the flags of both."

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Reason:
    """Why an irq was refused: its line, in words, and what to do."""

    row: Mapping[str, Any]
    said: str
    advice: str

    @property
    def evidence(self) -> Iterable[Evidence]:
        """Yield the line that says so."""
        return span(self.row["source"], self.row["line"], role="cause")


class Places:
    """Rows by a key, each key's in order: the last above a line, the first below it."""

    def __init__(self, rows: Iterable[dict[str, Any]], key: Callable[[Mapping[str, Any]], Any]) -> None:
        self.key = key
        self.rows: dict[Any, Rows] = {}
        for r in sorted(rows, key=_line):
            self.rows.setdefault(key(r), []).append(r)

    def above(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the last row of the key at or above the line of a row."""
        mine = self.rows.get(self.key(row), [])
        n = bisect_right(mine, row["line"], key=_line)
        return mine[n - 1] if n else None

    def below(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the first row of the key at or below the line of a row."""
        return next(iter(self.next(row, 1)), None)

    def next(self, row: Mapping[str, Any], count: int) -> Rows:
        """Return so many rows of the key at and below the line of a row."""
        mine = self.rows.get(self.key(row), [])
        n = bisect_left(mine, row["line"], key=_line)
        return mine[n : n + count]


def _place(r: Mapping[str, Any]) -> tuple[str, int]:
    return r["source"], r["line"]


def _same_irq(core: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Return whether a driver's words name the irq that was refused, or none."""
    named = IRQ.search(row.get("text") or "")
    return named is None or int(named[1]) == core["irq"]


def _of_pci(core: Mapping[str, Any]) -> bool:
    """Return whether the irq can be a PCI function's: boards refuse those of card slots and sensors at every boot."""
    return core["what"] == "core" and PCI_CHIPS.search(core["chip"] or "PCI") is not None


def _line(r: Mapping[str, Any]) -> int:
    return int(r["line"])


def _source(r: Mapping[str, Any]) -> Any:
    return r["source"]


def _function(r: Mapping[str, Any]) -> Any:
    return r["source"], r["bdf"]


class Reasons:
    """What the irq core and the PCI core say about irqs that drivers do not get."""

    def __init__(
        self,
        oneshot: pl.DataFrame | None,
        refused: pl.DataFrame | None,
        triggers: pl.DataFrame | None,
        unrouted: pl.DataFrame | None,
        gone: pl.DataFrame | None,
        taken: pl.DataFrame | None,
    ) -> None:
        # A trigger that a chip does not take may be set without a request: alone it refuses nothing.
        self.core = [*_rows(oneshot, "oneshot", EINVAL), *_rows(refused, "core", None), *_rows(triggers, "trigger", None)]
        self.by_source = Places(self.core, _source)
        self.routes = Places(_rows(unrouted, "route", None), _function)
        self.gone = [r for r in _rows(gone, "gone", None) if int(r["ret"]) not in LATER]
        self.gone_by_source = Places(self.gone, _source)
        self.taken = Places((r for r in _rows(taken, "taken", EBUSY) if not (r["action"] or "").startswith("vfio-intx")), _source)
        self.used: dict[tuple[str, int], Mapping[str, Any]] = {}  # the place of a refusal, and the driver's row that it explains

    def of(self, row: Mapping[str, Any]) -> Reason | None:
        """Return why the irq was refused of which a driver's row tells, and remember that this is told."""
        core = self.by_source.above(row)
        if (
            core is not None
            and at_once(core, row, SOON, SOON_MS)
            and _same_irq(core, row)
            and self.used.setdefault(_place(core), row) is row
        ):
            return _of_core(core)
        route = self.routes.above(row) if row["bdf"] and row["errno"] in (None, *NO_LINE) else None
        return _of_route(route) if route is not None and near(route, row, PROBE, PROBE_MS) else None

    def line_taken(self, row: Mapping[str, Any]) -> bool:
        """Return whether the irq is a line that another driver has with other flags, as the line right above tells (IRQ-010)."""
        taken = self.taken.above(row) if row["errno"] in (None, EBUSY) else None
        return taken is not None and at_once(taken, row, SOON, SOON_MS) and _same_irq(taken, row)

    def untold(self) -> Iterator[tuple[Reason, Mapping[str, Any] | None]]:
        """Yield refusals of the irq core of which no driver's row tells, each with the line in which a driver gives up at once."""
        for core in self.core:
            if _place(core) in self.used:
                continue
            gone = self.gone_by_source.below(core)
            follows = gone is not None and self._given_up_for(core, gone)
            if follows or _of_pci(core):
                yield _of_core(core), gone if follows else None

    def _given_up_for(self, core: Mapping[str, Any], gone: Mapping[str, Any]) -> bool:
        """Return whether the driver of a PCI function gives up just below a refusal, the last one above, with its errno."""
        of_this = self.by_source.above(gone) is core and core["errno"] in (None, int(gone["ret"]))
        return of_this and gone["bdf"] is not None and at_once(core, gone, SOON, SOON_MS)

    def _unrouted(self, errnos: tuple[int, ...]) -> Iterator[tuple[Reason, Mapping[str, Any]]]:
        """Yield functions without a route whose driver gives up with one of these errnos."""
        for gone in self.gone:
            route = self.routes.above(gone) if gone["bdf"] and int(gone["ret"]) in errnos else None
            if route is not None and near(route, gone, PROBE, PROBE_MS):
                yield _of_route(route), gone

    def findings(self) -> Iterator[tuple[Mapping[str, Any], Finding]]:
        """Yield what no driver has a word for: the row that a consequence would follow, and the finding."""
        for reason, gone in self.untold():
            row, irq = reason.row, reason.row["irq"]
            if gone is not None:
                said = f"an irq of {gone['bdf']} was refused, and its driver gave up: {reason.said}"
                yield gone, _finding(said, "probable", Subject(gone["bdf"], "pci", gone["bdf"]), reason, irq)
            else:
                subject = Subject(f"irq {irq}", kind="host", how=NAMED)
                finding = _finding(f"irq {irq} was refused to a driver: {reason.said}", "possible", subject, reason, irq)
                yield {**row, "bdf": None, "device": None, "driver": None}, replace(finding, severity="low")
        for reason, gone in self._unrouted((ENOTCONN,)):  # what request_irq() alone says, of no irq
            said = f"no irq was found for {gone['bdf']}, and its driver gave up: {reason.said}"
            yield gone, _finding(said, "probable", Subject(gone["bdf"], "pci", gone["bdf"]), reason, None)

    def unanswered(self) -> str | None:
        """Return a function whose pin has no route and may have needed one: the BIOS' tables have none, or its driver gave up."""
        # `probably buggy MP table`, and `no GSI` of ACPI, stand in ordinary logs: the irq that firmware gave is used, or MSI. A port does
        # without.
        routes = (r for rows in self.routes.rows.values() for r in rows if "biosirq" in (r["hint"] or "") and r["driver"] not in PORTS)
        given_up = (gone for _, gone in self._unrouted(NO_LINE))
        return next((r["bdf"] for r in (*routes, *given_up)), None)


def _finding(summary: str, grade: Any, subject: Subject, reason: Reason, irq: int | None) -> Finding:
    return Finding(
        summary, grade, tuple(reason.evidence), subject=subject, advice=reason.advice, values={"irq": irq, "errno": reason.row["errno"]}
    )


def _rows(frame: pl.DataFrame | None, what: str, errno: int | None) -> Rows:
    return [] if frame is None else [{**r, "what": what, "errno": errno} for r in frame.to_dicts()]


def _of_core(row: Mapping[str, Any]) -> Reason:
    wants = f" for {row['name_of']}" if row.get("name_of") else ""
    said = {
        "oneshot": f"a thread without a handler needs IRQF_ONESHOT{wants}",
        "trigger": f"the chip does not take trigger mode {row.get('mode')}",
    }
    other = f"its chip does not give it{wants}" if wants else "another driver has it with other flags"
    return Reason(row, said.get(row["what"], other), ONESHOT if row["what"] == "oneshot" else CORE)


def _of_route(row: Mapping[str, Any]) -> Reason:
    return Reason(row, f"its INT {row['pin']} leads to no irq", ROUTE)
