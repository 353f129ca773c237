"""Attempts to enable MSI or MSI-X, and the lives of the irq domains they use, from the operations that a trace shows."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tracekit import ERANGE, Inputs, Model, Row, Table, device_of, rows_of
from tracekit_msi.tables import ENABLES, MSI_DOMAINS

# What identifies the function an operation is about, best first; None stands for the only one of a recording without arguments.
Key = tuple[str, Any]
FEW = 1000  # inserts up to which the rows of all models are taken
_READ = ("attempt", "call", "line", "line_end", "index", "hwsize", "ret", "inferred", "hint")


def key_of(row: Row) -> Key:
    """Return the key of an operation's device."""
    return device_of(row) or ("source", row.source)


def _by_attempt(tables: Inputs) -> dict[int | None, list[Row]]:
    """Return the inserts of each attempt: rows that are nothing but a part of one, so that the model hears the attempt alone."""
    rows = tables.rows("op_insert") if tables.height("op_insert") <= FEW else rows_of(tables["op_insert"].select(_READ))
    found: dict[int | None, list[Row]] = {}
    for row in rows:
        found.setdefault(row.attempt, []).append(row)
    return found


def granted(e: Row) -> int:
    """Return how many vectors an enable returned; 0 where it failed, or where its return is not recorded."""
    return max(e.ret or 0, 0)


@dataclass
class Domain:
    """One life of an irq domain, of MSI-X or plain MSI: the row that created it, and its size as far as known."""

    kind: str
    hwsize: int | None
    how: str | None
    made: Row | None


@dataclass(frozen=True)
class Live:
    """The size of the device's MSI-X table as known at a line."""

    count: int
    line: int
    how: str
    source: str


@dataclass
class Attempt:
    """The operations recorded inside one enabling call."""

    inserts: list[Row] = field(default_factory=list)
    setup: Row | None = None
    created: Row | None = None
    size: Row | None = None  # of the table
    read: Row | None = None  # the size of the domain, read outside of an insert


class Enables(Model):
    """Collect the operations inside each enabling call, and follow each irq domain from creation to removal.

    The size of a domain is read at its creation or use, else deduced: the first index refused with -34 after all below passed is the size.
    """

    tables: ClassVar[tuple[Table, ...]] = (ENABLES, MSI_DOMAINS)
    needs: ClassVar[tuple[str, ...]] = ("graph_entry", "op_insert")

    def __init__(self) -> None:
        super().__init__()
        self.graphs: set[str] = set()
        self.inserts: dict[int | None, list[Row]] = {}
        self.attempts: dict[int | None, Attempt] = {}
        self.domains: dict[Key, Domain] = {}
        self.removed: dict[Key, Row] = {}
        self.sizes: dict[Key, Live] = {}  # of the MSI-X table: what plain MSI can do is no size of a table
        self.enabled: set[Key] = set()  # functions with vectors enabled since they were opened
        self.creating: set[str] = set()  # sources in which the making of a domain was recorded
        self.open: dict[Key, Row] = {}  # enables without a return in the recording: what is inside of them is heard after them
        self.rows: list[tuple[Row, dict[str, Any]]] = []

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        self.graphs, self.inserts = tables.sources("graph_entry"), _by_attempt(tables)
        super().play(rows, tables)

    def on_op_open(self, e: Row) -> None:
        self._settle(e)
        self.enabled.discard(key_of(e))

    def on_op_close(self, e: Row) -> None:
        self._settle(e)
        self.enabled.discard(key_of(e))

    def on_op_table_size(self, e: Row) -> None:
        self._settle(e)
        self.sizes[key_of(e)] = Live(e.count, e.line, e.origin, e.source)
        if e.attempt is not None:
            attempt = self._attempt(e)
            attempt.size = attempt.size or e

    def on_op_domain_size(self, e: Row) -> None:
        attempt = self._attempt(e)
        attempt.read = attempt.read or e

    def on_op_domain_setup(self, e: Row) -> None:
        self._settle(e)
        self._attempt(e).setup = e
        if e.hwsize is not None and e.kind != "msi":
            self.sizes[key_of(e)] = Live(e.hwsize, e.line, "hwsize argument", e.source)

    def on_op_domain_create(self, e: Row) -> None:
        """Begin a life; a creation that returned 0 left the device as it was."""
        self._settle(e)
        self.creating.add(e.source)
        if e.ret == 0:
            return
        key = key_of(e)
        if e.kind != "msi" and e.hwsize is not None and key in self.sizes and self.sizes[key].count != e.hwsize:
            del self.sizes[key]  # read of an older table: a domain is as large as the table at its creation
        self._end_domain(e, "replaced")
        self.domains[key] = Domain(e.kind or "msix", e.hwsize, None if e.hwsize is None else "seen", e)
        self._attempt(e).created = e

    def on_op_domain_remove(self, e: Row) -> None:
        self._settle(e)
        self._end_domain(e, "removed")
        self.removed[key_of(e)] = e

    def on_op_alloc(self, e: Row) -> None:
        """Take the enable at its return, after all events inside; without one, at the next event that is not inside."""
        self._settle(e)
        if e.line_end is None:
            self.open[key_of(e)] = e
        else:
            self._allocated(e)

    def _settle(self, e: Row) -> None:
        """Take the enable of this device that has no return in the recording, where an event is not inside of it."""
        key = key_of(e)
        if key in self.open and getattr(e, "attempt", None) != self.open[key].call:
            self._allocated(self.open.pop(key))

    def _allocated(self, e: Row) -> None:
        self._enable(e, self._attempted(e), e.kind, "enable", e.min, e.max)
        if granted(e):
            self.enabled.add(key_of(e))

    def on_op_alloc_at(self, e: Row) -> None:
        self._settle(e)
        attempt = self._attempted(e)
        if e.ret == ERANGE:
            attempt.inserts.append(e)  # nothing else in this call returns it, so it stands for an insert that is not recorded
        self._enable(e, attempt, "msix", "alloc_at", e.index, None if e.index is None else e.index + 1)

    def on_end(self) -> None:
        for e in self.open.values():
            self._allocated(e)
        for row, values in sorted(self.rows, key=lambda told: told[0].line_end or told[0].line):
            whole = row.source in self.graphs
            self.emit("enables", row, **values, whole=whole, armed=whole or row.source in self.creating)
        for domain in self.domains.values():
            self._life(domain, None, None)

    def _attempt(self, e: Row) -> Attempt:
        return self.attempts.setdefault(e.attempt, Attempt())

    def _attempted(self, e: Row) -> Attempt:
        """Return what was recorded inside the enable that ends here."""
        attempt = self.attempts.pop(e.call, Attempt())
        attempt.inserts = [i for i in self.inserts.get(e.call, ()) if e.line_end is None or (i.line_end or i.line) < e.line_end]
        return attempt

    def _enable(self, e: Row, a: Attempt, kind: str, operation: str, least: int | None, most: int | None) -> None:
        key = key_of(e)
        domain = self.domains.get(key)
        if domain is not None and kind is not None and domain.kind != kind:
            domain = None
        failed = next((i for i in a.inserts if (i.ret < 0 if i.ret is not None else i.inferred)), None)
        failed = failed or _unanswered(e, a, domain)
        passed = [i for i in a.inserts if i.ret == 0 or (i.ret is None and failed is not None and i.line < failed.line)]
        values = {
            **{c: getattr(e, c, None) for c in ("device", "vdev", "entity", "bdf", "call", "request", "ret", "ts_end", "line_end")},
            **{"kind": kind, "operation": operation, "min": least, "max": most},
            **{"created": a.created is not None, "first": key not in self.enabled},
            **_live(a, self.sizes.get(key) if kind != "msi" else None, e),
            **_refused(a, failed, passed),
            **_size(domain, a, failed, passed),
            "setup_line": a.setup.line if a.setup else None,
            "setup_end": a.setup.line_end if a.setup else None,
            "removed_line": self.removed[key].line if key in self.removed else None,
            "hint": any(c.hint for c in (e, *a.inserts, a.setup) if c is not None),
            "inferred": bool(e.inferred),
        }
        if domain is None and values["hwsize"] is not None:
            self.domains[key] = Domain(kind or "msix", values["hwsize"], values["hwsize_how"], None)
        self.rows.append((e, values))

    def _end_domain(self, e: Row, cause: str) -> None:
        if (old := self.domains.pop(key_of(e), None)) is not None:
            self._life(old, e, cause)

    def _life(self, domain: Domain, end: Row | None, cause: str | None) -> None:
        row = domain.made or end
        if row is not None:
            known = {c: getattr(row, c, None) for c in ("device", "entity", "bdf")}
            place = {"ts_end": end.ts if end else None, "line_end": end.line if end else None}
            self.emit("msi_domains", row, **known, kind=domain.kind, hwsize=domain.hwsize, how=domain.how, cause=cause, **place)


def _live(a: Attempt, earlier: Live | None, e: Row) -> dict[str, Any]:
    """Return the device's table size in this attempt: the set-up's argument, the count read inside, else an earlier one."""
    if a.size is not None:
        return {"live": a.size.count, "live_line": a.size.line, "live_how": a.size.origin}
    if a.setup is not None and a.setup.hwsize is not None:
        return {"live": a.setup.hwsize, "live_line": a.setup.line, "live_how": "hwsize argument"}
    if earlier is not None and earlier.source == e.source:
        return {"live": earlier.count, "live_line": earlier.line, "live_how": earlier.how}
    return {"live": None, "live_line": None, "live_how": None}


def _unanswered(e: Row, a: Attempt, domain: Domain | None) -> Row | None:
    """Return the insert without a return value that was refused: the last one of an enable that returned -34, since a refusal ends the
    loop; of one that may have failed, the first at an index that its domain cannot have (kernel/irq/msi.c, msi_insert_desc)."""
    if e.ret == ERANGE:
        return a.inserts[-1] if a.inserts and a.inserts[-1].ret is None else None
    if e.ret is not None or domain is None or domain.how != "seen" or not domain.hwsize:
        return None
    return next((i for i in a.inserts if i.ret is None and i.index is not None and i.index >= domain.hwsize), None)


def _refused(a: Attempt, failed: Row | None, passed: list[Row]) -> dict[str, Any]:
    """Return the columns of the inserts: how many passed, and which index was refused (by its argument, else by counting)."""
    lines = {
        "inserted": len(passed),
        "first_line": a.inserts[0].line if a.inserts else None,
        "last_line": passed[-1].line_end if passed else None,
    }
    if failed is None:
        return lines
    index = failed.index if failed.index is not None else len(passed)
    place = {"fail_line": failed.line, "fail_end": failed.line_end, "fail_ret": failed.ret, "fail_call": failed.call}
    return {**lines, **place, "fail_index": index, "index_seen": failed.index is not None}


def _size(domain: Domain | None, a: Attempt, failed: Row | None, passed: list[Row]) -> dict[str, Any]:
    """Return the size of the domain in use: read at an insert, given at its creation, or deduced from the first index refused."""
    made = domain.made if domain else None
    place = {
        "made_line": made.line if made else None,
        "made_end": made.line_end if made else None,
        "made_source": made.source if made else None,
    }
    read = next((i for i in a.inserts if getattr(i, "hwsize", None) is not None), None)
    read = read or a.read
    if read is not None:
        return {**place, "hwsize": read.hwsize, "hwsize_how": "seen", "insert_hwsize_line": read.line}
    if domain is not None and domain.hwsize is not None:
        return {**place, "hwsize": domain.hwsize, "hwsize_how": domain.how}
    if failed is not None and failed.ret in (ERANGE, None) and (failed.index is None or failed.index == len(passed)):
        return {**place, "hwsize": len(passed), "hwsize_how": "deduced"}
    return {**place, "hwsize": None, "hwsize_how": None}
